"""Functions that attention layers are made of; those of :mod:`hopflow.functional`."""

from hopflow.functional import edge_softmax

__all__ = ["edge_softmax"]
