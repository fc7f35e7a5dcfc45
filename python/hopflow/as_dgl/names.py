"""DGL's public names, and where hopflow has them.

A name that hopflow gains is found without a change here; docs/dgl.md says what there is, and a test
holds the page against these tables.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any


@dataclass(frozen=True, kw_only=True)
class DglNames:
    """One of DGL's modules.

    Attributes
    ----------
    public : sequence of str
        The names that DGL 2.1 has there.
    sources : sequence of str
        Modules of hopflow to look them up in, the first that has one counts; a module may be
        missing.
    others : mapping
        Names that are called something else here, as ``"module:name"``.
    """

    public: Sequence[str]
    sources: Sequence[str] = ()
    others: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str) -> Any:
        """What hopflow has under one of DGL's names; None if it has nothing."""
        if name in self.others:
            module, _, other = self.others[name].partition(":")
            return getattr(importlib.import_module(module), other, None)
        if name not in self.public:
            return None
        for source in self.sources:
            if importlib.util.find_spec(source) is None:
                continue
            found = getattr(importlib.import_module(source), name, None)
            if found is not None and not isinstance(found, ModuleType):
                return found
        return None


def _words(text: str) -> list[str]:
    return text.split()


_DGL = _words("""
    ALL AddEdge AddMetaPaths AddReverse AddSelfLoop BaseTransform Compose DGLError DGLGraph
    DGLHeteroGraph DropEdge DropNode EID ETYPE FeatMask GCNNorm GDC HeatKernel KHopGraph LapPE
    LaplacianPE LazyFeature LineGraph NID NTYPE NodeShuffle PPR RandomWalkPE RemoveSelfLoop
    RowFeatNormalizer SIGNDiffusion SVDPE ToLevi ToSimple add_edges add_nodes add_reverse_edges
    add_self_loop adj_product_graph adj_sum_graph adjusted_homophily batch bfs_edges_generator
    bfs_nodes_generator bipartite_from_networkx bipartite_from_scipy block_to_graph
    broadcast_edges broadcast_nodes compact_graphs copy_u copy_v create_block dfs_edges_generator
    dfs_labeled_edges_generator double_radius_node_labeling edge_homophily
    edge_label_informativeness edge_subgraph edge_type_subgraph from_cugraph from_networkx
    from_scipy graph heterograph in_subgraph khop_adj khop_graph khop_in_subgraph
    khop_out_subgraph knn_graph lap_pe laplacian_lambda_max laplacian_pe line_graph
    linkx_homophily load_graphs max_edges max_nodes mean_edges mean_nodes merge
    metapath_reachable_graph metis_partition metis_partition_assignment node_homophily
    node_label_informativeness node_subgraph node_type_subgraph out_subgraph
    partition_graph_with_halo prop_edges prop_edges_dfs prop_nodes prop_nodes_bfs prop_nodes_topo
    radius_graph rand_bipartite rand_graph random_walk_pe readout_edges readout_nodes remove_edges
    remove_nodes remove_self_loop reorder_graph reverse save_graphs seed segmented_knn_graph
    set_dst_lazy_features set_edge_lazy_features set_node_lazy_features set_src_lazy_features
    shortest_dist slice_batch softmax_edges softmax_nodes sort_csc_by_tag sort_csr_by_tag
    sum_edges sum_nodes svd_pe to_bfloat16 to_bidirected to_block to_cugraph to_double to_float
    to_half to_heterogeneous to_homogeneous to_networkx to_simple topk_edges topk_nodes
    topological_nodes_generator u_add_v u_div_v u_dot_v u_mul_v u_sub_v unbatch
""")

GRAPH = _words("""
    add_edges add_nodes add_self_loop adj adj_external adj_tensors adjacency_matrix all_edges
    apply_edges apply_nodes astype batch_num_edges batch_num_nodes batch_size canonical_etypes
    clone cpu create_formats_ device dstdata dstnodes dsttypes edata edge_attr_schemes edge_ids
    edge_subgraph edge_type_subgraph edges etypes filter_edges filter_nodes find_edges formats
    get_edge_storage get_etype_id get_node_storage get_ntype_id get_ntype_id_from_dst
    get_ntype_id_from_src global_uniform_negative_sampling has_edges_between has_nodes idtype
    in_degrees in_edges in_subgraph inc incidence_matrix int is_block is_homogeneous is_multigraph
    is_pinned khop_in_subgraph khop_out_subgraph line_graph local_scope local_var long
    materialize_data metagraph multi_update_all ndata node_attr_schemes node_type_subgraph nodes
    ntypes num_dst_nodes num_edges num_nodes num_src_nodes number_of_dst_nodes number_of_edges
    number_of_nodes number_of_src_nodes out_degrees out_edges out_subgraph pin_memory_
    predecessors prop_edges prop_nodes pull push record_stream remove_edges remove_nodes
    remove_self_loop reorder_graph reverse sample_etype_neighbors sample_labors sample_neighbors
    sample_neighbors_biased sample_neighbors_fused select_topk send_and_recv set_batch_num_edges
    set_batch_num_nodes set_e_initializer set_n_initializer shared_memory srcdata srcnodes
    srctypes subgraph successors to to_canonical_etype to_cugraph to_networkx to_simple
    unpin_memory_ update_all
""")
"""Methods and properties of ``dgl.DGLGraph``."""

