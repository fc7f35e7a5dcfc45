"""Edges to train on and edges held out, and pairs without an edge to compare these with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import hopflow as hf
import hopflow.ops as ops
from hopflow.graphs.graph import Graph
from hopflow.structure.ids import as_ids
from hopflow.train.config import TrainConfig
from hopflow.train.data import feature_column, prepare_features, stays_in_folder

HELD_OUT = 0.1
"""Share of the edges in each of the parts to validate and to test."""

MOST_HELD_OUT = 10_000
"""Edges in each of these parts at most."""

NUM_NEGATIVES = 100
"""Pairs that a held-out edge is ranked among."""

# Coordinates of the keys of what is drawn here: the same for every seed of a run.
_SPLIT, _NEGATIVES = -2, -3


@dataclass(frozen=True)
class HeldOut:
    """Edges of a part, and for each some pairs of its source and another node.

    Attributes
    ----------
    src, dst : Tensor
        Ends of the edges, int64, shape [n].
    others : Tensor
        Nodes in place of ``dst``, int64, shape [n, NUM_NEGATIVES].
    counts : Tensor
        Which of these pairs are no edge of any part, bool, shape [n, NUM_NEGATIVES]; a pair of a
        node and itself is none that counts.
    """

    src: Tensor
    dst: Tensor
    others: Tensor
    counts: Tensor


@dataclass(frozen=True)
class LinkData:
    """What a run on edges works on.

    Attributes
    ----------
    graph : Graph
        The training edges alone, both ways if the run is undirected; features as "feat".
    seeds : Tensor
        Ids of the edges to train on, each pair once if the run is undirected.
    reverse : Tensor
        The id of each edge's reverse, -1 where there is none, shape [E].
    held_out : dict
        The parts "valid" and "test".
    """

    graph: Graph
    seeds: Tensor
    reverse: Tensor
    held_out: dict[str, HeldOut]


def prepare_links(config: TrainConfig, dataset: Any) -> LinkData:
    """Split the edges of a data set, its own way if it has one (``get_edge_split``).

    Parallel edges are one and self-loops are left out; undirected, so are the two directions of an
    edge. A tenth of the edges, but at most 10,000, is held out to validate and as much to test,
    drawn alike for every seed of the run. No two nodes are joined in two parts: an edge and its
    reverse are drawn together (which may make a part one edge larger), and of a split of the data
    set's own training lacks what is held out, and validation what is tested.

    Raises
    ------
    ValueError
        A graph folder whose edges are not in memory; too few edges; no features; a split of the
        data set's own without edges of the graph's nodes in a part, or whose edges to train on are
        all held out.
    TypeError
        Edges of such a split that are no integers.
    """
    graph, _ = dataset[0]
    if stays_in_folder(dataset) and config.edges != "memory":
        raise ValueError(
            f"task: link splits the edges in memory, those of {config.data} stay in its folder;"
            " expected --edges memory"
        )
    num_nodes = graph.num_nodes()
    whole = prepare_features(config, dataset)
    src, dst = graph.edges()
    pairs = _numbers(src, dst, num_nodes, config.undirected)
    given = getattr(dataset, "get_edge_split", None)
    if given is None:
        parts = _drawn(config.data, pairs, num_nodes)
    else:
        parts = _given(config, given(), num_nodes)
    train = parts["train"]
    every = torch.unique(torch.cat([pairs, *parts.values()]))
    u, v = _ends(train, num_nodes)
    count = train.shape[0]
    if config.undirected:
        made = hf.graph((torch.cat([u, v]), torch.cat([v, u])), num_nodes=num_nodes)
        reverse = torch.arange(2 * count).roll(count)
    else:
        made = hf.graph((u, v), num_nodes=num_nodes)
        reverse = _places(train, v * num_nodes + u)
    made.node_frames()[made.ntypes[0]]["feat"] = feature_column(whole)
    held_out = {
        part: _with_others(parts[part], every, num_nodes, config.undirected, number)
        for number, part in enumerate(("valid", "test"))
    }
    return LinkData(made, torch.arange(count), reverse, held_out)


def _numbers(src: Tensor, dst: Tensor, num_nodes: int, undirected: bool) -> Tensor:
    """A number for each pair, rising; each once, without those of a node and itself."""
    u, v = src.long().cpu(), dst.long().cpu()
    if undirected:
        u, v = torch.minimum(u, v), torch.maximum(u, v)
    found: Tensor = torch.unique((u * num_nodes + v)[u != v])
    return found


def _ends(numbers: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    return torch.div(numbers, num_nodes, rounding_mode="floor"), numbers % num_nodes


def _drawn(data: str, pairs: Tensor, num_nodes: int) -> dict[str, Tensor]:
    count = pairs.shape[0]
    held = min(int(HELD_OUT * count), MOST_HELD_OUT)
    if held == 0:
        least = -(-1 // HELD_OUT)
        raise ValueError(
            f"{data}: expected at least {least:.0f} edges to hold some out, got {count}"
        )
    key = ops.stream_key(0, 0, _SPLIT, 0)
    generator = torch.Generator().manual_seed(key % 2**63)
    # An edge and its reverse have one score, a dot product: what is drawn are the two together.
    joined, group = torch.unique(_joined(pairs, num_nodes), return_inverse=True)
    rank = torch.empty_like(joined)
    rank[torch.randperm(joined.shape[0], generator=generator)] = torch.arange(joined.shape[0])
    rank = rank[group]
    order = torch.argsort(rank, stable=True)
    last = rank[order]
    # Every part ends where the next edge is of other nodes.
    ends = (last[1:] != last[:-1]).nonzero().squeeze(1) + 1
    first = int(ends[torch.searchsorted(ends, held)])
    second = int(ends[torch.searchsorted(ends, first + held)])
    valid, test, train = order[:first], order[first:second], order[second:]
    # Training edges in rising order: batches shuffle them.
    return {"train": pairs[train.sort().values], "valid": pairs[valid], "test": pairs[test]}


def _joined(numbers: Tensor, num_nodes: int) -> Tensor:
    """A number for each pair, whichever way round."""
    u, v = _ends(numbers, num_nodes)
    return torch.minimum(u, v) * num_nodes + torch.maximum(u, v)


def _given(
    config: TrainConfig, split: Mapping[str, Mapping[str, Any]], num_nodes: int
) -> dict[str, Tensor]:
    """The parts of a split as OGB's data sets of links have it: ``{part: {"edge": [n, 2]}}``."""
    found = {}
    for part in ("train", "valid", "test"):
        edges = _edges_of(config.data, split, part, num_nodes)
        found[part] = _numbers(edges[:, 0], edges[:, 1], num_nodes, config.undirected)
        if not found[part].shape[0]:
            raise ValueError(
                f"{config.data}: expected edges between two nodes in the part {part}, got"
                " self-loops alone, which are left out"
            )
    for part, others in (("valid", ["test"]), ("train", ["valid", "test"])):
        held = torch.cat([_joined(found[other], num_nodes) for other in others])
        found[part] = found[part][~torch.isin(_joined(found[part], num_nodes), held)]
        if not found[part].shape[0]:
            raise ValueError(
                f"{config.data}: expected edges of the part {part} that {' or '.join(others)} does"
                " not have, either way round"
            )
    return found


