"""Layers, with DGL's arguments, parameters and results."""

from hopflow.nn import functional
from hopflow.nn.conv.agnn import AGNNConv
from hopflow.nn.conv.appnp import APPNPConv
from hopflow.nn.conv.atomic import AtomicConv
from hopflow.nn.conv.cf import CFConv
from hopflow.nn.conv.cheb import ChebConv
from hopflow.nn.conv.dense import DenseChebConv, DenseGraphConv, DenseSAGEConv
from hopflow.nn.conv.dgn import DGNConv
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
from hopflow.nn.conv.gmm import GMMConv
from hopflow.nn.conv.graph_conv import EdgeWeightNorm, GraphConv
from hopflow.nn.conv.nn_conv import NNConv
from hopflow.nn.conv.pna import PNAConv
from hopflow.nn.conv.sage import SAGEConv
from hopflow.nn.conv.sg import SGConv
from hopflow.nn.conv.tag import TAGConv
from hopflow.nn.conv.twirls import TWIRLSConv, TWIRLSUnfoldingAndAttention
from hopflow.nn.functional import edge_softmax
from hopflow.nn.group_rev_res import GroupRevRes
from hopflow.nn.hetero.hetero_graph_conv import HeteroEmbedding, HeteroGraphConv, HeteroLinear
from hopflow.nn.hetero.hgt import HGTConv
from hopflow.nn.hetero.rel_graph_conv import RelGraphConv
from hopflow.nn.hetero.typed_linear import TypedLinear
from hopflow.nn.jumping_knowledge import JumpingKnowledge
from hopflow.nn.label_propagation import LabelPropagation
from hopflow.nn.link.edge_predictor import EdgePredictor
from hopflow.nn.link.trans_e import TransE
from hopflow.nn.link.trans_r import TransR
from hopflow.nn.node_embedding import NodeEmbedding
from hopflow.nn.pooling.attention import GlobalAttentionPooling, Set2Set, WeightAndSum
from hopflow.nn.pooling.reductions import AvgPooling, MaxPooling, SortPooling, SumPooling
from hopflow.nn.pooling.set_transformer import SetTransformerDecoder, SetTransformerEncoder
from hopflow.nn.sequential import Sequential
from hopflow.nn.walks.deepwalk import DeepWalk
from hopflow.nn.walks.metapath2vec import MetaPath2Vec
from hopflow.nn.weight_basis import WeightBasis

__all__ = [
    "AGNNConv",
    "APPNPConv",
    "AtomicConv",
    "AvgPooling",
    "CFConv",
    "ChebConv",
    "DGNConv",
    "DeepWalk",
    "DenseChebConv",
    "DenseGraphConv",
    "DenseSAGEConv",
    "DotGatConv",
    "EGATConv",
    "EGNNConv",
    "EdgeConv",
    "EdgeGATConv",
    "EdgePredictor",
    "EdgeWeightNorm",
    "GATConv",
    "GATv2Conv",
    "GCN2Conv",
    "GINConv",
    "GINEConv",
    "GMMConv",
    "GatedGCNConv",
    "GatedGraphConv",
    "GlobalAttentionPooling",
    "GraphConv",
    "GroupRevRes",
    "HGTConv",
    "HeteroEmbedding",
    "HeteroGraphConv",
    "HeteroLinear",
    "JumpingKnowledge",
    "LabelPropagation",
    "MaxPooling",
    "MetaPath2Vec",
    "NNConv",
    "NodeEmbedding",
    "PNAConv",
    "RelGraphConv",
    "SAGEConv",
    "SGConv",
    "Sequential",
    "Set2Set",
    "SetTransformerDecoder",
    "SetTransformerEncoder",
    "SortPooling",
    "SumPooling",
    "TAGConv",
    "TWIRLSConv",
    "TWIRLSUnfoldingAndAttention",
    "TransE",
    "TransR",
    "TypedLinear",
    "WeightAndSum",
    "WeightBasis",
    "edge_softmax",
    "functional",
]
