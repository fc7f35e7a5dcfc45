"""Which part owns which node: by KaMinPar, in a stream, or by a hash of the id."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.by_type import nodes_by_type
from hopflow.structure.graph_base import GraphBase

METHODS = ("auto", "kaminpar", "stream", "hash")
_PASSES = 10  # of a stream over all nodes; the cut hardly changes any more
_CHUNK = 1 << 22  # nodes or edges looked at at a time
MOST_PARTS = 32767


def assign_parts(
    graph: GraphBase,
    num_parts: int,
    *,
    method: str = "auto",
    train: Any = None,
    imbalance: float = 0.05,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Choose a part for every node.

    Parameters
    ----------
    graph : Graph
        On the CPU, of one or several types, which are partitioned together. Its arrays may be
        mapped from files.
    num_parts : int
        Parts, up to 32,767; some may stay empty.
    method : {"auto", "kaminpar", "stream", "hash"}
        "kaminpar" (``pip install 'hopflow[partition]'``) cuts fewest edges; it needs about 55 bytes
        of memory an edge and 100 a node. "stream" looks at the
        in-edges of one node after the other, in ten passes, where they are, and needs 15 bytes a
        node. "hash" looks at ids alone and cuts (P - 1) / P of the edges. "auto" is "kaminpar" if
        that is installed, else "stream".
    train : Tensor, mask or dict, optional
        Training nodes, by type where there are several; they are balanced too.
    imbalance : float
        How much larger than the mean a part may be, of each type's training nodes and of its other
        nodes. A hash is as balanced as chance has it.
    seed : int
        Of "hash" and "kaminpar"; both give the same parts again for the same seed.

    Returns
    -------
    dict of Tensor
        ``{ntype: parts}``, int16, shape [N].

    Raises
    ------
    ImportError
        KaMinPar is asked for and not installed.
    HopflowError
        There is too little memory for KaMinPar.
    ValueError, TypeError, IndexError
        Bad arguments.

    References
    ----------
    Gottesbüren et al., "Deep multilevel graph partitioning", ESA 2021 (KaMinPar);
    :func:`hopflow.ops.stream_parts`.
    """
    num_parts = ops.as_int("num_parts", num_parts)
    if not 1 <= num_parts <= MOST_PARTS:
        raise ValueError(f"num_parts: expected 1 to {MOST_PARTS}, got {num_parts}")
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    if not 0 <= imbalance < float("inf"):
        raise ValueError(f"imbalance: expected a number >= 0, got {imbalance}")
    if graph.device.type != "cpu":
        raise ValueError(f"graph: expected one on the CPU, got one on {graph.device}")
    counts = [graph.num_nodes(ntype) for ntype in graph.schema.ntypes]
    trained = _trained(graph, train)
    if method == "auto":
        method = "kaminpar" if importlib.util.find_spec("kaminpar") else "stream"
    if num_parts == 1:
        every = torch.zeros(sum(counts), dtype=torch.int16)
    elif method == "hash":
        hashed = [_hashed(count, num_parts, seed, t) for t, count in enumerate(counts)]
        every = torch.cat([torch.empty(0, dtype=torch.int16), *hashed])
    else:
        edges = _streamed(graph, counts)
        classes, caps = _classes(counts, trained, num_parts, imbalance)
        if method == "kaminpar":
            from hopflow.partitioning.kaminpar import kaminpar_parts

            every = kaminpar_parts(graph, counts, trained, num_parts, imbalance, seed)
            every = ops.stream_parts(edges, classes, caps, num_parts, every, only_full=True)
        else:
            every = torch.full((sum(counts),), -1, dtype=torch.int16)
            every = ops.stream_parts(edges, classes, caps, num_parts, every, num_passes=_PASSES)
    return dict(zip(graph.schema.ntypes, torch.split(every, counts)))


def _trained(graph: GraphBase, train: Any) -> list[Tensor]:
    """Of each type which nodes are trained on, bool."""
    given = {} if train is None else nodes_by_type(graph, "train", train)
    found = []
    for ntype in graph.schema.ntypes:
        mask = torch.zeros(graph.num_nodes(ntype), dtype=torch.bool)
        if ntype in given:
            mask[given[ntype]] = True
        found.append(mask)
    return found


