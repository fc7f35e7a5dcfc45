"""Graphs in parts, one for each rank of torch.distributed."""

from hopflow.distributed.graph import PartitionedGraph
from hopflow.distributed.lane import Traffic
from hopflow.distributed.part import Part, PartEdges, part_of

__all__ = ["Part", "PartEdges", "PartitionedGraph", "Traffic", "part_of"]
