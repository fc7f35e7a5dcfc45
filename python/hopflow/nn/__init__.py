"""Layers, with DGL's arguments, parameters and results."""

from hopflow.nn import functional
from hopflow.nn.conv.appnp import APPNPConv
from hopflow.nn.conv.edge_conv import EdgeConv
from hopflow.nn.conv.gat import GATConv
from hopflow.nn.conv.gatv2 import GATv2Conv
from hopflow.nn.conv.gin import GINConv
from hopflow.nn.conv.gine import GINEConv
from hopflow.nn.conv.graph_conv import EdgeWeightNorm, GraphConv
from hopflow.nn.conv.sage import SAGEConv
from hopflow.nn.conv.sg import SGConv
from hopflow.nn.functional import edge_softmax
from hopflow.nn.hetero.hetero_graph_conv import HeteroEmbedding, HeteroGraphConv, HeteroLinear
from hopflow.nn.hetero.hgt import HGTConv
from hopflow.nn.hetero.rel_graph_conv import RelGraphConv
from hopflow.nn.hetero.typed_linear import TypedLinear
from hopflow.nn.pooling.attention import GlobalAttentionPooling, Set2Set, WeightAndSum
from hopflow.nn.pooling.reductions import AvgPooling, MaxPooling, SortPooling, SumPooling
from hopflow.nn.pooling.set_transformer import SetTransformerDecoder, SetTransformerEncoder

__all__ = [
    "APPNPConv",
    "AvgPooling",
    "EdgeConv",
    "EdgeWeightNorm",
    "GATConv",
    "GATv2Conv",
    "GINConv",
    "GINEConv",
    "GlobalAttentionPooling",
    "GraphConv",
    "HGTConv",
    "HeteroEmbedding",
    "HeteroGraphConv",
    "HeteroLinear",
    "MaxPooling",
    "RelGraphConv",
    "SAGEConv",
    "SGConv",
    "Set2Set",
    "SetTransformerDecoder",
    "SetTransformerEncoder",
    "SortPooling",
    "SumPooling",
    "TypedLinear",
    "WeightAndSum",
    "edge_softmax",
    "functional",
]