_FUNCTION = _words("""
    BinaryMessageFunction BuiltinFunction CopyMessageFunction TargetCode copy_e copy_u e_add_u
    e_add_v e_div_u e_div_v e_dot_u e_dot_v e_mul_u e_mul_v e_sub_u e_sub_v max mean min sum
    u_add_e u_add_v u_div_e u_div_v u_dot_e u_dot_v u_mul_e u_mul_v u_sub_e u_sub_v v_add_e
    v_add_u v_div_e v_div_u v_dot_e v_dot_u v_mul_e v_mul_u v_sub_e v_sub_u
""")

_DATALOADING = _words("""
    BlockSampler ClusterGCNSampler Collator DataLoader DistDataLoader DistEdgeDataLoader
    DistNodeDataLoader EdgeCollator EdgePredictionSampler GraphCollator GraphDataLoader
    LaborSampler MultiLayerFullNeighborSampler MultiLayerNeighborSampler NeighborSampler
    NodeCollator SAINTSampler Sampler ShaDowKHopSampler SpotTarget as_edge_prediction_sampler
    find_exclude_eids
""")

_CONV = _words("""
    AGNNConv APPNPConv AtomicConv CFConv ChebConv CuGraphGATConv CuGraphRelGraphConv
    CuGraphSAGEConv DGNConv DenseChebConv DenseGraphConv DenseSAGEConv DotGatConv EGATConv
    EGNNConv EdgeConv EdgeGATConv EdgeWeightNorm GATConv GATv2Conv GCN2Conv GINConv GINEConv
    GMMConv GatedGCNConv GatedGraphConv GraphConv GroupRevRes HGTConv NNConv PNAConv RelGraphConv
    SAGEConv SGConv TAGConv TWIRLSConv TWIRLSUnfoldingAndAttention
""")

_POOLING = _words("""
    AvgPooling GlobalAttentionPooling MaxPooling Set2Set SetTransformerDecoder
    SetTransformerEncoder SortPooling SumPooling WeightAndSum
""")

_NN = _words("""
    AvgPooling BiasedMHA DeepWalk DegreeEncoder EGTLayer EdgePredictor GNNExplainer
    GlobalAttentionPooling GraphormerLayer HeteroEmbedding HeteroGNNExplainer HeteroGraphConv
    HeteroLinear HeteroPGExplainer HeteroSubgraphX JumpingKnowledge KNNGraph LabelPropagation
    LapPosEncoder MaxPooling MetaPath2Vec NodeEmbedding PGExplainer PathEncoder RadiusGraph
    SegmentedKNNGraph Sequential Set2Set SetTransformerDecoder SetTransformerEncoder SortPooling
    SpatialEncoder SpatialEncoder3d SubgraphX SumPooling TransE TransR TypedLinear WeightAndSum
    WeightBasis edge_softmax knn_graph pairwise_squared_distance radius_graph segmented_knn_graph
""")

_OPS = _words("""
    copy_e copy_e_max copy_e_mean copy_e_min copy_e_sum copy_u copy_u_max copy_u_mean copy_u_min
    copy_u_sum copy_v e_add_u e_add_v e_div_u e_div_v e_dot_u e_dot_v e_mul_u e_mul_v e_sub_u
    e_sub_v edge_softmax gather_mm gsddmm gspmm segment_mm segment_reduce segment_softmax u_add_e
    u_add_e_max u_add_e_mean u_add_e_min u_add_e_sum u_add_v u_div_e u_div_e_max u_div_e_mean
    u_div_e_min u_div_e_sum u_div_v u_dot_e u_dot_v u_mul_e u_mul_e_max u_mul_e_mean u_mul_e_min
    u_mul_e_sum u_mul_v u_sub_e u_sub_e_max u_sub_e_mean u_sub_e_min u_sub_e_sum u_sub_v v_add_e
    v_add_u v_div_e v_div_u v_dot_e v_dot_u v_mul_e v_mul_u v_sub_e v_sub_u
""")

