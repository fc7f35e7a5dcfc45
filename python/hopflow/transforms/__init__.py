"""Graphs made from graphs: reversed, with self-loops, without duplicates, parts, rewired, encoded.

Functions are in :mod:`hopflow` itself too; the classes are transforms as objects, made once with
their options, called with a graph and put in a row with :class:`Compose`. None changes the graph
that it is given.
"""

from hopflow.transforms.around import in_subgraph, out_subgraph
from hopflow.transforms.augment import AddEdge, DropEdge, DropNode, FeatMask, NodeShuffle
from hopflow.transforms.by_type import edge_type_subgraph, node_type_subgraph
from hopflow.transforms.casts import to_bfloat16, to_double, to_float, to_half
from hopflow.transforms.compact import compact_graphs
from hopflow.transforms.diffusion import GDC, PPR, HeatKernel
from hopflow.transforms.distances import double_radius_node_labeling, shortest_dist
from hopflow.transforms.edges import add_reverse_edges, add_self_loop, remove_self_loop, reverse
from hopflow.transforms.export import to_networkx, to_pyg
from hopflow.transforms.growing import add_edges, add_nodes
from hopflow.transforms.homogeneous import to_heterogeneous, to_homogeneous
from hopflow.transforms.homophily import (
    adjusted_homophily,
    edge_homophily,
    edge_label_informativeness,
    linkx_homophily,
    node_homophily,
    node_label_informativeness,
)
from hopflow.transforms.khop import (
    AddMetaPaths,
    KHopGraph,
    khop_adj,
    khop_graph,
    metapath_reachable_graph,
)
from hopflow.transforms.line_graphs import LineGraph, ToLevi, line_graph
from hopflow.transforms.modules import (
    AddReverse,
    AddSelfLoop,
    BaseTransform,
    Compose,
    RemoveSelfLoop,
    ToSimple,
)
from hopflow.transforms.normalize import GCNNorm, RowFeatNormalizer, norm_by_dst
from hopflow.transforms.positional import (
    SVDPE,
    LaplacianPE,
    LapPE,
    RandomWalkPE,
    lap_pe,
    laplacian_lambda_max,
    laplacian_pe,
    random_walk_pe,
    svd_pe,
)
from hopflow.transforms.products import adj_product_graph, adj_sum_graph
from hopflow.transforms.sign import SIGNDiffusion
from hopflow.transforms.simple import to_bidirected, to_simple, to_simple_graph
from hopflow.transforms.subgraph import edge_subgraph, node_subgraph, remove_edges, remove_nodes

__all__ = [
    "GDC",
    "PPR",
    "SVDPE",
    "AddEdge",
    "AddMetaPaths",
    "AddReverse",
    "AddSelfLoop",
    "BaseTransform",
    "Compose",
    "DropEdge",
    "DropNode",
    "FeatMask",
    "GCNNorm",
    "HeatKernel",
    "KHopGraph",
    "LapPE",
    "LaplacianPE",
    "LineGraph",
    "NodeShuffle",
    "RandomWalkPE",
    "RemoveSelfLoop",
    "RowFeatNormalizer",
    "SIGNDiffusion",
    "ToLevi",
    "ToSimple",
    "add_edges",
    "add_nodes",
    "add_reverse_edges",
    "add_self_loop",
    "adj_product_graph",
    "adj_sum_graph",
    "adjusted_homophily",
    "compact_graphs",
    "double_radius_node_labeling",
    "edge_homophily",
    "edge_label_informativeness",
    "edge_subgraph",
    "edge_type_subgraph",
    "in_subgraph",
    "khop_adj",
    "khop_graph",
    "lap_pe",
    "laplacian_lambda_max",
    "laplacian_pe",
    "line_graph",
    "linkx_homophily",
    "metapath_reachable_graph",
    "node_homophily",
    "node_label_informativeness",
    "node_subgraph",
    "node_type_subgraph",
    "norm_by_dst",
    "out_subgraph",
    "random_walk_pe",
    "remove_edges",
    "remove_nodes",
    "remove_self_loop",
    "reverse",
    "shortest_dist",
    "svd_pe",
    "to_bfloat16",
    "to_bidirected",
    "to_double",
    "to_float",
    "to_half",
    "to_heterogeneous",
    "to_homogeneous",
    "to_networkx",
    "to_pyg",
    "to_simple",
    "to_simple_graph",
]
