"""hopflow: train graph neural networks on graphs too large for full-batch training.

Samples a mini-batch's neighbourhood, renumbers it into blocks, gathers features and runs fused
message passing under PyTorch, behind DGL's names.
"""

from hopflow import (
    dataloading,
    datasets,
    function,
    functional,
    nn,
    ops,  # first: loads torch and the native module in the right order
    optim,
    storage,
    transforms,
    udf,
)
from hopflow.dataloading.plan import TrainingPlan, plan
from hopflow.graphs.batch import batch, slice_batch, unbatch
from hopflow.graphs.bipartite import bipartite_from_networkx, bipartite_from_scipy
from hopflow.graphs.block import Block
from hopflow.graphs.block_to_graph import block_to_graph
from hopflow.graphs.create import create_block, graph, heterograph
from hopflow.graphs.graph import Graph
from hopflow.graphs.interop import from_networkx, from_pyg, from_scipy
from hopflow.graphs.merge import merge
from hopflow.graphs.random_graphs import rand_bipartite, rand_graph
from hopflow.graphs.sample_block import sample_neighbors_fused
from hopflow.graphs.to_block import to_block
from hopflow.messages.propagate import (
    prop_edges,
    prop_edges_dfs,
    prop_nodes,
    prop_nodes_bfs,
    prop_nodes_topo,
)
from hopflow.messages.readout import (
    broadcast_edges,
    broadcast_nodes,
    max_edges,
    max_nodes,
    mean_edges,
    mean_nodes,
    readout_edges,
    readout_nodes,
    softmax_edges,
    softmax_nodes,
    sum_edges,
    sum_nodes,
    topk_edges,
    topk_nodes,
)
from hopflow.ops import HopflowError
from hopflow.partitioning.metis import metis_partition_assignment
from hopflow.sampling.neighbors import sample_neighbors
from hopflow.sampling.random import seed
from hopflow.structure.frame import EID, ETYPE, NID, NTYPE
from hopflow.structure.traversal import (
    bfs_edges_generator,
    bfs_nodes_generator,
    dfs_edges_generator,
    dfs_labeled_edges_generator,
    topological_nodes_generator,
)
from hopflow.transforms.around import in_subgraph, out_subgraph
from hopflow.transforms.by_type import edge_type_subgraph, node_type_subgraph
from hopflow.transforms.casts import to_bfloat16, to_double, to_float, to_half
from hopflow.transforms.compact import compact_graphs
from hopflow.transforms.distances import double_radius_node_labeling, shortest_dist
from hopflow.transforms.edges import add_reverse_edges, add_self_loop, remove_self_loop, reverse
from hopflow.transforms.export import to_networkx, to_pyg
from hopflow.transforms.growing import add_edges, add_nodes
from hopflow.transforms.halo import metis_partition, partition_graph_with_halo
from hopflow.transforms.homogeneous import to_heterogeneous, to_homogeneous
from hopflow.transforms.homophily import (
    adjusted_homophily,
    edge_homophily,
    edge_label_informativeness,
    linkx_homophily,
    node_homophily,
    node_label_informativeness,
)
from hopflow.transforms.khop import khop_adj, khop_graph, metapath_reachable_graph
from hopflow.transforms.line_graphs import line_graph
from hopflow.transforms.neighborhoods import khop_in_subgraph, khop_out_subgraph
from hopflow.transforms.positional import (
    lap_pe,
    laplacian_lambda_max,
    laplacian_pe,
    random_walk_pe,
    svd_pe,
)
from hopflow.transforms.products import adj_product_graph, adj_sum_graph
from hopflow.transforms.reorder import reorder_graph
from hopflow.transforms.simple import to_bidirected, to_simple
from hopflow.transforms.subgraph import (
    edge_subgraph,
    node_subgraph,
    remove_edges,
    remove_nodes,
)
from hopflow.transforms.tags import sort_csc_by_tag, sort_csr_by_tag

__version__ = "0.1.0"

__all__ = [
    "EID",
    "ETYPE",
    "NID",
    "NTYPE",
    "Block",
    "Graph",
    "HopflowError",
    "TrainingPlan",
    "__version__",
    "add_edges",
    "add_nodes",
    "add_reverse_edges",
    "add_self_loop",
    "adj_product_graph",
    "adj_sum_graph",
    "adjusted_homophily",
    "batch",
    "bfs_edges_generator",
    "bfs_nodes_generator",
    "bipartite_from_networkx",
    "bipartite_from_scipy",
    "block_to_graph",
    "broadcast_edges",
    "broadcast_nodes",
    "compact_graphs",
    "create_block",
    "dataloading",
    "datasets",
    "dfs_edges_generator",
    "dfs_labeled_edges_generator",
    "double_radius_node_labeling",
    "edge_homophily",
    "edge_label_informativeness",
    "edge_subgraph",
    "edge_type_subgraph",
    "from_networkx",
    "from_pyg",
    "from_scipy",
    "function",
    "functional",
    "graph",
    "heterograph",
    "in_subgraph",
    "khop_adj",
    "khop_graph",
    "khop_in_subgraph",
    "khop_out_subgraph",
    "lap_pe",
    "laplacian_lambda_max",
    "laplacian_pe",
    "line_graph",
    "linkx_homophily",
    "max_edges",
    "max_nodes",
    "mean_edges",
    "mean_nodes",
    "merge",
    "metapath_reachable_graph",
    "metis_partition",
    "metis_partition_assignment",
    "nn",
    "node_homophily",
    "node_label_informativeness",
    "node_subgraph",
    "node_type_subgraph",
    "ops",
    "optim",
    "out_subgraph",
    "partition_graph_with_halo",
    "plan",
    "prop_edges",
    "prop_edges_dfs",
    "prop_nodes",
    "prop_nodes_bfs",
    "prop_nodes_topo",
    "rand_bipartite",
    "rand_graph",
    "random_walk_pe",
    "readout_edges",
    "readout_nodes",
    "remove_edges",
    "remove_nodes",
    "remove_self_loop",
    "reorder_graph",
    "reverse",
    "sample_neighbors",
    "sample_neighbors_fused",
    "seed",
    "shortest_dist",
    "slice_batch",
    "softmax_edges",
    "softmax_nodes",
    "sort_csc_by_tag",
    "sort_csr_by_tag",
    "storage",
    "sum_edges",
    "sum_nodes",
    "svd_pe",
    "to_bfloat16",
    "to_bidirected",
    "to_block",
    "to_double",
    "to_float",
    "to_half",
    "to_heterogeneous",
    "to_homogeneous",
    "to_networkx",
    "to_pyg",
    "to_simple",
    "topk_edges",
    "topk_nodes",
    "topological_nodes_generator",
    "transforms",
    "udf",
    "unbatch",
]
