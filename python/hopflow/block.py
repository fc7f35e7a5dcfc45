"""The block: one hop of a mini-batch, from its source nodes to its destination nodes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hopflow import ops
from hopflow.adjacency import Adjacency
from hopflow.frame import EID, NID, Column, Frame, LazyColumn
from hopflow.graph import Graph


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
        src_columns: dict[str, Column] | None = None,
        dst_columns: dict[str, Column] | None = None,
        edge_columns: dict[str, Column] | None = None,
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
        parent: Graph,
        adjacency: Adjacency,
        src_ids: Tensor,
        parent_eids: Tensor | None,
    ) -> Block:
        """A block whose nodes and edges are some of another graph's.

        Parameters
        ----------
        parent : Graph
            Where columns come from.
        adjacency : Adjacency
            Edges between local ids.
        src_ids : Tensor
            The parent's id of each source node, shape [U]; the first V are the destinations.
        parent_eids : Tensor or None
            The parent's id of each edge, shape [E]; None if they are the same.
        """
        dst_ids = src_ids[: adjacency.num_dst]
        return cls(
            adjacency,
            idtype=parent.idtype,
            src_columns=_inherit(parent.srcdata, src_ids, NID, parent.idtype),
            dst_columns=_inherit(parent.dstdata, dst_ids, NID, parent.idtype),
            edge_columns=_inherit(
                parent.edata, parent_eids, EID, parent.idtype, num_rows=adjacency.num_edges
            ),
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


def _inherit(
    frame: Frame, ids: Tensor | None, id_name: str, idtype: torch.dtype, num_rows: int = 0
) -> dict[str, Column]:
    """The parent's columns at ``ids``, unread, and the ids themselves."""
    if ids is None:
        columns = frame.rows(lambda x: x)
        columns[id_name] = LazyColumn(lambda: torch.arange(num_rows, dtype=idtype))
        return columns
    columns = frame.rows(lambda x: ops.gather_rows(x, ids))
    columns[id_name] = LazyColumn(lambda: ids.to(idtype, copy=True))
    return columns
