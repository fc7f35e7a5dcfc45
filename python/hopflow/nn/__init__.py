"""Layers, with DGL's arguments, parameters and results."""

from hopflow.nn import functional
from hopflow.nn.appnp import APPNPConv
from hopflow.nn.edge_conv import EdgeConv
from hopflow.nn.functional import edge_softmax
from hopflow.nn.gat import GATConv
from hopflow.nn.gatv2 import GATv2Conv
from hopflow.nn.gin import GINConv
from hopflow.nn.gine import GINEConv
from hopflow.nn.graph_conv import EdgeWeightNorm, GraphConv
from hopflow.nn.sage import SAGEConv
from hopflow.nn.sg import SGConv

__all__ = [
    "APPNPConv",
    "EdgeConv",
    "EdgeWeightNorm",
    "GATConv",
    "GATv2Conv",
    "GINConv",
    "GINEConv",
    "GraphConv",
    "SAGEConv",
    "SGConv",
    "edge_softmax",
    "functional",
]
