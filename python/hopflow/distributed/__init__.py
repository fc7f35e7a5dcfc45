"""Graphs in parts, one for each rank of torch.distributed."""

from hopflow.distributed.cache import CacheReport
from hopflow.distributed.embedding import NodeEmbedding
from hopflow.distributed.graph import PartitionedGraph
from hopflow.distributed.inference import layerwise_inference
from hopflow.distributed.lane import Traffic
from hopflow.distributed.part import Part, PartEdges, part_of
from hopflow.distributed.plan import ExchangePlan, plan_exchange

__all__ = [
    "CacheReport",
    "ExchangePlan",
    "NodeEmbedding",
    "Part",
    "PartEdges",
    "PartitionedGraph",
    "Traffic",
    "layerwise_inference",
    "part_of",
    "plan_exchange",
]
