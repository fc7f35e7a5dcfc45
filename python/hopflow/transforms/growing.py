"""Graphs with more nodes and edges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Columns, Frame
from hopflow.structure.graph_base import GraphBase, GraphT, require_graph
from hopflow.structure.ids import as_ids
from hopflow.structure.relations import edge_name, node_name
from hopflow.structure.row_view import scheme
from hopflow.structure.stored_column import StoredColumn
from hopflow.structure.types import Relation


def add_nodes(
    g: GraphT, num: int, data: Mapping[str, Any] | None = None, ntype: Any = None
) -> GraphT:
    """The graph with more nodes, which come after the others and have no edges.

    Parameters
    ----------
    g : Graph
        A graph.
    num : int
        How many.
    data : mapping, optional
        Columns of the new nodes, [num, ...] each. Where they lack a column that the graph has, or
        the other way round, the rows are 0, or what the initialiser of
        :meth:`~hopflow.Graph.set_n_initializer` gives.
    ntype : str, optional
        Of which type, where there are several.

    Raises
    ------
    TypeError, ValueError
        A negative number, rows that do not go into the column that is there, a type that is not
        there, or more rows for a column that is on disk or encoded.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.add_nodes.html
    """
    g = require_graph(g)
    name = g.schema.ntype(ntype)
    count = ops.as_int("num", num)
    if count < 0:
        raise ValueError(f"num: expected at least 0, got {count}")
    _require_possible("num", g.num_nodes(name) + count)
    return _grown(g, {name: _longer(g.node_frame(name), count, data, f"new {node_name(name)}")})


def add_edges(
    g: GraphT, u: Any, v: Any, data: Mapping[str, Any] | None = None, etype: Any = None
) -> GraphT:
    """The graph with more edges, which come after the others.

    Parameters
    ----------
    g : Graph
        A graph.
    u, v : Tensor, numpy array, sequence of int or int
        Sources and destinations, shape [n] each; a single one is paired with all of the other. Ids
        of nodes that are not there yet make nodes up to these, as :func:`add_nodes` does.
    data : mapping, optional
        Columns of the new edges, [n, ...] each; as in :func:`add_nodes`.
    etype : str or tuple, optional
        Of which type, where there are several.

    Raises
    ------
    IndexError
        A negative id.
    TypeError, ValueError
        No ids, or numbers of them that make no pairs; and as :func:`add_nodes`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.add_edges.html
    """
    g = require_graph(g)
    relation = g.schema.relation(etype)
    src, dst = _pairs(g, u, v)
    edges = _longer(
        g.relation(relation).edge_frame, src.shape[0], data, f"new {edge_name(relation)}"
    )
    # One more than the largest id of each type, of both ends where they are of one.
    wanted: dict[str, int] = {}
    for what, ntype, ids in (("u", relation[0], src), ("v", relation[2], dst)):
        count = int(ids.max()) + 1 if ids.shape[0] else 0
        _require_possible(what, count)
        wanted[ntype] = max(wanted.get(ntype, 0), count)
    nodes = {}
    for ntype, count in wanted.items():
        frame = g.node_frame(ntype)
        if count > frame.num_rows:
            nodes[ntype] = _longer(frame, count - frame.num_rows, None, f"new {node_name(ntype)}")
    return _grown(g, nodes, (relation, src, dst, edges))


def _pairs(g: GraphBase, u: Any, v: Any) -> tuple[Tensor, Tensor]:
    """Ends of new edges on the graph's device, int64."""
    src, dst = (
        as_ids(name, ids, dtype=torch.int64).to(g.device) for name, ids in (("u", u), ("v", v))
    )
    for name, ids in (("u", src), ("v", dst)):
        if bool((ids < 0).any()):
            at = int((ids < 0).nonzero()[0])
            raise IndexError(f"{name}[{at}] is {int(ids[at])}, expected ids of at least 0")
    n, m = src.shape[0], dst.shape[0]
    if n != m and 1 not in (n, m):
        raise ValueError(f"v: expected as many nodes as u, {n}, or a single one, got {m}")
    return (src.expand(m), dst) if n == 1 else (src, dst.expand(n))


