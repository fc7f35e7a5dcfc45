"""Layers, with DGL's arguments, parameters and results."""

from hopflow.nn.appnp import APPNPConv
from hopflow.nn.edge_conv import EdgeConv
from hopflow.nn.gin import GINConv
from hopflow.nn.gine import GINEConv
from hopflow.nn.graph_conv import EdgeWeightNorm, GraphConv
from hopflow.nn.sage import SAGEConv
from hopflow.nn.sg import SGConv

__all__ = [
    "APPNPConv",
    "EdgeConv",
    "EdgeWeightNorm",
    "GINConv",
    "GINEConv",
    "GraphConv",
    "SAGEConv",
    "SGConv",
]
