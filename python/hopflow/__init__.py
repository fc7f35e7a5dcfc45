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
from hopflow.graphs.sample_block import sample_neighbors_fused
from hopflow.graphs.to_block import to_block
from hopflow.ops import HopflowError
from hopflow.sampling.neighbors import sample_neighbors
from hopflow.sampling.random import seed
from hopflow.structure.frame import EID, ETYPE, NID, NTYPE
from hopflow.transforms.around import in_subgraph, out_subgraph
from hopflow.transforms.by_type import edge_type_subgraph, node_type_subgraph
from hopflow.transforms.casts import to_bfloat16, to_double, to_float, to_half
from hopflow.transforms.edges import add_reverse_edges, add_self_loop, remove_self_loop, reverse
from hopflow.transforms.export import to_networkx, to_pyg
from hopflow.transforms.homogeneous import to_heterogeneous, to_homogeneous
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
    "add_reverse_edges",
    "add_self_loop",
    "create_block",
    "dataloading",
    "datasets",
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
    "nn",
    "node_subgraph",
    "node_type_subgraph",
    "ops",
    "out_subgraph",
    "plan",
    "remove_edges",
    "remove_nodes",
    "remove_self_loop",
    "reverse",
    "sample_neighbors",
    "sample_neighbors_fused",
    "seed",
    "sort_csc_by_tag",
    "sort_csr_by_tag",
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
    "udf",
]
