"""Layers, with DGL's arguments, parameters and results."""

from hopflow.nn import functional
from hopflow.nn.conv.agnn import AGNNConv
from hopflow.nn.conv.appnp import APPNPConv
from hopflow.nn.conv.cheb import ChebConv
from hopflow.nn.conv.dot_gat import DotGatConv
from hopflow.nn.conv.edge_conv import EdgeConv
from hopflow.nn.conv.edge_gat import EdgeGATConv
from hopflow.nn.conv.egat import EGATConv
from hopflow.nn.conv.egnn import EGNNConv
from hopflow.nn.conv.gat import GATConv
from hopflow.nn.conv.gated_gcn import GatedGCNConv
from hopflow.nn.conv.gated_graph import GatedGraphConv
from hopflow.nn.conv.gatv2 import GATv2Conv
from hopflow.nn.conv.gcn2 import GCN2Conv
from hopflow.nn.conv.gin import GINConv
from hopflow.nn.conv.gine import GINEConv
from hopflow.nn.conv.graph_conv import EdgeWeightNorm, GraphConv
from hopflow.nn.conv.sage import SAGEConv
from hopflow.nn.conv.sg import SGConv
from hopflow.nn.conv.tag import TAGConv
from hopflow.nn.conv.twirls import TWIRLSConv, TWIRLSUnfoldingAndAttention
from hopflow.nn.functional import edge_softmax
from hopflow.nn.hetero.hetero_graph_conv import HeteroEmbedding, HeteroGraphConv, HeteroLinear
from hopflow.nn.hetero.hgt import HGTConv
from hopflow.nn.hetero.rel_graph_conv import RelGraphConv
from hopflow.nn.hetero.typed_linear import TypedLinear
from hopflow.nn.walks.deepwalk import DeepWalk
from hopflow.nn.walks.metapath2vec import MetaPath2Vec

__all__ = [
    "AGNNConv",
    "APPNPConv",
    "ChebConv",
    "DeepWalk",
    "DotGatConv",
    "EGATConv",
    "EGNNConv",
    "EdgeConv",
    "EdgeGATConv",
    "EdgeWeightNorm",
    "GATConv",
    "GATv2Conv",
    "GCN2Conv",
    "GINConv",
    "GINEConv",
    "GatedGCNConv",
    "GatedGraphConv",
    "GraphConv",
    "HGTConv",
    "HeteroEmbedding",
    "HeteroGraphConv",
    "HeteroLinear",
    "MetaPath2Vec",
    "RelGraphConv",
    "SAGEConv",
    "SGConv",
    "TAGConv",
    "TWIRLSConv",
    "TWIRLSUnfoldingAndAttention",
    "TypedLinear",
    "edge_softmax",
    "functional",
]
