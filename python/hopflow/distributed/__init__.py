"""Graphs in parts, one for each rank of torch.distributed."""

from hopflow.distributed.cache import CacheReport
from hopflow.distributed.embedding import NodeEmbedding
from hopflow.distributed.graph import PartitionedGraph
from hopflow.distributed.inference import layerwise_inference
from hopflow.distributed.lane import Traffic
from hopflow.distributed.part import Part, PartEdges, part_of

__all__ = [
    "CacheReport",
    "NodeEmbedding",
    "Part",
    "PartEdges",
    "PartitionedGraph",
    "Traffic",
    "layerwise_inference",
    "part_of",
]
