"""The kernels as functions on tensors, differentiable where that has a meaning.

They know nothing of graphs: in-edges come as ``indptr`` and ``indices`` (CSC), features as tensors
with one row a node or edge. Each has a plain-torch twin, ``*_reference``, that defines its result.
"""

import hopflow.ops._openmp  # noqa: F401  before the native module: see there
from hopflow.ops._place import first_ids, mark_csc, mark_ids, on_cuda
from hopflow.ops._shapes import INT32_MAX, MOST_NODES, as_float, as_int, as_wide_int, id_dtype
from hopflow.ops._transforms import is_a_transforms, is_compiling, made_to_last, outlasting
from hopflow.ops.add_to_sources import add_to_sources, add_to_sources_reference
from hopflow.ops.batch_loader import (
    BatchLoader,
    BatchTimes,
    LoadedBatch,
    LoadedTypedBatch,
    RowSource,
    ScratchCache,
    TypedBatchLoader,
)
from hopflow.ops.blocks import (
    SampledBlocks,
    SampledHop,
    StartedBlocks,
    sample_blocks,
    sample_blocks_reference,
    start_blocks,
)
from hopflow.ops.compact import compact_ids, compact_ids_reference
from hopflow.ops.csc import (
    Transpose,
    check_csc,
    coo_to_csc,
    coo_to_csc_reference,
    destinations,
    register_owner,
    transpose_csc,
)
from hopflow.ops.device import (
    HopflowError,
    cuda_build_architectures,
    cuda_build_version,
    cuda_devices,
    cuda_is_built,
    instruction_set,
    num_threads,
    set_num_threads,
)
from hopflow.ops.disk_rows import (
    READERS,
    DiskRows,
    DiskUse,
    best_reader,
    cache_bytes,
    cache_rows_within,
)
from hopflow.ops.edge_softmax import edge_softmax, edge_softmax_reference
from hopflow.ops.encoded_rows import EncodedRows
from hopflow.ops.frontiers import (
    breadth_first,
    breadth_first_reference,
    depth_first,
    depth_first_reference,
    topological,
    topological_reference,
)
from hopflow.ops.gather import gather_rows, gather_rows_reference
from hopflow.ops.gather_decoded import DECODED_TYPES, gather_decoded, gather_decoded_reference
from hopflow.ops.gatv2_scores import gatv2_scores, gatv2_scores_reference
from hopflow.ops.induced_edges import (
    induced_edges,
    induced_edges_reference,
    number_by_source,
    number_by_source_reference,
)
from hopflow.ops.labor import (
    LaborEdges,
    labor_chances,
    sample_labor,
    sample_labor_reference,
)
from hopflow.ops.node_uniforms import node_uniforms, node_uniforms_reference
from hopflow.ops.owners import (
    SplitIds,
    join_rows,
    join_rows_reference,
    split_by_owner,
    split_by_owner_reference,
)
from hopflow.ops.partition import StreamedEdges, stream_parts, stream_parts_reference
from hopflow.ops.pinned import Pin, RowCache, is_pinned, pin_memory, require_fit
from hopflow.ops.pool import PoolUsage, empty, pool_usage, pooled, set_pool_limit, set_pool_pinned
from hopflow.ops.ppr_neighbors import (
    PPRNeighbors,
    check_ppr,
    ppr_neighbors,
    ppr_neighbors_reference,
)
from hopflow.ops.quantize import quantize_by_column, quantize_by_row
from hopflow.ops.random_walk import (
    WalkEdges,
    node2vec_walk,
    node2vec_walk_reference,
    random_walk,
    random_walk_reference,
)
from hopflow.ops.relations import (
    Relation,
    RelationHop,
    SampledTypedBlocks,
    TypedHop,
    TypedNodes,
    relation_key,
)
from hopflow.ops.sample import sample_neighbors, sample_neighbors_reference, stream_key
from hopflow.ops.sample_temporal import (
    TEMPORAL_STRATEGIES,
    RowTimes,
    as_times,
    sample_temporal,
    sample_temporal_reference,
    sort_row_times,
)
from hopflow.ops.sample_weighted import (
    RowWeights,
    row_weights,
    sample_weighted,
    sample_weighted_reference,
)
from hopflow.ops.sddmm import sddmm, sddmm_reference
from hopflow.ops.sddmm_binary import sddmm_binary, sddmm_binary_reference
from hopflow.ops.segment_mm import (
    head_mm,
    head_mm_reference,
    segment_mm,
    segment_mm_reference,
)
from hopflow.ops.spmm import (
    REDUCERS,
    spmm,
    spmm_reference,
)
from hopflow.ops.spmm_binary import spmm_binary, spmm_binary_reference
from hopflow.ops.spmm_edges import segment_reduce, segment_reduce_reference
from hopflow.ops.spmm_own import spmm_with_own, spmm_with_own_reference
from hopflow.ops.typed_blocks import (
    Drawn,
    number_hops,
    sample_typed_blocks,
    sample_typed_blocks_reference,
    sample_typed_blocks_with,
)

