"""The block: one hop of a mini-batch, from its source nodes to its destination nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.graphs.graph import Graph
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import (
    EID,
    NID,
    Column,
    Columns,
    Frame,
    InheritedRows,
    Take,
    inherit,
    read,
    take_rows,
)
from hopflow.structure.graph_base import GraphBase
from hopflow.structure.lazy_column import LazyColumn
from hopflow.structure.relations import node_name
from hopflow.structure.table_rows import TableRows
from hopflow.structure.types import ONE_TYPE_BLOCK, Relation, Schema

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Parent:
    """What blocks take from the graph that they are sampled from, as it was at that moment.

    Attributes
    ----------
    schema : Schema
        The types of the blocks.
    idtype : torch.dtype
        Of the ids handed out.
    nodes, edges : list
        Columns of each node type, and of each relation, in the order of ``schema``.
    num_edges : list of int
        Edges of each relation.
    """

    schema: Schema
    idtype: torch.dtype
    nodes: list[dict[str, Column]]
    edges: list[dict[str, Column]]
    num_edges: list[int]

    @classmethod
    def of(cls, graph: GraphBase, *, is_reversed: bool = False) -> Parent:
        """The columns of a graph, or of the graph turned around, as they are now."""
        schema = graph.schema
        if graph._relations is None and graph._src_frame is graph._dst_frame:
            # One type: turned around it is the same. Spares small batches the loops.
            edges = graph._edge_frame
            columns = [graph._dst_frame.snapshot()], [edges.snapshot()]
            return cls(schema.of_blocks(), graph._idtype, *columns, [edges.num_rows])
        relations = graph.relations
        if is_reversed:
            names = [(dst, name, src) for src, name, dst in relations]
            schema = Schema(schema.ntypes, names)
        return cls(
            schema.of_blocks(),
            graph.idtype,
            [frame.snapshot() for frame in graph.node_frames().values()],
            [one.edge_frame.snapshot() for one in relations.values()],
            [one.num_edges() for one in relations.values()],
        )


def _nodes_of(
    columns: dict[str, Column],
    ids: Tensor,
    idtype: torch.dtype,
    take: Callable[[int, str], Take],
    level: int,
    ntype: str,
) -> dict[str, Column]:
    """Node columns of one side of a block: the parent's at ``ids``."""
    return inherit(columns, lambda: ids, NID, idtype, take(level, ntype))


def _edges_of(
    columns: dict[str, Column],
    parent_eids: LazyColumn | None,
    adjacency: Adjacency,
    idtype: torch.dtype,
) -> dict[str, Column]:
    """Edge columns of a block: the parent's at ``parent_eids``, or as they are for None."""
    if parent_eids is not None:
        return inherit(columns, parent_eids.read, EID, idtype, take_rows)
    made: dict[str, Column] = {
        name: LazyColumn(partial(read, column)) for name, column in columns.items()
    }
    num_edges, device = adjacency.num_edges, adjacency.indices.device
    made[EID] = LazyColumn(lambda: torch.arange(num_edges, dtype=idtype, device=device))
    return made


def always_take_rows(level: int, ntype: str) -> Take:
    """Gather columns of every level and type by :func:`take_rows`."""
    return take_rows


