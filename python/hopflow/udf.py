"""What Python functions in message passing are called with; the names of ``dgl.udf``."""

from hopflow.messages.udf import EdgeBatch, NodeBatch

__all__ = ["EdgeBatch", "NodeBatch"]
