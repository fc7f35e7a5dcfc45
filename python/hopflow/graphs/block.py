"""The block: one hop of a mini-batch, from its source nodes to its destination nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from hopflow import ops
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


@dataclass(frozen=True)
class Parent:
    """What blocks take from the graph that they are sampled from, as it was at that moment."""

    idtype: torch.dtype
    sources: dict[str, Column]
    destinations: dict[str, Column]
    edges: dict[str, Column]
    num_edges: int

    @classmethod
    def of(cls, graph: Graph) -> Parent:
        """The columns of a graph as they are now."""
        sources = graph.srcdata.snapshot()
        same = graph.dstdata is graph.srcdata
        destinations = sources if same else graph.dstdata.snapshot()
        edges = graph.edata.snapshot()
        return cls(graph.idtype, sources, destinations, edges, graph.num_edges())


class Block(Graph):
    """A bipartite graph between the nodes of two layers (a message-flow graph).

    The first ``num_dst_nodes()`` source nodes of a block made by a sampler or by
    :func:`hopflow.to_block` are its destination nodes. Columns of the parent graph are reachable on
    ``srcdata``, ``dstdata`` and ``edata`` and gathered when they are first read. ``ndata`` reads
    and writes the destination side, so a module written for graphs works on blocks.

    Attributes
    ----------
    seed_inverse : Tensor or None
        On the last block of a batch whose seeds held duplicates: the row of each given seed among
        the destination nodes, int64, shape [number of seeds given]. None if seeds were distinct.

    References
    ----------
    https://www.dgl.ai/dgl_docs/tutorials/large/L4_message_passing.html
    """

    is_block = True

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
        self._idtype = idtype
        device = self.device
        self._src_frame = Frame(adjacency.num_src, "source node", device, src_columns)
        self._dst_frame = Frame(adjacency.num_dst, "destination node", device, dst_columns)
        self._edge_frame = Frame(adjacency.num_edges, "edge", device, edge_columns)
        self.seed_inverse: Tensor | None = None

    @classmethod
    def from_parent(
        cls,
        parent: Parent,
        adjacency: Adjacency,
        src_ids: Tensor,
        parent_eids: LazyColumn | None,
        *,
        take_src: Take | None = None,
        take_dst: Take | None = None,
    ) -> Block:
        """A block whose nodes and edges are some of another graph's.

        Parameters
        ----------
        parent : Parent
            Where columns come from.
        adjacency : Adjacency
            Edges between local ids.
        src_ids : Tensor
            The parent's id of each source node, shape [U]; the first V are the destinations.
        parent_eids : LazyColumn or None
            The parent's id of each edge, shape [E]; None if they are the same.
        take_src, take_dst : callable, optional
            ``take(name, column, ids)`` gathers rows of a node column when they are first read;
            :func:`take_rows` by default.
        """
        dst_ids = ops.first_ids(src_ids, adjacency.num_dst)
        idtype, num_edges = parent.idtype, adjacency.num_edges
        device = adjacency.indices.device

        def edge_columns() -> dict[str, Column]:
            if parent_eids is None:
                columns: dict[str, Column] = {
                    name: LazyColumn(partial(read, column)) for name, column in parent.edges.items()
                }
                columns[EID] = LazyColumn(
                    lambda: torch.arange(num_edges, dtype=idtype, device=device)
                )
                return columns
            return inherit(parent.edges, parent_eids.read, EID, idtype, take_rows)

        return cls(
            adjacency,
            idtype=idtype,
            src_columns=partial(
                inherit, parent.sources, lambda: src_ids, NID, idtype, take_src or take_rows
            ),
            dst_columns=partial(
                inherit, parent.destinations, lambda: dst_ids, NID, idtype, take_dst or take_rows
            ),
            edge_columns=edge_columns,
        )

    def _with(self, adjacency: Adjacency, change: Callable[[Frame], Frame]) -> Graph:
        block = super()._with(adjacency, change)
        if self.seed_inverse is not None:
            assert isinstance(block, Block)
            block.seed_inverse = self.seed_inverse.to(adjacency.indices.device)
        return block

    def num_nodes(self) -> int:
        """Source plus destination nodes, as in DGL; a node on both sides counts twice."""
        return self.num_src_nodes() + self.num_dst_nodes()

    number_of_nodes = num_nodes

    def nodes(self) -> Tensor:
        """Ids of the destination nodes, the side that ``ndata`` describes; see also srcnodes()."""
        return self.dstnodes()

    def __repr__(self) -> str:
        return (
            f"Block(num_src_nodes={self.num_src_nodes()}, num_dst_nodes={self.num_dst_nodes()},"
            f" num_edges={self.num_edges()})"
        )