def _edges_of(data: str, split: object, part: str, num_nodes: int) -> Tensor:
    """The edges of one part, int64, shape [n, 2]."""
    own = split.get(part) if isinstance(split, Mapping) else None
    given = own.get("edge") if isinstance(own, Mapping) else None
    if given is None:
        raise ValueError(
            f"{data}: expected get_edge_split() to give {{part: {{'edge': edges [n, 2]}}}} for the"
            f" parts train, valid and test, got no 'edge' of the part {part}"
        )
    if not isinstance(given, Tensor):
        given = np.asarray(given)
    if given.ndim != 2 or given.shape[1] != 2 or not given.shape[0]:
        raise ValueError(
            f"{data}: expected edges [n, 2] of the part {part}, got shape {list(given.shape)}"
        )
    ids = as_ids(f"{data}: edges of the part {part}", given.reshape(-1)).long().cpu()
    if int(ids.min()) < 0 or int(ids.max()) >= num_nodes:
        raise ValueError(
            f"{data}: expected edges between the {num_nodes:,} nodes in the part {part}"
        )
    return ids.view(-1, 2)


def _places(rising: Tensor, wanted: Tensor) -> Tensor:
    """Where each wanted number stands among rising ones; -1 where it does not."""
    if not rising.numel():
        return torch.full_like(wanted, -1)
    at = torch.searchsorted(rising, wanted).clamp(max=rising.shape[0] - 1)
    return torch.where(rising[at] == wanted, at, -1)


def _with_others(
    numbers: Tensor, every: Tensor, num_nodes: int, undirected: bool, part: int
) -> HeldOut:
    src, dst = _ends(numbers, num_nodes)
    key = ops.stream_key(0, part, _NEGATIVES, 0)
    generator = np.random.Generator(np.random.Philox(key=key % 2**64))
    drawn = generator.integers(num_nodes, size=(len(numbers), NUM_NEGATIVES), dtype=np.int64)
    others = torch.from_numpy(drawn)
    u, v = src[:, None].expand_as(others), others
    if undirected:
        u, v = torch.minimum(u, v), torch.maximum(u, v)
    counts = (_places(every, (u * num_nodes + v).flatten()) < 0).view_as(others)
    return HeldOut(src, dst, others, counts & (others != src[:, None]))