__all__ = [
    "DECODED_TYPES",
    "INT32_MAX",
    "MOST_NODES",
    "READERS",
    "REDUCERS",
    "TEMPORAL_STRATEGIES",
    "BatchLoader",
    "BatchTimes",
    "DiskRows",
    "DiskUse",
    "Drawn",
    "EncodedRows",
    "HopflowError",
    "LaborEdges",
    "LoadedBatch",
    "LoadedTypedBatch",
    "PPRNeighbors",
    "Pin",
    "PoolUsage",
    "Relation",
    "RelationHop",
    "RowCache",
    "RowSource",
    "RowTimes",
    "RowWeights",
    "SampledBlocks",
    "SampledHop",
    "SampledTypedBlocks",
    "ScratchCache",
    "SplitIds",
    "StartedBlocks",
    "StreamedEdges",
    "Transpose",
    "TypedBatchLoader",
    "TypedHop",
    "TypedNodes",
    "WalkEdges",
    "add_to_sources",
    "add_to_sources_reference",
    "as_float",
    "as_int",
    "as_times",
    "as_wide_int",
    "best_reader",
    "breadth_first",
    "breadth_first_reference",
    "cache_bytes",
    "cache_rows_within",
    "check_csc",
    "check_ppr",
    "compact_ids",
    "compact_ids_reference",
    "coo_to_csc",
    "coo_to_csc_reference",
    "cuda_build_architectures",
    "cuda_build_version",
    "cuda_devices",
    "cuda_is_built",
    "depth_first",
    "depth_first_reference",
    "destinations",
    "edge_softmax",
    "edge_softmax_reference",
    "empty",
    "first_ids",
    "gather_decoded",
    "gather_decoded_reference",
    "gather_rows",
    "gather_rows_reference",
    "gatv2_scores",
    "gatv2_scores_reference",
    "head_mm",
    "head_mm_reference",
    "id_dtype",
    "induced_edges",
    "induced_edges_reference",
    "instruction_set",
    "is_a_transforms",
    "is_compiling",
    "is_pinned",
    "join_rows",
    "join_rows_reference",
    "labor_chances",
    "made_to_last",
    "mark_csc",
    "mark_ids",
    "node2vec_walk",
    "node2vec_walk_reference",
    "node_uniforms",
    "node_uniforms_reference",
    "num_threads",
    "number_by_source",
    "number_by_source_reference",
    "number_hops",
    "on_cuda",
    "outlasting",
    "pin_memory",
    "pool_usage",
    "pooled",
    "ppr_neighbors",
    "ppr_neighbors_reference",
    "quantize_by_column",
    "quantize_by_row",
    "random_walk",
    "random_walk_reference",
    "register_owner",
    "relation_key",
    "require_fit",
    "row_weights",
    "sample_blocks",
    "sample_blocks_reference",
    "sample_labor",
    "sample_labor_reference",
    "sample_neighbors",
    "sample_neighbors_reference",
    "sample_temporal",
    "sample_temporal_reference",
    "sample_typed_blocks",
    "sample_typed_blocks_reference",
    "sample_typed_blocks_with",
    "sample_weighted",
    "sample_weighted_reference",
    "sddmm",
    "sddmm_binary",
    "sddmm_binary_reference",
    "sddmm_reference",
    "segment_mm",
    "segment_mm_reference",
    "segment_reduce",
    "segment_reduce_reference",
    "set_num_threads",
    "set_pool_limit",
    "set_pool_pinned",
    "sort_row_times",
    "split_by_owner",
    "split_by_owner_reference",
    "spmm",
    "spmm_binary",
    "spmm_binary_reference",
    "spmm_reference",
    "spmm_with_own",
    "spmm_with_own_reference",
    "start_blocks",
    "stream_key",
    "stream_parts",
    "stream_parts_reference",
    "topological",
    "topological_reference",
    "transpose_csc",
]
