"""The graph: its edges and columns, message passing over them, and graphs made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hopflow.messages import filters, propagate
from hopflow.messages.passing import MessagePassing
from hopflow.sampling import by_tag, labor, negatives, neighbors, topk
from hopflow.structure import batch_sizes
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Frame
from hopflow.transforms import (
    around,
    by_type,
    edges,
    export,
    in_place,
    line_graphs,
    matrices,
    neighborhoods,
    reorder,
    simple,
)
from hopflow.transforms import subgraph as parts

if TYPE_CHECKING:
    from typing_extensions import Self


class Graph(MessagePassing):
    """A directed graph with feature columns on its nodes and edges.

    Made by :func:`hopflow.graph`, and with several types of nodes and edges by
    :func:`hopflow.heterograph`. Methods and columns are those of ``dgl.DGLGraph``. In-edges are
    stored compressed (CSC): 8 bytes a node, 4 or 8 bytes an edge, and as much again for edge ids
    where edges were not given sorted by destination.

    Sizes, degrees, columns and devices come from :class:`~hopflow.structure.graph_base.GraphBase`,
    questions about edges and neighbours from :class:`~hopflow.structure.edge_lookup.EdgeLookup`,
    ``update_all`` and its kin from :class:`~hopflow.messages.passing.MessagePassing`. Below are
    functions of hopflow that are methods too, as in DGL: the graph is their first argument.

    Parameters
    ----------
    adjacency : Adjacency
        The edges.
    idtype : torch.dtype
        int32 or int64: the dtype of ids handed out.

    Attributes
    ----------
    is_padding : bool
        Whether a :class:`~hopflow.dataloading.DataLoader` with ``use_ddp`` made the batch that this
        is part of for the second time, so that all ranks get equally many.
    loss_weight : float
        What such a loader says to multiply a batch's mean loss with before ranks are averaged; 0
        for padding, 1 where all ranks have equally many seeds.
    seed_inverse : Tensor, dict or None
        Of the subgraph of a batch whose seeds held duplicates: the row of each given seed among its
        nodes, as on a :class:`Block`. None if seeds were distinct.
    """

    is_padding: bool = False
    loss_weight: float = 1.0

    # --- types ---

    __getitem__ = by_type.slice_types
    # Else Python would try numbers as types.
    __iter__ = None
    __contains__ = None
    node_type_subgraph = by_type.node_type_subgraph
    edge_type_subgraph = by_type.edge_type_subgraph
    metagraph = export.metagraph

    # --- batches of graphs ---

    batch_size = property(batch_sizes.batch_size)
    batch_num_nodes = batch_sizes.batch_num_nodes
    batch_num_edges = batch_sizes.batch_num_edges
    set_batch_num_nodes = batch_sizes.set_batch_num_nodes
    set_batch_num_edges = batch_sizes.set_batch_num_edges

    # --- other edges ---

    reverse = edges.reverse
    add_self_loop = edges.add_self_loop
    remove_self_loop = edges.remove_self_loop
    to_simple = simple.to_simple
    reorder_graph = reorder.reorder_graph
    line_graph = line_graphs.line_graph

    # --- changed in place ---

    add_nodes = in_place.add_nodes
    add_edges = in_place.add_edges
    remove_nodes = in_place.remove_nodes
    remove_edges = in_place.remove_edges

    # --- parts ---

    subgraph = parts.node_subgraph
    edge_subgraph = parts.edge_subgraph
    in_subgraph = around.in_subgraph
    out_subgraph = around.out_subgraph
    khop_in_subgraph = neighborhoods.khop_in_subgraph
    khop_out_subgraph = neighborhoods.khop_out_subgraph

    # --- messages in an order ---

    prop_nodes = propagate.prop_nodes
    prop_edges = propagate.prop_edges

    # --- chosen by a function ---

    filter_nodes = filters.filter_nodes
    filter_edges = filters.filter_edges

    # --- drawn ---

    sample_etype_neighbors = by_tag.sample_etype_neighbors
    sample_labors = labor.sample_labors
    sample_neighbors = neighbors.sample_neighbors
    sample_neighbors_biased = by_tag.sample_neighbors_biased
    select_topk = topk.select_topk
    global_uniform_negative_sampling = negatives.global_uniform_negative_sampling

    def sample_neighbors_fused(self, nodes: Any, fanout: Any, *args: Any, **options: Any) -> Graph:
        """:func:`hopflow.sample_neighbors_fused` of this graph."""
        from hopflow.graphs.sample_block import sample_neighbors_fused  # it makes a Block, a Graph

        return sample_neighbors_fused(self, nodes, fanout, *args, **options)

    # --- copies ---

    def with_frames(
        self, edges: Callable[[Adjacency], Adjacency] | None, change: Callable[[Frame], Frame]
    ) -> Self:
        graph = super().with_frames(edges, change)
        inverse = self.seed_inverse
        if isinstance(inverse, dict):
            graph.seed_inverse = {ntype: x.to(graph.device) for ntype, x in inverse.items()}
        elif inverse is not None:
            graph.seed_inverse = inverse.to(graph.device)
        return graph

    # --- for other libraries ---

    to_networkx = export.to_networkx
    adj = matrices.adj
    adjacency_matrix = matrices.adj
    adj_external = matrices.adj_external
    adj_tensors = matrices.adj_tensors
    inc = matrices.inc
    incidence_matrix = matrices.inc

    def __repr__(self) -> str:
        if self._relations is None and self._src_frame is self._dst_frame:
            return (
                f"Graph(num_nodes={self.num_nodes()}, num_edges={self.num_edges()},\n"
                f"      ndata_schemes={self._dst_frame.schemes()}\n"
                f"      edata_schemes={self._edge_frame.schemes()})"
            )
        nodes = {ntype: self.num_nodes(ntype) for ntype in self.ntypes}
        edges = {relation: one.num_edges() for relation, one in self.relations.items()}
        return (
            f"Graph(num_nodes={nodes},\n      num_edges={edges},\n"
            f"      metagraph={self._schema.metagraph()})"
        )