_SAMPLING = _words("""
    PinSAGESampler RandomWalkNeighborSampler global_uniform_negative_sampling node2vec_random_walk
    pack_traces random_walk sample_etype_neighbors sample_labors sample_neighbors
    sample_neighbors_biased sample_neighbors_fused select_topk
""")

_BASE = _words("""
    ALL DGLError EID ETYPE NID NTYPE is_all
""")

_DATA = _words("""
    AsGraphPredDataset AsLinkPredDataset AsNodePredDataset DGLDataset Subset load_graphs
    save_graphs split_dataset CoraGraphDataset CiteseerGraphDataset PubmedGraphDataset
    RedditDataset
""")

_DATA_UTILS = _words("""
    Subset add_nodepred_split load_graphs load_info load_labels load_tensors save_graphs save_info
    save_tensors split_dataset
""")

_TRANSFORMS = _words("""
    AddEdge AddMetaPaths AddReverse AddSelfLoop BaseTransform Compose DropEdge DropNode FeatMask
    GCNNorm GDC HeatKernel KHopGraph LapPE LaplacianPE LineGraph NodeShuffle PPR RandomWalkPE
    RemoveSelfLoop RowFeatNormalizer SIGNDiffusion SVDPE ToLevi ToSimple add_edges add_nodes
    add_reverse_edges add_self_loop adj_product_graph adj_sum_graph compact_graphs
    double_radius_node_labeling khop_adj khop_graph knn_graph lap_pe laplacian_lambda_max
    laplacian_pe line_graph metapath_reachable_graph metis_partition metis_partition_assignment
    norm_by_dst partition_graph_with_halo radius_graph random_walk_pe remove_edges remove_nodes
    remove_self_loop reorder_graph reverse segmented_knn_graph shortest_dist sort_csc_by_tag
    sort_csr_by_tag svd_pe to_bfloat16 to_bidirected to_block to_double to_float to_half to_simple
    to_simple_graph
""")

_SAME = {
    "DGLError": "hopflow:HopflowError",
    "ALL": "hopflow.structure.types:ALL",
    "is_all": "hopflow.structure.types:is_all",
}
_EDGEWISE = _words("copy_u copy_v u_add_v u_div_v u_dot_v u_mul_v u_sub_v")
_FILES = "hopflow.as_dgl.files"
_DATA_SOURCES = ("hopflow.as_dgl.data", "hopflow.as_dgl.graph_data", _FILES)
_INFO = "hopflow.as_dgl.info"
_LAZY_FEATURES = "hopflow.dataloading.lazy_features"
_TRANSFORM_OBJECTS = "hopflow.transforms"
_FUNCTIONAL = ("hopflow.functional", "hopflow.nn.functional", "hopflow.nn")


def _of(source: Sequence[str], text: str) -> DglNames:
    return DglNames(public=_words(text), sources=source)


# Where DGL defines what ``dgl`` and ``dgl.transforms`` have too. Not its modules ``batch`` and
# ``merge``: there as here the functions have these names.
_DEFINING = {
    "dgl.generators": _of(["hopflow"], "rand_bipartite rand_graph"),
    "dgl.homophily": _of(
        ["hopflow"], "adjusted_homophily edge_homophily linkx_homophily node_homophily"
    ),
    "dgl.label_informativeness": _of(
        ["hopflow"], "edge_label_informativeness node_label_informativeness"
    ),
    "dgl.propagate": _of(
        ["hopflow"], "prop_edges prop_edges_dfs prop_nodes prop_nodes_bfs prop_nodes_topo"
    ),
    "dgl.readout": _of(
        ["hopflow"],
        """
        broadcast_edges broadcast_nodes max_edges max_nodes mean_edges mean_nodes readout_edges
        readout_nodes softmax_edges softmax_nodes sum_edges sum_nodes topk_edges topk_nodes
        """,
    ),
    "dgl.subgraph": _of(
        ["hopflow"],
        """
        edge_subgraph edge_type_subgraph in_subgraph khop_in_subgraph khop_out_subgraph
        node_subgraph node_type_subgraph out_subgraph
        """,
    ),
    "dgl.traversal": _of(
        ["hopflow"],
        """
        bfs_edges_generator bfs_nodes_generator dfs_edges_generator dfs_labeled_edges_generator
        topological_nodes_generator
        """,
    ),
    "dgl.convert": _of(
        ["hopflow"],
        """
        bipartite_from_networkx bipartite_from_scipy block_to_graph create_block from_cugraph
        from_networkx from_scipy graph heterograph to_cugraph to_heterogeneous to_homogeneous
        to_networkx
        """,
    ),
    "dgl.transforms.functional": DglNames(
        public=[n for n in _TRANSFORMS if n[0].islower() and n != "to_block"],
        sources=("hopflow", _TRANSFORM_OBJECTS),
    ),
    "dgl.transforms.module": DglNames(
        public=[n for n in _TRANSFORMS if n[0].isupper()], sources=("hopflow", _TRANSFORM_OBJECTS)
    ),
    "dgl.data.adapter": _of(
        _DATA_SOURCES, "AsGraphPredDataset AsLinkPredDataset AsNodePredDataset"
    ),
}

