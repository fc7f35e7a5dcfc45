"""Layers, with DGL's arguments, parameters and results."""

from hopflow.nn.sage import SAGEConv

__all__ = ["SAGEConv"]
