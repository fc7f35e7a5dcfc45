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
from hopflow.nn.hetero import HeteroEmbedding, HeteroGraphConv, HeteroLinear
from hopflow.nn.hgt import HGTConv
from hopflow.nn.rel_graph_conv import RelGraphConv
from hopflow.nn.sage import SAGEConv
from hopflow.nn.sg import SGConv
from hopflow.nn.typed_linear import TypedLinear

__all__ = [
    "APPNPConv",
    "EdgeConv",
    "EdgeWeightNorm",
    "GATConv",
    "GATv2Conv",
    "GINConv",
    "GINEConv",
    "GraphConv",
    "HGTConv",
    "HeteroEmbedding",
    "HeteroGraphConv",
    "HeteroLinear",
    "RelGraphConv",
    "SAGEConv",
    "SGConv",
    "TypedLinear",
    "edge_softmax",
    "functional",
]
