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
    storage,
    udf,
)
from hopflow.dataloading.plan import TrainingPlan, plan
from hopflow.graphs.block import Block
from hopflow.graphs.create import create_block, graph, heterograph
from hopflow.graphs.graph import Graph
from hopflow.graphs.interop import from_networkx, from_pyg, from_scipy
from hopflow.graphs.to_block import to_block
from hopflow.messages.propagate import (
    prop_edges,
    prop_edges_dfs,
    prop_nodes,
    prop_nodes_bfs,
    prop_nodes_topo,
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
from hopflow.transforms.edges import add_reverse_edges, add_self_loop, remove_self_loop, reverse
from hopflow.transforms.export import to_networkx, to_pyg
from hopflow.transforms.halo import metis_partition, partition_graph_with_halo
from hopflow.transforms.homogeneous import to_heterogeneous, to_homogeneous
from hopflow.transforms.neighborhoods import khop_in_subgraph, khop_out_subgraph
from hopflow.transforms.reorder import reorder_graph
from hopflow.transforms.simple import to_bidirected, to_simple
from hopflow.transforms.subgraph import (
    edge_subgraph,
    node_subgraph,
    remove_edges,
    remove_nodes,
)

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
    "add_reverse_edges",
    "add_self_loop",
    "bfs_edges_generator",
    "bfs_nodes_generator",
    "create_block",
    "dataloading",
    "datasets",
    "dfs_edges_generator",
    "dfs_labeled_edges_generator",
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
    "khop_in_subgraph",
    "khop_out_subgraph",
    "metis_partition",
    "metis_partition_assignment",
    "nn",
    "node_subgraph",
    "node_type_subgraph",
    "ops",
    "out_subgraph",
    "partition_graph_with_halo",
    "plan",
    "prop_edges",
    "prop_edges_dfs",
    "prop_nodes",
    "prop_nodes_bfs",
    "prop_nodes_topo",
    "remove_edges",
    "remove_nodes",
    "remove_self_loop",
    "reorder_graph",
    "reverse",
    "sample_neighbors",
    "seed",
    "storage",
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
    "topological_nodes_generator",
    "udf",
]
