"""Message passing: from built-in and Python functions to the kernels of :mod:`hopflow.ops`."""

from hopflow.messages.udf import EdgeBatch, NodeBatch

__all__ = ["EdgeBatch", "NodeBatch"]
