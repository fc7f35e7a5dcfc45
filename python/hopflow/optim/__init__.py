"""Optimisers of :class:`hopflow.nn.NodeEmbedding`: they touch the rows that a batch has used.

Sparse gradients of ``nn.Embedding(sparse=True)`` and :class:`hopflow.distributed.NodeEmbedding`
are for torch's own optimisers.
"""

from hopflow.optim.sparse import SparseAdagrad, SparseAdam

__all__ = ["SparseAdagrad", "SparseAdam"]
