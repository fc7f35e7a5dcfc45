"""Graphs and blocks from edge lists, compressed arrays and scipy matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from hopflow.graphs.block import Block
from hopflow.graphs.edge_arrays import Device, Edges, GraphData, as_count, as_device, make_edges
from hopflow.graphs.graph import Graph
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Columns, Frame
from hopflow.structure.relations import node_name
from hopflow.structure.types import CANONICAL, Relation, Schema, require_relation


def graph(
    data: GraphData,
    *,
    num_nodes: int | None = None,
    idtype: torch.dtype | None = None,
    device: Device | None = None,
    row_sorted: bool = False,
    col_sorted: bool = False,
    copy: bool = False,
) -> Graph:
    """Make a graph. Duplicate edges and self-loops are kept as given.

    Parameters
    ----------
    data : tuple, Tensor, numpy array, list or scipy sparse matrix
        One of

        - ``(src, dst)`` or ``("coo", (src, dst))``: the ends of each edge, shape [E] each; tensors,
          numpy arrays or lists of integers;
        - ``edge_index``, a tensor or numpy array of shape [2, E]: sources, then destinations;
        - ``[(u, v), ...]``, a list of edges; ``[]`` has none;
        - ``("csc", (indptr, indices, eids))``: in-edges of each node, with the edge at each
          position; empty ``eids`` if edge ``e`` is at position ``e``;
        - ``("csr", (indptr, indices, eids))``: the same for out-edges;
        - a scipy sparse matrix: an edge from row to column for each stored entry.

        A list of two lists of two ids might be edges or ends, and is refused.
    num_nodes : int, optional
        Number of nodes; by default one more than the largest id, the rows of ``indptr``, or of the
        matrix.
    idtype : torch.dtype, optional
        int32 or int64, the dtype of ids handed out; by default that of ``data``, or int64. Where
        int32 cannot number the nodes and edges it is int64, unless int32 is asked for.
    device : str or torch.device, optional
        Where to put it; by default where its tensors are, else the CPU.
    row_sorted, col_sorted : bool
        Accepted for DGL's sake; hopflow sees for itself whether edges are sorted.
    copy : bool
        Whether the graph has memory of its own. By default the arrays of a CSC on the CPU are taken
        as they are where they are contiguous and have the dtype that the graph keeps them in
        (``indptr`` int64; ``indices`` and ``eids`` int32, or int64 where their ids may not fit
        int32), numpy arrays that are read-only or mapped from a file included: **do not change them
        afterwards**. All else is converted or sorted, and so copied anyway.

    Returns
    -------
    Graph

    Raises
    ------
    IndexError
        An id is negative or not below the number of nodes.
    TypeError
        Ids that are no integers, or ``data`` of another form.
    ValueError
        Arrays whose lengths or shapes do not match or that are no compressed form; an ``idtype`` of
        int32 asked for where it cannot number the nodes and edges.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.graph.html
    """
    made = make_edges(data, num_nodes, num_nodes, bipartite=False, copy=copy)
    g = Graph(made.adjacency, idtype=_idtype(idtype, made))
    return g.to(as_device(data, device))


def heterograph(
    data_dict: Mapping[Relation, GraphData],
    num_nodes_dict: Mapping[str, int] | None = None,
    idtype: torch.dtype | None = None,
    device: Device | None = None,
    *,
    copy: bool = False,
) -> Graph:
    """Make a graph of several node and edge types.

    Parameters
    ----------
    data_dict : mapping
        ``{(source type, name, destination type): data}``, ``data`` as :func:`hopflow.graph` takes
        it. Nodes of each type are numbered by themselves.
    num_nodes_dict : mapping, optional
        Number of nodes of each type; by default one more than its largest id. A type without edges
        is there if it is given here.
    idtype, device, copy
        As in :func:`hopflow.graph`.

    Returns
    -------
    Graph
        Node types and relations are in the order of their names, as in DGL.

    Raises
    ------
    TypeError, ValueError
        Relations that are not three names, or no relation; a type of which the number of nodes is
        not given although it is asked for others; and as :func:`hopflow.graph`, naming the
        relation.
    IndexError
        An id that is negative or not below the number of nodes.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.heterograph.html
    """
    given = _relations("data_dict", data_dict)
    counts = None if num_nodes_dict is None else _counts("num_nodes_dict", num_nodes_dict)
    ends = {end for src, _, dst in given for end in (src, dst)}
    if counts is not None:
        missing = sorted(ends - counts.keys())
        if missing:
            raise ValueError(
                f"num_nodes_dict: expected a number for every node type, none for {missing}"
            )
    made = {r: _made(r, data, counts, counts, copy) for r, data in given.items()}
    if counts is None:
        counts = {}
        _most(made, counts, counts)
    schema = Schema(sorted(counts), list(made))
    frames = {t: Frame(counts[t], node_name(t), torch.device("cpu")) for t in schema.ntypes}
    graph = Graph.of_types(
        schema, frames, _parts(made, counts, counts), _typed_idtype(idtype, made)
    )
    return graph.to(as_device(list(given.values()), device))


def create_block(
    data_dict: Any,
    num_src_nodes: Any = None,
    num_dst_nodes: Any = None,
    idtype: torch.dtype | None = None,
    device: Device | None = None,
    *,
    copy: bool = False,
) -> Block:
    """Make a block from edges between local ids, without a parent graph.

    Parameters
    ----------
    data_dict : tuple, Tensor, numpy array, list, scipy sparse matrix or dict
        As ``data`` of :func:`graph`; sources and destinations are numbered apart. Of several types
        ``{(source type, name, destination type): data}``.
    num_src_nodes, num_dst_nodes : int or dict, optional
        Numbers of nodes; by default one more than the largest id of the side. Of several types a
        dict by type.
    idtype, device, copy
        As in :func:`graph`.

    Raises
    ------
    IndexError, TypeError, ValueError
        As :func:`graph`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.create_block.html
    """
    if isinstance(data_dict, dict):
        return _typed_block(data_dict, num_src_nodes, num_dst_nodes, idtype, device, copy)
    made = make_edges(data_dict, num_src_nodes, num_dst_nodes, bipartite=True, copy=copy)
    block = Block(made.adjacency, idtype=_idtype(idtype, made))
    moved = block.to(as_device(data_dict, device))
    assert isinstance(moved, Block)
    return moved


def _typed_block(
    data_dict: Mapping[Relation, GraphData],
    num_src_nodes: Mapping[str, int] | None,
    num_dst_nodes: Mapping[str, int] | None,
    idtype: torch.dtype | None,
    device: Device | None,
    copy: bool,
) -> Block:
    """:func:`hopflow.create_block` of several types."""
    given = _relations("data_dict", data_dict)
    if (num_src_nodes is None) != (num_dst_nodes is None):
        raise ValueError("num_src_nodes, num_dst_nodes: expected both or neither")
    sides: list[dict[str, int]] = []
    for name, numbers, at in (
        ("num_src_nodes", num_src_nodes, 0), ("num_dst_nodes", num_dst_nodes, 2)
    ):  # fmt: skip
        counts = {} if numbers is None else _counts(name, numbers)
        missing = sorted({relation[at] for relation in given} - counts.keys())
        if numbers is not None and missing:
            raise ValueError(f"{name}: expected a number for every node type, none for {missing}")
        sides.append(counts)
    if num_src_nodes is None:
        made = {r: _made(r, data, None, None, copy) for r, data in given.items()}
        _most(made, *sides)
    else:
        made = {r: _made(r, data, sides[0], sides[1], copy) for r, data in given.items()}
    sources, destinations = (
        {t: Frame(counts[t], node_name(t, side), torch.device("cpu")) for t in sorted(counts)}
        for counts, side in zip(sides, ("source", "destination"))
    )
    schema = Schema(list(sources), list(made), dsttypes=list(destinations))
    block = Block.of_types(
        schema,
        sources,
        _parts(made, *sides),
        _typed_idtype(idtype, made),
        destinations=destinations,
    )
    return block.to(as_device(list(given.values()), device))


def _relations(name: str, data: Any) -> dict[Relation, Any]:
    if not isinstance(data, Mapping):
        raise TypeError(
            f"{name}: expected {{(source type, name, destination type): edges}}, got"
            f" {type(data).__name__}"
        )
    if not data:
        raise ValueError(f"{name}: expected at least one relation, got none")
    given = {require_relation(relation): edges for relation, edges in data.items()}
    return {relation: given[relation] for relation in sorted(given)}


def _counts(name: str, numbers: Any) -> dict[str, int]:
    if not isinstance(numbers, Mapping):
        raise TypeError(
            f"{name}: expected {{node type: number of nodes}}, got {type(numbers).__name__}"
        )
    made = {}
    for ntype, number in numbers.items():
        count = as_count(f"{name}[{ntype!r}]", number)
        if count is None or not isinstance(ntype, str):
            raise TypeError(f"{name}: expected a number for a str, got {number!r} for {ntype!r}")
        made[ntype] = count
    return made


def _made(
    relation: Relation,
    data: Any,
    src_counts: Mapping[str, int] | None,
    dst_counts: Mapping[str, int] | None,
    copy: bool,
) -> Edges:
    """The edges of one relation; errors name it."""
    src, _, dst = relation
    num_src = None if src_counts is None else src_counts[src]
    num_dst = None if dst_counts is None else dst_counts[dst]
    try:
        return make_edges(data, num_src, num_dst, bipartite=True, copy=copy)
    except (ValueError, TypeError, IndexError) as error:
        if relation == CANONICAL:
            raise
        raise type(error)(f"{relation!r}: {error}") from None


def _most(made: Mapping[Relation, Edges], src: dict[str, int], dst: dict[str, int]) -> None:
    """Note of each type the most nodes that any relation has, of its sources and destinations."""
    for relation, edges in made.items():
        for counts, ntype, count in (
            (src, relation[0], edges.adjacency.num_src),
            (dst, relation[2], edges.adjacency.num_dst),
        ):
            counts[ntype] = max(counts.get(ntype, 0), count)


# A graph outlives the mode that it is made in: it must serve a backward pass later.
@torch.inference_mode(False)
def _parts(
    made: Mapping[Relation, Edges], src_counts: Mapping[str, int], dst_counts: Mapping[str, int]
) -> dict[Relation, tuple[Adjacency, Columns | None]]:
    """Edges of each relation, between as many nodes as their types have."""
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {}
    for relation, edges in made.items():
        adjacency = edges.adjacency
        num_src, num_dst = src_counts[relation[0]], dst_counts[relation[2]]
        if (adjacency.num_src, adjacency.num_dst) != (num_src, num_dst):
            more = adjacency.indptr[-1:].expand(num_dst - adjacency.num_dst)
            indptr = torch.cat([adjacency.indptr, more])
            adjacency = Adjacency(indptr, adjacency.indices, adjacency.eids, num_src, num_dst)
        parts[relation] = adjacency, None
    return parts


def _typed_idtype(asked: torch.dtype | None, made: Mapping[Relation, Edges]) -> torch.dtype:
    """The dtype asked for, or that in which all ids came."""
    if asked is not None and asked not in (torch.int32, torch.int64):
        raise TypeError(f"idtype: expected torch.int32 or torch.int64, got {asked}")
    kinds = {edges.idtype for edges in made.values()}
    wanted = asked or (torch.int32 if kinds == {torch.int32} else torch.int64)
    for relation, edges in made.items():
        if edges.adjacency.fitting(wanted) != wanted:
            if asked is None:
                return torch.int64
            raise ValueError(
                f"idtype: {edges.adjacency.most()} nodes or edges of {relation!r} do not fit int32"
            )
    return wanted


def _idtype(asked: torch.dtype | None, made: Edges) -> torch.dtype:
    if asked is None:
        return made.adjacency.fitting(made.idtype)
    if asked not in (torch.int32, torch.int64):
        raise TypeError(f"idtype: expected torch.int32 or torch.int64, got {asked}")
    if made.adjacency.fitting(asked) != asked:
        raise ValueError(f"idtype: {made.adjacency.most()} nodes or edges do not fit int32")
    return asked