class Block(Graph):
    """A bipartite graph between the nodes of two layers (a message-flow graph).

    The first ``num_dst_nodes()`` source nodes of a block made by a sampler or by
    :func:`hopflow.to_block` are its destination nodes. Columns of the parent graph are reachable on
    ``srcdata``, ``dstdata`` and ``edata`` and gathered when they are first read. ``ndata`` reads
    and writes the destination side, so a module written for graphs works on blocks.

    Attributes
    ----------
    seed_inverse : Tensor, dict or None
        On the last block of a batch whose seeds held duplicates: the row of each given seed among
        the destination nodes, int64, shape [number of seeds given]. None if seeds were distinct.
        For seeds by type a dict, of the types that held duplicates.

    References
    ----------
    https://www.dgl.ai/dgl_docs/tutorials/large/L4_message_passing.html
    """

    is_block = True
    _schema = ONE_TYPE_BLOCK

    def __init__(
        self,
        adjacency: Adjacency,
        *,
        idtype: torch.dtype = torch.int64,
        src_columns: Columns | None = None,
        dst_columns: Columns | None = None,
        edge_columns: Columns | None = None,
    ) -> None:
        self._adjacency = adjacency
        self._idtype = adjacency.fitting(idtype)
        device = self.device
        self._src_frame = Frame(adjacency.num_src, "source node", device, src_columns)
        self._dst_frame = Frame(adjacency.num_dst, "destination node", device, dst_columns)
        self._edge_frame = Frame(adjacency.num_edges, "edge", device, edge_columns)

    @classmethod
    def from_parent(
        cls,
        parent: Parent,
        adjacencies: Sequence[Adjacency],
        src_ids: Sequence[Tensor],
        dst_ids: Sequence[Tensor],
        parent_eids: Sequence[LazyColumn | None],
        *,
        take: Callable[[int, str], Take] = always_take_rows,
        level: int = 0,
    ) -> Block:
        """A block whose nodes and edges are some of another graph's.

        Parameters
        ----------
        parent : Parent
            Where columns come from. What follows is in the order of its types and relations.
        adjacencies : sequence of Adjacency
            Edges of each relation between local ids.
        src_ids, dst_ids : sequence of Tensor
            The parent's ids of the source nodes of each type, and of the destination nodes, which
            are the first of them.
        parent_eids : sequence
            The parent's id of each edge of a relation; None if they are the same.
        take : callable
            ``take(level, ntype)`` gathers a type's node columns when they are first read: those of
            destinations at ``level``, those of sources at the next. :func:`take_rows` by default.
        level : int
            The number of hops that led to the destinations.
        """
        schema, idtype = parent.schema, parent.idtype
        ntypes, relations = schema.dsttypes, schema.relations
        if len(ntypes) == 1 and len(relations) == 1:  # spares small batches what is for several
            block = cls(
                adjacencies[0],
                idtype=idtype,
                src_columns=partial(
                    _nodes_of, parent.nodes[0], src_ids[0], idtype, take, level + 1, ntypes[0]
                ),
                dst_columns=partial(
                    _nodes_of, parent.nodes[0], dst_ids[0], idtype, take, level, ntypes[0]
                ),
                edge_columns=partial(
                    _edges_of, parent.edges[0], parent_eids[0], adjacencies[0], idtype
                ),
            )
            if schema is not ONE_TYPE_BLOCK:
                block._schema = schema
            return block

        def frames(side: str, ids: Sequence[Tensor], level: int) -> dict[str, Frame]:
            made = {}
            for name, at, of_type in zip(ntypes, ids, parent.nodes):
                columns = partial(_nodes_of, of_type, at, idtype, take, level, name)
                made[name] = Frame(at.shape[0], node_name(name, side), at.device, columns)
            return made

        parts: dict[Relation, tuple[Adjacency, Columns | None]] = {
            name: (edges, partial(_edges_of, of_type, eids, edges, idtype))
            for name, edges, of_type, eids in zip(relations, adjacencies, parent.edges, parent_eids)
        }
        return cls.of_types(
            schema,
            frames("source", src_ids, level + 1),
            parts,
            idtype,
            destinations=frames("destination", dst_ids, level),
        )

    def num_nodes(self, ntype: Any = None) -> int:
        """Source plus destination nodes, as in DGL; a node on both sides counts twice."""
        if ntype is not None:
            return self.node_frame(ntype).num_rows
        return self.num_src_nodes() + self.num_dst_nodes()

    number_of_nodes = num_nodes

    def src_rows(self, name: str) -> Tensor | TableRows:
        """``srcdata[name]``, left in the parent's column where that is in memory.

        For layers that take :class:`~hopflow.structure.table_rows.TableRows`, such as
        :class:`hopflow.nn.SAGEConv`: ``conv(blocks[0], blocks[0].src_rows("feat"))`` has the same
        result as with ``blocks[0].srcdata["feat"]``, bit for bit, and where it is faster no copy
        of the rows is made. They are those of the column as it is when they are used. Otherwise,
        and where a loader has brought the rows along, it is ``srcdata[name]``.

        Parameters
        ----------
        name : str
            A column of the source nodes, of one type.

        Returns
        -------
        Tensor or TableRows
            Shape [U, ...].

        Raises
        ------
        KeyError
            There is no such column.
        ValueError
            The block has several types.
        """
        if self._relations is not None:
            raise ValueError("src_rows: expected a block of one type, got one of several")
        column = self._src_frame.column(name)
        found = column.in_table() if isinstance(column, InheritedRows) else None
        if found is None:
            return self._src_frame[name]
        table, ids = found
        num_dst = self.num_dst_nodes()

        def own() -> Tensor:
            # Those that the loader has brought along, unless somebody has put others there.
            own = self._dst_frame.snapshot().get(name)
            if isinstance(own, InheritedRows) and not own.is_read:
                return own.read()
            return ops.gather_rows(table, ids[:num_dst])

        return TableRows(table, ids, lambda: self._src_frame[name], own)

    def __repr__(self) -> str:
        if self._schema == ONE_TYPE_BLOCK:
            return (
                f"Block(num_src_nodes={self.num_src_nodes()},"
                f" num_dst_nodes={self.num_dst_nodes()}, num_edges={self.num_edges()})"
            )
        sources = {ntype: self.num_src_nodes(ntype) for ntype in self.srctypes}
        destinations = {ntype: self.num_dst_nodes(ntype) for ntype in self.dsttypes}
        edges = {relation: one.num_edges() for relation, one in self.relations.items()}
        return (
            f"Block(num_src_nodes={sources},\n      num_dst_nodes={destinations},\n"
            f"      num_edges={edges},\n      metagraph={self._schema.metagraph()})"
        )