def _require_possible(name: str, count: int) -> None:
    if count > ops.MOST_NODES:
        raise ValueError(
            f"{name}: {count} nodes would need {8 * count / 2**30:.0f} GiB of index; is a number"
            " wrong?"
        )


def _longer(frame: Frame, count: int, data: Mapping[str, Any] | None, what: str) -> Frame:
    """A frame with more rows at the end; all is checked before any column is made."""
    if data is not None and not isinstance(data, Mapping):
        raise TypeError(f"data: expected a dict of columns, got {type(data).__name__}")
    if count:
        for name in frame:
            if isinstance(frame.column(name), StoredColumn):
                raise ValueError(
                    f"{frame.what} column {name!r}: expected a tensor, to add rows to, got"
                    f" {type(frame.column(name)).__name__}; read it into one, or delete it, first"
                )
    given = dict(data or {})
    more = Frame(count, what, frame.device)
    for name, rows in given.items():
        if isinstance(rows, StoredColumn):
            raise TypeError(f"data[{name!r}]: expected a tensor, got {type(rows).__name__}")
        more.check(name, rows)
        if name in frame and scheme(frame[name]) != scheme(rows):
            raise ValueError(
                f"data[{name!r}]: expected rows as the column has, {scheme(frame[name])}, got"
                f" {scheme(rows)}"
            )
    old, new = slice(0, frame.num_rows), slice(frame.num_rows, frame.num_rows + count)
    columns: Columns = frame.snapshot()
    assert isinstance(columns, dict)
    # Columns are read here even if they wait to be: the rows of initialisers are those of now.
    with torch.inference_mode(False):
        for name in frame if count else ():
            rows = given[name] if name in given else frame.initial(name, frame[name], new)
            columns[name] = torch.cat([frame[name], rows])
        for name, rows in given.items():
            if name not in frame:
                columns[name] = torch.cat([frame.initial(name, rows, old), rows])
    return Frame(new.stop, frame.what, frame.device, columns).fill_as(frame)


def _grown(
    g: GraphT,
    nodes: Mapping[str, Frame],
    edges: tuple[Relation, Tensor, Tensor, Frame] | None = None,
) -> GraphT:
    """The graph with other frames of some types of nodes, and more edges of one relation."""
    frames = {ntype: nodes.get(ntype, frame.copy()) for ntype, frame in g.node_frames().items()}
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {}
    edge_frames: dict[Relation, Frame] = {}
    # A graph outlives the mode that it is made in: it must serve a backward pass later.
    with torch.inference_mode(False):
        for relation, one in g.relations.items():
            num_src, num_dst = frames[relation[0]].num_rows, frames[relation[2]].num_rows
            adjacency, edge_frames[relation] = one.adjacency, one.edge_frame.copy()
            if edges is not None and relation == edges[0]:
                _, src, dst, edge_frames[relation] = edges
                old_src, old_dst = (x.long() for x in adjacency.coo())
                ends = torch.cat([old_src, src]), torch.cat([old_dst, dst])
                adjacency = Adjacency.from_coo(*ends, num_src, num_dst)
            elif (num_src, num_dst) != (adjacency.num_src, adjacency.num_dst):
                adjacency = _among(adjacency, num_src, num_dst)
            parts[relation] = adjacency, None
    made = type(g).of_types(g.schema, frames, parts, g.idtype, like=g)
    for relation, one in made.relations.items():
        one._edge_frame = edge_frames[relation]
    return made


def _among(adjacency: Adjacency, num_src: int, num_dst: int) -> Adjacency:
    """The same edges among more nodes; arrays are shared where they need not be longer or wider."""
    indptr, indices = adjacency.indptr, adjacency.indices
    if adjacency.rows is None:
        indptr = torch.cat([indptr, indptr[-1:].expand(num_dst - adjacency.num_dst)])
    if ops.id_dtype(num_src) == torch.int64:
        indices = indices.long()
    return Adjacency(indptr, indices, adjacency.eids, num_src, num_dst, adjacency.rows)
