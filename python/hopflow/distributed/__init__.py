"""Graphs in parts, one for each rank of torch.distributed.

:func:`write_parts` (the command ``hopflow partition``) cuts a graph into a folder, :func:`load`
opens it on every rank.
"""

from hopflow.distributed.cache import CacheReport
from hopflow.distributed.embedding import NodeEmbedding
from hopflow.distributed.folder.check import check_folder
from hopflow.distributed.folder.reader import PartsFolder, open_folder
from hopflow.distributed.folder.writer import write_parts
from hopflow.distributed.graph import PartitionedGraph
from hopflow.distributed.inference import layerwise_inference
from hopflow.distributed.lane import Traffic
from hopflow.distributed.load import load
from hopflow.distributed.part import Part, PartEdges, part_of
from hopflow.distributed.plan import ExchangePlan, plan_exchange
from hopflow.partitioning.assign import PartReport, assign_parts, report_on

__all__ = [
    "CacheReport",
    "ExchangePlan",
    "NodeEmbedding",
    "Part",
    "PartEdges",
    "PartReport",
    "PartitionedGraph",
    "PartsFolder",
    "Traffic",
    "assign_parts",
    "check_folder",
    "layerwise_inference",
    "load",
    "open_folder",
    "part_of",
    "plan_exchange",
    "report_on",
    "write_parts",
]
