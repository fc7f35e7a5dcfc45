"""The graph: its edges and columns, message passing over them, and graphs made of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from hopflow.messages.passing import MessagePassing
from hopflow.sampling import negatives, neighbors
from hopflow.transforms import edges, export, simple, subgraph

if TYPE_CHECKING:
    from typing_extensions import Self


class Graph(MessagePassing):
    """A directed graph with feature columns on its nodes and edges.

    Made by :func:`hopflow.graph`. Methods and columns are those of ``dgl.DGLGraph`` for one node
    type and one edge type. In-edges are stored compressed (CSC): 8 bytes a node, 4 or 8 bytes an
    edge, and as much again for edge ids where edges were not given sorted by destination.

    Sizes, degrees, columns and devices come from :class:`~hopflow.structure.graph_base.GraphBase`,
    questions about edges and neighbours from :class:`~hopflow.structure.edge_lookup.EdgeLookup`,
    ``update_all`` and its kin from :class:`~hopflow.messages.passing.MessagePassing`. Graphs made
    of this one are below: functions of hopflow that DGL offers as methods too.

    Parameters
    ----------
    adjacency : Adjacency
        The edges.
    idtype : torch.dtype
        int32 or int64: the dtype of ids handed out.
    """

    # --- other edges ---

    def reverse(self, copy_ndata: bool = True, copy_edata: bool = False) -> Self:
        """Every edge turned around; see :func:`hopflow.reverse`."""
        return edges.reverse(self, copy_ndata, copy_edata)

    def add_self_loop(
        self,
        edge_feat_names: Sequence[str] | None = None,
        fill_data: float = 1.0,
        etype: str | None = None,
    ) -> Self:
        """A self-loop more at every node; see :func:`hopflow.add_self_loop`."""
        return edges.add_self_loop(self, edge_feat_names, fill_data, etype)

    def remove_self_loop(self, etype: str | None = None) -> Self:
        """No self-loops; see :func:`hopflow.remove_self_loop`."""
        return edges.remove_self_loop(self, etype)

    def to_simple(
        self,
        return_counts: str | None = "count",
        writeback_mapping: bool = False,
        copy_ndata: bool = True,
        copy_edata: bool = False,
        aggregator: str = "arbitrary",
    ) -> Any:
        """Edges of the same ends merged into one; see :func:`hopflow.to_simple`."""
        return simple.to_simple(
            self, return_counts, writeback_mapping, copy_ndata, copy_edata, aggregator
        )

    # --- parts ---

    def subgraph(
        self,
        nodes: Any,
        *,
        relabel_nodes: bool = True,
        store_ids: bool = True,
        output_device: Any = None,
    ) -> Self:
        """Some nodes and the edges among them; see :func:`hopflow.node_subgraph`."""
        return subgraph.node_subgraph(
            self, nodes, relabel_nodes=relabel_nodes, store_ids=store_ids,
            output_device=output_device,
        )  # fmt: skip

    def edge_subgraph(
        self,
        edges: Any,
        *,
        relabel_nodes: bool = True,
        store_ids: bool = True,
        output_device: Any = None,
    ) -> Self:
        """Some edges and their ends; see :func:`hopflow.edge_subgraph`."""
        return subgraph.edge_subgraph(
            self, edges, relabel_nodes=relabel_nodes, store_ids=store_ids,
            output_device=output_device,
        )  # fmt: skip

    def in_subgraph(
        self,
        nodes: Any,
        *,
        relabel_nodes: bool = False,
        store_ids: bool = True,
        output_device: Any = None,
    ) -> Self:
        """Only the edges that enter some nodes; see :func:`hopflow.in_subgraph`."""
        return subgraph.in_subgraph(
            self, nodes, relabel_nodes=relabel_nodes, store_ids=store_ids,
            output_device=output_device,
        )  # fmt: skip

    def out_subgraph(
        self,
        nodes: Any,
        *,
        relabel_nodes: bool = False,
        store_ids: bool = True,
        output_device: Any = None,
    ) -> Self:
        """Only the edges that leave some nodes; see :func:`hopflow.out_subgraph`."""
        return subgraph.out_subgraph(
            self, nodes, relabel_nodes=relabel_nodes, store_ids=store_ids,
            output_device=output_device,
        )  # fmt: skip

    # --- drawn ---

    def sample_neighbors(
        self,
        nodes: Any,
        fanout: int,
        edge_dir: str = "in",
        prob: Any = None,
        replace: bool = False,
        copy_ndata: bool = True,
        copy_edata: bool = True,
        exclude_edges: Any = None,
        output_device: Any = None,
    ) -> Self:
        """At most ``fanout`` edges of each node; see :func:`hopflow.sample_neighbors`."""
        return neighbors.sample_neighbors(
            self, nodes, fanout, edge_dir, prob, replace, copy_ndata, copy_edata, exclude_edges,
            output_device,
        )  # fmt: skip

    def global_uniform_negative_sampling(
        self,
        num_samples: int,
        exclude_self_loops: bool = True,
        replace: bool = False,
        etype: Any = None,
        redundancy: float | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Pairs of nodes without an edge, all as likely.

        See :func:`hopflow.sampling.global_uniform_negative_sampling`.
        """
        return negatives.global_uniform_negative_sampling(
            self, num_samples, exclude_self_loops, replace, etype, redundancy
        )

    # --- for other libraries ---

    def to_networkx(
        self,
        node_attrs: Iterable[str] | None = None,
        edge_attrs: Iterable[str] | None = None,
    ) -> Any:
        """A ``networkx.MultiDiGraph``; see :func:`hopflow.to_networkx`."""
        return export.to_networkx(self, node_attrs, edge_attrs)

    def __repr__(self) -> str:
        return (
            f"Graph(num_nodes={self.num_nodes()}, num_edges={self.num_edges()},\n"
            f"      ndata_schemes={self.ndata.schemes()}\n"
            f"      edata_schemes={self.edata.schemes()})"
        )
