"""The block: one hop of a mini-batch, from its source nodes to its destination nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
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
    LazyColumn,
    Take,
    inherit,
    read,
    take_rows,
)
from hopflow.structure.graph_base import GraphBase
from hopflow.structure.relations import node_name
from hopflow.structure.types import ONE_TYPE, ONE_TYPE_BLOCK, Relation, Schema

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Parent:
    """What blocks take from the graph that they are sampled from, as it was at that moment.

    Attributes
    ----------
    schema : Schema
        The types of the blocks.
    idtype : torch.dtype
        Of the ids handed out.
    nodes, edges : dict
        Columns of each node type, and of each relation.
    num_edges : dict
        Edges of each relation.
    """

    schema: Schema
    idtype: torch.dtype
    nodes: dict[str, dict[str, Column]]
    edges: dict[Relation, dict[str, Column]]
    num_edges: dict[Relation, int]

    @classmethod
    def of(cls, graph: GraphBase, *, is_reversed: bool = False) -> Parent:
        """The columns of a graph, or of the graph turned around, as they are now."""
        relations, schema = graph.relations, graph.schema
        if is_reversed:
            relations = {(dst, name, src): one for (src, name, dst), one in relations.items()}
            schema = Schema(schema.ntypes, list(relations))
        return cls(
            block_schema(schema),
            graph.idtype,
            {ntype: frame.snapshot() for ntype, frame in graph.node_frames().items()},
            {name: one.edge_frame.snapshot() for name, one in relations.items()},
            {name: one.num_edges() for name, one in relations.items()},
        )


@lru_cache(maxsize=256)
def block_schema(schema: Schema) -> Schema:
    """The types of a graph's blocks: every type of nodes is on both sides."""
    if schema == ONE_TYPE:
        return ONE_TYPE_BLOCK
    return Schema(schema.ntypes, schema.relations, dsttypes=schema.ntypes)


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


def _usual(ntype: str) -> Take:
    return take_rows


def _same(ids: Tensor) -> Tensor:
    return ids


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
    seed_inverse: Tensor | dict[str, Tensor] | None = None

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
        adjacencies: Mapping[Relation, Adjacency],
        src_ids: Mapping[str, Tensor],
        num_dst: Mapping[str, int],
        parent_eids: Mapping[Relation, LazyColumn | None],
        *,
        take_src: Callable[[str], Take] = _usual,
        take_dst: Callable[[str], Take] = _usual,
    ) -> Block:
        """A block whose nodes and edges are some of another graph's.

        Parameters
        ----------
        parent : Parent
            Where columns come from.
        adjacencies : mapping
            Edges of each relation between local ids.
        src_ids : mapping
            The parent's ids of the source nodes of each type; the first ``num_dst`` of them are the
            destinations.
        num_dst : mapping
            Destination nodes of each type.
        parent_eids : mapping
            The parent's id of each edge of a relation; None if they are the same.
        take_src, take_dst : callable
            ``take(ntype)`` is what gathers the node columns of a type when they are first read: a
            function ``(name, column, ids)``, :func:`take_rows` by default.
        """
        idtype = parent.idtype

        def frames(
            side: str, ids: Mapping[str, Tensor], take: Callable[[str], Take]
        ) -> dict[str, Frame]:
            made = {}
            for ntype, at in ids.items():
                columns = partial(
                    inherit, parent.nodes[ntype], partial(_same, at), NID, idtype, take(ntype)
                )
                made[ntype] = Frame(at.shape[0], node_name(ntype, side), at.device, columns)
            return made

        dst_ids = {ntype: ops.first_ids(src_ids[ntype], count) for ntype, count in num_dst.items()}
        parts: dict[Relation, tuple[Adjacency, Columns | None]] = {
            name: (edges, partial(_edges_of, parent.edges[name], parent_eids[name], edges, idtype))
            for name, edges in adjacencies.items()
        }
        return cls.of_types(
            parent.schema,
            frames("source", src_ids, take_src),
            parts,
            idtype,
            destinations=frames("destination", dst_ids, take_dst),
        )

    def with_frames(
        self, edges: Callable[[Adjacency], Adjacency] | None, change: Callable[[Frame], Frame]
    ) -> Self:
        block = super().with_frames(edges, change)
        inverse = self.seed_inverse
        if isinstance(inverse, dict):
            block.seed_inverse = {ntype: x.to(block.device) for ntype, x in inverse.items()}
        elif inverse is not None:
            block.seed_inverse = inverse.to(block.device)
        return block

    def num_nodes(self, ntype: Any = None) -> int:
        """Source plus destination nodes, as in DGL; a node on both sides counts twice."""
        if ntype is not None:
            return self.node_frame(ntype).num_rows
        return self.num_src_nodes() + self.num_dst_nodes()

    number_of_nodes = num_nodes

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
