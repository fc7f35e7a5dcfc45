"""Graphs cut into parts: which part each node is in."""

from hopflow.partitioning.assign import PartReport, assign_parts, report_on

__all__ = ["PartReport", "assign_parts", "report_on"]
