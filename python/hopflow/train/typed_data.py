"""From a data set of several types to what a run works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hopflow.datasets.typed_dataset import REVERSE
from hopflow.graphs.graph import Graph
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Columns
from hopflow.structure.types import Relation, Schema, told
from hopflow.train.config import OTHERS, Fanout, TrainConfig
from hopflow.train.data import edge_hash, features, stays_in_folder
from hopflow.train.split import checked_split
from hopflow.train.targets import TARGETS


def prepare_typed(
    config: TrainConfig, dataset: Any, *, target_type: str | None = None, for_training: bool = True
) -> tuple[Graph, str, dict[str, Tensor]]:
    """The graph to train on, with columns "feat" and "label", the labelled type, and its split.

    Without ``for_training`` labels and split may be missing. The data set stays as it is.

    Parameters
    ----------
    config : TrainConfig
        What to make of the data.
    dataset : TypedNodePropDataset
        The data.
    target_type : str, optional
        The type to predict for, where ``config`` does not say it.

    Raises
    ------
    ValueError
        No such labels, or no nodes to train on; the message names the types there are.
    """
    graph, labels = dataset[0]
    # Frames of its own: the columns set below are not the data set's.
    # A graph folder is taken as it is: its edges may be more than memory has room for.
    adds = config.undirected and not stays_in_folder(dataset)
    graph = add_reverse_relations(graph) if adds else graph.local_var()
    target = config.target_type or target_type
    target = _target(config.data, graph, labels, target, for_training=for_training)
    for frame in graph.node_frames().values():
        if "feat" in frame:
            frame["feat"] = features(
                config, frame.column("feat"), is_stored=stays_in_folder(dataset)
            )
    split: dict[str, Tensor] = {}
    own = labels.get(target)
    if own is not None and own.shape[1] != 1:
        if for_training:
            raise ValueError(
                f"{config.data}: expected one label a node, got {own.shape[1]} tasks of {target!r}"
            )
        own = None
    if own is not None:
        none = torch.empty(0, dtype=torch.int64)
        split = {part: ids.get(target, none) for part, ids in dataset.get_idx_split().items()}
        graph.nodes[target].data["label"] = own = TARGETS["classes"].labels(own)
        if for_training and split["train"].numel() == 0:
            raise ValueError(f"{config.data}: expected training nodes of {target!r}, got none")
        split = checked_split(
            config.data, split, own, TARGETS["classes"], dataset.num_classes,
            for_training=for_training,
        )  # fmt: skip
    return graph, target, split


def _target(
    data: str,
    graph: Graph,
    labels: Mapping[str, Tensor],
    wanted: str | None,
    *,
    for_training: bool,
) -> str:
    """The type to predict for."""
    known = [ntype for ntype in graph.ntypes if ntype in labels]
    if wanted is not None:
        if wanted not in graph.ntypes:
            raise ValueError(
                f"target_type: expected a node type of {data}, {told(graph.ntypes)}, got {wanted!r}"
            )
        if for_training and wanted not in known:
            raise ValueError(
                f"target_type: expected a node type of {data} with labels, {told(known)}, got"
                f" {wanted!r}"
            )
        return wanted
    if len(known) == 1:
        return known[0]
    if known:
        raise ValueError(f"target_type: {told(known)} of {data} have labels; expected one of them")
    raise ValueError(f"{data}: expected labels to train on, got none")


def resolve_fanouts(
    fanouts: Sequence[Fanout], relations: Sequence[Relation]
) -> list[int | dict[Relation, int]]:
    """Fanouts with whole relations in place of the names that options have for them.

    Raises
    ------
    ValueError
        A name that is no relation's, or several relations', or a relation without a number.
    """
    return [
        fanout if isinstance(fanout, int) else _by_relation(fanout, relations)
        for fanout in fanouts
    ]  # fmt: skip


def _by_relation(fanout: Mapping[str, int], relations: Sequence[Relation]) -> dict[Relation, int]:
    names = [name for _, name, _ in relations]
    texts = {
        relation: (relation[1] if names.count(relation[1]) == 1 else "/".join(relation))
        for relation in relations
    }
    found: dict[Relation, int] = {}
    for key, number in fanout.items():
        if key == OTHERS:
            continue
        meant = [r for r in relations if key in (r[1], "/".join(r))]
        if len(meant) != 1:
            raise ValueError(
                f"fanout: expected relations of {', '.join(texts.values())}, or {OTHERS} for all"
                f" others, got {key!r}"
            )
        if meant[0] in found:
            raise ValueError(f"fanout: two numbers for {key!r}")
        found[meant[0]] = number
    missing = [text for relation, text in texts.items() if relation not in found]
    if missing and OTHERS not in fanout:
        raise ValueError(
            f"fanout: no number for {', '.join(missing)}; {OTHERS}=0 leaves out all that are not"
            " named"
        )
    return {relation: found.get(relation, fanout.get(OTHERS, 0)) for relation in relations}


def add_reverse_relations(graph: Graph) -> Graph:
    """Add to each relation the one that leads back, as ``rev_NAME``, unless there is one.

    A relation leads back if it has an edge (v, u) for every (u, v), as often, and no others; one
    between nodes of one type may be its own. Edge columns are those of the relations there are.

    Raises
    ------
    ValueError
        Another relation has the name.
    """
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {
        relation: (one.adjacency, one.edge_frame.snapshot())
        for relation, one in graph.relations.items()
    }
    for (src, name, dst), one in graph.relations.items():
        if _has_reverse(graph, (src, name, dst)):
            continue
        back = (dst, REVERSE + name, src)
        if back in parts:
            raise ValueError(
                f"relation {back} is not the reverse of {(src, name, dst)}, whose reverse would"
                " have this name; --directed adds none"
            )
        sources, destinations = one.adjacency.coo()
        edges = Adjacency.from_coo(
            destinations, sources, graph.num_nodes(dst), graph.num_nodes(src)
        )
        parts[back] = edges, None
    frames = {ntype: frame.copy() for ntype, frame in graph.node_frames().items()}
    schema = Schema(graph.schema.ntypes, sorted(parts))
    return type(graph).of_types(schema, frames, parts, graph.idtype, like=graph)


def _has_reverse(graph: Graph, relation: Relation) -> bool:
    """Whether a relation leads back; "yes" is wrong once in 2^64 graphs, "no" never is."""
    src, _, dst = relation
    one = graph.relation(relation)
    others = [r for r in graph.relations if (r[0], r[2]) == (dst, src)]
    others = [r for r in others if graph.num_edges(r) == one.num_edges()]
    if not others:
        return False
    first = torch.arange(min(one.num_edges(), 64), device=graph.device)
    u, v = one.find_edges(first)
    candidates = [
        other
        for other in others
        if torch.as_tensor(graph.relation(other).has_edges_between(v, u)).all()
    ]
    if not candidates:
        return False  # as most relations do not: at once
    sources, destinations = one.adjacency.coo()
    wanted = edge_hash(destinations, sources)
    return any(
        edge_hash(*graph.relation(other).adjacency.coo()) == wanted for other in candidates
    )  # fmt: skip
