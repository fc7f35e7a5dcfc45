"""Batches of graphs: how many nodes and edges each graph of a batch has, by type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hopflow.structure.by_type import ids_by_relation
from hopflow.structure.graph_base import GraphBase, require_graph
from hopflow.structure.ids import as_ids
from hopflow.structure.types import told


def batch_size(g: GraphBase) -> int:
    """Number of graphs that this one is made of; 1 unless :func:`hopflow.batch` made it.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.batch_size.html
    """
    sizes = g._batch_num_nodes
    return 1 if sizes is None else next(iter(sizes.values())).shape[0]


def batch_num_nodes(g: GraphBase, ntype: Any = None) -> Tensor:
    """Number of nodes of each graph of a batch; of a block its destinations.

    Parameters
    ----------
    g : Graph
        A graph; one that is no batch is a batch of one.
    ntype : str, optional
        Of which nodes, where there are several types.

    Returns
    -------
    Tensor
        Shape [``g.batch_size``], dtype ``g.idtype``.

    Raises
    ------
    ValueError
        There is no such type, or several, or :func:`set_batch_num_nodes` was not given it.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.batch_num_nodes.html
    """
    return node_sizes(g, ntype).to(g.idtype, copy=True)


def batch_num_edges(g: GraphBase, etype: Any = None) -> Tensor:
    """Number of edges of each graph of a batch, as :func:`batch_num_nodes`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.batch_num_edges.html
    """
    return edge_sizes(g, etype).to(g.idtype, copy=True)


def node_sizes(g: GraphBase, ntype: Any = None) -> Tensor:
    """:func:`batch_num_nodes` as int64, not to be written into."""
    num_nodes = g.node_frame(ntype).num_rows
    if g._batch_num_nodes is None:
        return torch.full((1,), num_nodes, dtype=torch.int64, device=g.device)
    return _of_type("ntype", g._batch_num_nodes, g.schema.ntype(ntype))


def edge_sizes(g: GraphBase, etype: Any = None) -> Tensor:
    """:func:`batch_num_edges` as int64, not to be written into."""
    relation = g.schema.relation(etype)
    if g._batch_num_edges is None:
        return torch.full((1,), g.num_edges(relation), dtype=torch.int64, device=g.device)
    return _of_type("etype", g._batch_num_edges, relation)


def _of_type(name: str, sizes: Mapping[Any, Tensor], of: Any) -> Tensor:
    if of not in sizes:
        raise ValueError(f"{name}: sizes of the graphs were set for {told(sizes)}, not for {of!r}")
    return sizes[of]


def offsets(sizes: Tensor) -> Tensor:
    """Where each graph's nodes or edges begin, and the end: shape [B + 1], int64."""
    start = torch.zeros(1, dtype=torch.int64, device=sizes.device)
    return torch.cat([start, torch.cumsum(sizes, 0)])


def owners(sizes: Tensor) -> Tensor:
    """The graph of each node or edge, int64."""
    return torch.repeat_interleave(sizes)


def set_batch_num_nodes(g: GraphBase, val: Any) -> None:
    """Say how many nodes each graph of a batch has, of one that other means have made.

    What changes nodes or edges mostly gives a graph that is no batch (in DGL too): this and
    :func:`set_batch_num_edges` make it one again.

    Parameters
    ----------
    g : Graph
        A graph whose nodes are those of the first graph, then those of the second, and so on.
    val : Tensor, sequence of int or dict
        Their numbers, shape [B]; where there are several types a dict by type.

    Raises
    ------
    ValueError
        Numbers that are negative or do not add up to the graph's, several lengths, or an unknown
        type.
    TypeError
        Numbers that are no integers, or a block.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.set_batch_num_nodes.html
    """
    ntypes = require_graph(g).schema.ntypes
    if not isinstance(val, Mapping):
        if len(ntypes) > 1:
            raise ValueError(f"val: expected a dict by node type, of {told(ntypes)}, got numbers")
        val = {ntypes[0]: val}
    unknown = [ntype for ntype in val if ntype not in ntypes]
    if unknown:
        raise ValueError(f"val: expected node types of {told(ntypes)}, got {unknown[0]!r}")
    counts = {ntype: g.num_nodes(ntype) for ntype in val}
    g._batch_num_nodes = checked_sizes("val", val, counts, "node", g.device)


def set_batch_num_edges(g: GraphBase, val: Any) -> None:
    """Say how many edges each graph of a batch has; as :func:`set_batch_num_nodes`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.set_batch_num_edges.html
    """
    given = ids_by_relation(require_graph(g).schema, "val", val)
    counts = {relation: g.num_edges(relation) for relation in given}
    g._batch_num_edges = checked_sizes("val", given, counts, "edge", g.device)


def checked_sizes(
    name: str, given: Mapping[Any, Any], counts: Mapping[Any, int], what: str, device: torch.device
) -> dict[Any, Tensor]:
    """Sizes by type that are equally many and add up to ``counts``, or a ValueError."""
    sizes: dict[Any, Tensor] = {}
    for of, numbers in given.items():
        named = name if len(given) == 1 else f"{name}[{of!r}]"
        sizes[of] = as_ids(named, numbers, dtype=torch.int64).to(device, copy=True)
        if sizes[of].numel() and int(sizes[of].min()) < 0:
            raise ValueError(f"{named}: expected sizes of at least 0, got {int(sizes[of].min())}")
        if int(sizes[of].sum()) != counts[of]:
            raise ValueError(
                f"{named}: expected sizes that add up to the {counts[of]} {what}s, got"
                f" {int(sizes[of].sum())}"
            )
    if not sizes:
        raise ValueError(f"{name}: expected sizes of at least one type, got none")
    same_number(name, sizes)
    return sizes


def same_number(name: str, *by_type: Mapping[Any, Tensor]) -> int:
    """The number of graphs that all sizes are of; a ValueError if they differ, or it is none."""
    lengths = {of: x.shape[0] for sizes in by_type for of, x in sizes.items()}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise ValueError(f"{name}: expected sizes of equally many graphs, got {lengths}")
    return next(iter(lengths.values()))


def keep_sizes(
    made: GraphBase,
    g: GraphBase,
    *,
    nodes: Mapping[str, Tensor] | None = None,
    edges: Mapping[Any, Tensor] | None = None,
) -> None:
    """Make a graph the batch that another is, of which some nodes or edges are left out.

    Parameters
    ----------
    made : Graph
        The graph without them; it is written to.
    g : Graph
        The graph with them.
    nodes, edges : mapping, optional
        Old ids of those that are left, rising, for types that have lost any. Where nodes have lost
        theirs, edges are counted by their destinations.
    """
    if g._batch_num_nodes is not None:
        made._batch_num_nodes = {
            ntype: _left(sizes, nodes[ntype]) if nodes and ntype in nodes else sizes
            for ntype, sizes in g._batch_num_nodes.items()
        }
    if g._batch_num_edges is None:
        return
    kept: dict[Any, Tensor] = {}
    for relation, sizes in g._batch_num_edges.items():
        if nodes is None:
            left = None if edges is None else edges.get(relation)
            kept[relation] = sizes if left is None else _left(sizes, left)
        elif made._batch_num_nodes is not None and relation[2] in made._batch_num_nodes:
            ends = offsets(made._batch_num_nodes[relation[2]])
            kept[relation] = made.relation(relation).adjacency.full().indptr[ends].diff()
    made._batch_num_edges = kept or None


def _left(sizes: Tensor, kept: Tensor) -> Tensor:
    return torch.searchsorted(kept.contiguous(), offsets(sizes)).diff()