MODULES: dict[str, DglNames] = {
    "dgl": DglNames(
        public=_DGL,
        sources=("hopflow", _FILES, _TRANSFORM_OBJECTS),
        others={
            **_SAME,
            "DGLGraph": "hopflow:Graph",
            "DGLHeteroGraph": "hopflow:Graph",
            **{name: f"hopflow.functional:{name}" for name in _EDGEWISE},
            **{
                f"set_{side}_lazy_features": f"{_LAZY_FEATURES}:set_{side}_lazy_features"
                for side in ("node", "edge", "src", "dst")
            },
        },
    ),
    "dgl.base": DglNames(public=_BASE, sources=("hopflow",), others=_SAME),
    "dgl.random": DglNames(public=["seed", "choice"], sources=("hopflow.sampling.random",)),
    "dgl.function": DglNames(public=_FUNCTION, sources=("hopflow.function",)),
    "dgl.init": DglNames(
        public=["base_initializer", "zero_initializer"],
        sources=("hopflow.structure.initializers",),
    ),
    "dgl.dataloading": DglNames(public=_DATALOADING, sources=("hopflow.dataloading",)),
    "dgl.dataloading.negative_sampler": DglNames(
        public=["GlobalUniform", "PerSourceUniform", "Uniform"],
        sources=("hopflow.dataloading.negative_sampler", "hopflow.dataloading"),
    ),
    "dgl.nn": DglNames(public=_CONV + _NN, sources=("hopflow.nn",)),
    "dgl.nn.functional": DglNames(public=["edge_softmax"], sources=_FUNCTIONAL),
    "dgl.nn.pytorch": DglNames(public=_CONV + _NN, sources=("hopflow.nn",)),
    "dgl.nn.pytorch.conv": DglNames(public=_CONV, sources=("hopflow.nn",)),
    "dgl.nn.pytorch.glob": DglNames(public=_POOLING, sources=("hopflow.nn",)),
    "dgl.nn.pytorch.link": DglNames(
        public=["EdgePredictor", "TransE", "TransR"], sources=("hopflow.nn",)
    ),
    "dgl.nn.pytorch.network_emb": DglNames(
        public=["DeepWalk", "MetaPath2Vec"], sources=("hopflow.nn",)
    ),
    "dgl.nn.pytorch.softmax": DglNames(public=["edge_softmax"], sources=_FUNCTIONAL),
    "dgl.nn.pytorch.sparse_emb": DglNames(public=["NodeEmbedding"], sources=("hopflow.nn",)),
    "dgl.nn.pytorch.utils": DglNames(
        public=["JumpingKnowledge", "LabelPropagation", "Sequential", "WeightBasis"],
        sources=("hopflow.nn",),
    ),
    "dgl.ops": DglNames(public=_OPS, sources=_FUNCTIONAL),
    "dgl.optim": DglNames(public=["SparseAdagrad", "SparseAdam"], sources=("hopflow.optim",)),
    "dgl.optim.pytorch": DglNames(
        public=["SparseAdagrad", "SparseAdam"], sources=("hopflow.optim",)
    ),
    "dgl.sampling": DglNames(public=_SAMPLING, sources=("hopflow", "hopflow.sampling")),
    "dgl.transforms": DglNames(
        public=_TRANSFORMS,
        sources=("hopflow", _TRANSFORM_OBJECTS),
    ),
    "dgl.data": DglNames(public=_DATA, sources=_DATA_SOURCES),
    "dgl.data.utils": DglNames(public=_DATA_UTILS, sources=(*_DATA_SOURCES, _INFO)),
    **_DEFINING,
}
"""Every module that :func:`hopflow.as_dgl.install` puts in place."""