def _classes(
    counts: Sequence[int], trained: Sequence[Tensor], num_parts: int, imbalance: float
) -> tuple[Tensor, list[int]]:
    """The class of each node, two a type, and how many of each a part may have."""
    if len(counts) > 127:
        raise ValueError(f"graph: expected at most 127 node types, got {len(counts)}")
    kinds, caps = [torch.empty(0, dtype=torch.uint8)], []
    for t, mask in enumerate(trained):
        kinds.append(mask.to(torch.uint8) + 2 * t)
        num_trained = int(mask.sum())
        for count in (counts[t] - num_trained, num_trained):
            # At least as many as make room for all.
            most = max(int((1 + imbalance) * count / num_parts), -(-count // num_parts))
            caps.append(min(most, count))
    return torch.cat(kinds), caps


def _streamed(graph: GraphBase, counts: Sequence[int]) -> list[ops.StreamedEdges]:
    """The edges, in a numbering of the nodes of all types."""
    firsts = dict(zip(graph.schema.ntypes, [sum(counts[:t]) for t in range(len(counts))]))
    edges = []
    for (src, _, dst), one in graph.relations.items():
        full = one.adjacency.full()
        edges.append(
            ops.StreamedEdges(full.indptr, full.indices, firsts[dst], firsts[src], full.num_src)
        )
    return edges


def _hashed(count: int, num_parts: int, seed: int, type_: int) -> Tensor:
    """Parts from (seed, type, id) alone; the mixing is SplitMix64's."""
    found = torch.empty(count, dtype=torch.int16)
    for begin in range(0, count, _CHUNK):
        x = torch.arange(begin, min(begin + _CHUNK, count))
        x = _mixed(x + _as_int64(0x9E3779B97F4A7C15 * (2 * type_ + 1) + _mix_of(seed)))
        # 32 good bits: their product with the number of parts fits.
        found[begin : begin + _CHUNK] = (((x >> 32) & 0xFFFFFFFF) * num_parts >> 32).short()
    return found


def _mixed(x: Tensor) -> Tensor:
    # Shifts of int64 bring copies of the sign, which are cut off.
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> shift & (1 << 64 - shift) - 1)) * _as_int64(factor)
    return x ^ (x >> 31 & (1 << 33) - 1)


def _mix_of(seed: int) -> int:
    return int(_mixed(torch.tensor(_as_int64(ops.as_wide_int("seed", seed)))))


def _as_int64(value: int) -> int:
    value %= 2**64
    return value - 2**64 if value >= 2**63 else value


@dataclass(frozen=True)
class PartReport:
    """How good a partitioning is.

    Attributes
    ----------
    num_parts : int
        P.
    edge_cut : int
        Edges whose ends are in different parts.
    edge_cut_share : float
        The same as a share of all edges.
    balance : dict
        By node type the largest part's nodes over the mean, and by ``"NAME (train)"`` likewise for
        training nodes; ``"in-edges"`` of the nodes that a part owns.
    replicated_rows : list of int
        Of each part the distinct nodes of other parts that its in-edges come from.
    replicated_share : float
        Their sum over the number of nodes.
    """

    num_parts: int
    edge_cut: int
    edge_cut_share: float
    balance: dict[str, float]
    replicated_rows: list[int]
    replicated_share: float

    def to_dict(self) -> dict[str, Any]:
        """The attributes as plain values."""
        return asdict(self)


def report_on(
    graph: GraphBase, parts: Mapping[str, Tensor], num_parts: int, train: Any = None
) -> PartReport:
    """Count what a partitioning cuts; O(edges) time, O(nodes) memory.

    Parameters
    ----------
    graph : Graph
        The graph.
    parts : mapping
        Part of each node by type, shape [N] each.
    num_parts : int
        P.
    train : Tensor, mask or dict, optional
        Training nodes, as in :func:`assign_parts`.
    """
    cut, work = 0, torch.zeros(num_parts, dtype=torch.int64)
    ntypes = graph.schema.ntypes
    # Pairs of a part and a node that it needs, seen once: a bit for each, a part's after another's.
    seen = {ntype: torch.zeros(graph.num_nodes(ntype), dtype=torch.bool) for ntype in ntypes}
    rows = []
    for part in range(num_parts):
        for mask in seen.values():
            mask.zero_()
        for (src, _, dst), one in graph.relations.items():
            full = one.adjacency.full()
            own = (parts[dst] == part).nonzero().squeeze(1)
            for nodes in torch.split(own, _CHUNK // 16):
                _, sources, _ = ops.sample_neighbors(full.indptr, full.indices, nodes, -1, key=0)
                remote = sources.long()[parts[src][sources.long()] != part]
                cut += remote.shape[0]
                work[part] += sources.shape[0]
                seen[src][remote] = True
        rows.append(sum(int(mask.sum()) for mask in seen.values()))
    balance = {}
    for ntype, mask in zip(ntypes, _trained(graph, train)):
        for name, chosen in ((ntype, parts[ntype]), (f"{ntype} (train)", parts[ntype][mask])):
            if chosen.shape[0]:
                balance[name] = _balance(torch.bincount(chosen.long(), minlength=num_parts))
    if graph.num_edges():
        balance["in-edges"] = _balance(work)
    return PartReport(
        num_parts, cut, cut / max(graph.num_edges(), 1), balance, rows,
        sum(rows) / max(graph.num_nodes(), 1),
    )  # fmt: skip


def _balance(counts: Tensor) -> float:
    return float(counts.max() * counts.shape[0] / counts.sum())
