# Outputs are allocated by the caller (hopflow.ops) and written in place.

from collections.abc import Sequence
from typing import Any, TypeAlias

from torch import Tensor

class HopflowError(RuntimeError): ...

def stream_key(seed: int, epoch: int, batch: int, hop: int) -> int: ...
def relation_key(key: int, relation: int) -> int: ...
def induced_edges(
    indptr: Tensor, indices: Tensor, dst: Tensor, src: Tensor
) -> tuple[Tensor, Tensor, Tensor]: ...
def count_induced_on_cuda(
    indptr: Tensor,
    indices: Tensor,
    dst: Tensor,
    src: Tensor,
    rows: Tensor,
    kept: Tensor,
    out_indptr: Tensor,
) -> int: ...
def induced_on_cuda(
    indptr: Tensor,
    indices: Tensor,
    dst: Tensor,
    src: Tensor,
    rows: Tensor,
    kept: Tensor,
    out_indices: Tensor,
    out_positions: Tensor,
) -> None: ...
def number_by_source(
    indptr: Tensor, indices: Tensor, eids: Tensor, num_src: int
) -> tuple[Tensor, Tensor | None, Tensor]: ...
def breadth_first(
    indptr: Tensor, indices: Tensor, eids: Tensor | None, sources: Tensor
) -> tuple[Tensor, Tensor, Tensor]: ...
def topological(indptr: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]: ...
def depth_first(
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    sources: Tensor,
    reverse: bool,
    nontree: bool,
) -> tuple[Tensor, Tensor, Tensor]: ...
def count_sampled_neighbors(
    indptr: Tensor,
    num_edges: int,
    seeds: Tensor,
    fanout: int,
    replace: bool,
    out_indptr: Tensor,
) -> int: ...
def sample_neighbors(
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    seeds: Tensor,
    node_ids: Tensor | None,
    fanout: int,
    replace: bool,
    key: int,
    out_indptr: Tensor,
    out_neighbors: Tensor,
    out_eids: Tensor,
) -> None: ...
def count_temporal(
    indptr: Tensor,
    times: Tensor,
    seeds: Tensor,
    seed_times: Tensor,
    fanout: int,
    replace: bool,
    strict: bool,
    excluded: Tensor | None,
    out_indptr: Tensor,
    out_excluded: Tensor,
    out_eligible: Tensor,
) -> int: ...
def sample_temporal(
    indptr: Tensor,
    sums: Tensor | None,
    weights: Tensor | None,
    seeds: Tensor,
    stamps: Tensor,
    eligible: Tensor,
    fanout: int,
    replace: bool,
    latest: bool,
    key: int,
    excluded: Tensor | None,
    out_indptr: Tensor,
    out_excluded: Tensor,
    out_positions: Tensor,
) -> None: ...
def sample_labor(
    indptr: Tensor,
    indices: Tensor,
    seeds: Tensor,
    weights: Tensor | None,
    excluded: Tensor | None,
    num_src: int,
    fanout: int,
    importance: int,
    normalize: bool,
    key: int,
    second_key: int,
    share: float,
) -> tuple[Any, ...]: ...
def sum_rows(indptr: Tensor, weights: Tensor, sums: Tensor) -> None: ...
def count_weighted(
    indptr: Tensor,
    num_edges: int,
    seeds: Tensor,
    fanout: int,
    replace: bool,
    excluded: Tensor | None,
    out_indptr: Tensor,
    out_excluded: Tensor,
) -> int: ...
def sample_weighted(
    indptr: Tensor,
    num_edges: int,
    sums: Tensor | None,
    weights: Tensor | None,
    seeds: Tensor,
    node_ids: Tensor | None,
    fanout: int,
    replace: bool,
    key: int,
    excluded: Tensor | None,
    out_indptr: Tensor,
    out_excluded: Tensor,
    out_positions: Tensor,
) -> None: ...
def random_walk(
    relations: list[tuple[Tensor, Tensor, Tensor | None, Tensor | None]],
    path: list[int],
    restart: list[float],
    seeds: Tensor,
    key: int,
    traces: Tensor,
    out_eids: Tensor | None,
) -> None: ...
def node2vec_walk(
    edges: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    all_indptr: Tensor,
    all_indices: Tensor,
    seeds: Tensor,
    p: float,
    q: float,
    num_steps: int,
    key: int,
    traces: Tensor,
    out_eids: Tensor | None,
) -> None: ...
def split_by_owner(
    ids: Tensor,
    place: Tensor,
    starts: Tensor,
    cached: Tensor | None,
    offsets: Tensor,
    rows: Tensor,
    slots: Tensor,
) -> None: ...
def join_rows(
    pieces: list[tuple[Tensor, Tensor | None, int]], slots: Tensor, out: Tensor
) -> None: ...
def stream_parts(
    edges: list[tuple[Tensor, Tensor, int, int, int]],
    classes: Tensor,
    caps: list[int],
    num_parts: int,
    num_passes: int,
    only_full: bool,
    parts: Tensor,
) -> None: ...
def ppr_neighbors(
    indptr: Tensor,
    indices: Tensor,
    weights: Tensor | None,
    excluded: Tensor | None,
    seeds: Tensor,
    k: int,
    alpha: float,
    epsilon: float,
    neighbors: Tensor,
    scores: Tensor,
    counts: Tensor,
) -> None: ...
def compact_ids(
    seeds: Tensor,
    neighbors: Tensor,
    out_unique: Tensor,
    out_seeds: Tensor,
    out_neighbors: Tensor,
) -> tuple[int, int]: ...
def is_sorted(dst: Tensor) -> bool: ...
def coo_to_csc(
    src: Tensor,
    dst: Tensor,
    num_src: int,
    out_indptr: Tensor,
    out_indices: Tensor,
    out_eids: Tensor | None,
) -> None: ...
def transpose_csc(
    indptr: Tensor,
    indices: Tensor,
    out_indptr: Tensor,
    out_indices: Tensor,
    out_positions: Tensor,
) -> None: ...
def check_ids(ids: Tensor, name: str, bound: int, bound_name: str) -> None: ...
def check_indptr(indptr: Tensor, name: str, num_edges: int) -> None: ...
def check_permutation(ids: Tensor, name: str) -> None: ...
def gather_rows(x: Tensor, ids: Tensor, out: Tensor) -> None: ...
def gather_decoded(
    x: Tensor,
    ids: Tensor | None,
    scale: Tensor | None,
    offset: Tensor | None,
    by_row: bool,
    out: Tensor,
) -> None: ...
def gather_cached_rows(
    x: Tensor, ids: Tensor, cached: Tensor, slots: Tensor, num_hits: Tensor, out: Tensor
) -> None: ...
def edge_softmax(
    x: Tensor, grad: Tensor | None, indptr: Tensor, eids: Tensor | None, out: Tensor
) -> None: ...
def gatv2_scores(
    u: Tensor,
    v: Tensor,
    attn: Tensor,
    slope: float,
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    grad: Tensor | None,
    out: Tensor,
    out_attn: Tensor | None,
) -> None: ...
def spmm_binary(
    op: str,
    lhs: Tensor,
    lhs_side: str,
    rhs: Tensor,
    rhs_side: str,
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    reduce: str,
    out: Tensor,
    out_arg: Tensor | None,
) -> None: ...
def sddmm_binary(
    op: str,
    lhs: Tensor,
    lhs_side: str,
    rhs: Tensor,
    rhs_side: str,
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    out: Tensor,
) -> None: ...
def spmm(
    x: Tensor,
    indptr: Tensor,
    rows: Tensor | None,
    num_edges: int,
    weight: Tensor | None,
    weight_ids: Tensor | None,
    row_scale: Tensor | None,
    reduce: str,
    out: Tensor,
    out_arg: Tensor | None,
) -> None: ...
def inverse_degrees(indptr: Tensor, out: Tensor) -> None: ...
def spmm_arg_backward(
    grad: Tensor,
    arg: Tensor,
    indptr: Tensor,
    t_indptr: Tensor,
    t_rows: Tensor,
    t_positions: Tensor,
    out: Tensor,
) -> None: ...
def spmm_edge_backward(
    grad: Tensor,
    arg: Tensor | None,
    indptr: Tensor,
    eids: Tensor | None,
    reduce: str,
    out: Tensor,
) -> None: ...
def sddmm_dot(
    u: Tensor,
    v: Tensor,
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    out: Tensor,
) -> None: ...

# A relation: (indptr, indices, source type, destination type).
_Relation: TypeAlias = tuple[Tensor, Tensor, int, int]

# ([(input_nodes, output_nodes, seed_inverse, src_ids) for each type],
#  [([(indptr, indices, positions) for each relation], [num_src of each type]) for each hop])
_Blocks: TypeAlias = tuple[
    list[tuple[Tensor, Tensor, Tensor | None, Tensor]],
    list[tuple[list[tuple[Tensor, Tensor, Tensor]], list[int]]],
]

def sample_blocks(
    relations: Sequence[_Relation],
    num_nodes: list[int],
    seeds: list[Tensor],
    fanouts: list[list[int]],
    keys: list[list[int]],
    replace: bool,
    wide_output: bool,
) -> _Blocks: ...

# On the device, as long as fanouts allow, as bytes: (sizes, src_ids, seed_inverse, hops, whether
# positions are int64)
def sample_blocks_cuda(
    indptr: Tensor,
    indices: Tensor,
    seeds: Tensor,
    fanouts: list[int],
    keys: list[int],
    replace: bool,
) -> tuple[Tensor, Tensor, Tensor, list[tuple[Tensor, Tensor, Tensor]], bool]: ...
def add_to_sources(indptr: Tensor, indices: Tensor, values: Tensor, out: Tensor) -> None: ...
def best_reader() -> str: ...

# Rows, how they are encoded, scale, offset, numbers in a row, dtype of what comes out.
EncodedColumn: TypeAlias = tuple[Tensor | DiskRows, str, Tensor | None, Tensor | None, int, str]

class DiskRows:
    def __init__(
        self,
        path: bytes,
        first_byte: int,
        num_rows: int,
        row_bytes: int,
        capacity: int,
        direct: bool,
        writable: bool,
        reader: str,
    ) -> None: ...
    def read(self, ids: Tensor, out: Tensor) -> None: ...
    def write(self, ids: Tensor, rows: Tensor) -> None: ...
    def flush(self) -> None: ...
    def keep(self, ids: Tensor) -> None: ...
    def use(self) -> dict[str, int]: ...
    @property
    def capacity(self) -> int: ...
    @property
    def num_cached(self) -> int: ...
    @property
    def is_direct(self) -> bool: ...

class ScratchCache: ...

class BatchLoader:
    def __init__(
        self,
        relations: Sequence[_Relation],
        num_nodes: list[int],
        seeds: Tensor,
        fanouts: list[list[int]],
        replace: bool,
        wide_output: bool,
        batch_size: int,
        batches: list[int],
        seed: int,
        epoch: int,
        num_workers: int,
        capacity: int,
        cache: ScratchCache,
    ) -> None: ...
    def set_requests(
        self,
        number: int,
        columns: list[tuple[Tensor | DiskRows | EncodedColumn, int, int]],
        transposes: list[tuple[int, int]],
    ) -> None: ...
    # (blocks, number of the request, columns as bytes, transposes, nanoseconds spent sampling,
    # gathering, reading and transposing)
    def next(
        self, timeout: float
    ) -> (
        tuple[
            _Blocks,
            int,
            list[Tensor],
            list[tuple[Tensor, Tensor, Tensor]],
            tuple[int, int, int, int],
        ]
        | None
    ): ...
    def close(self) -> None: ...

def pool_allocate(bytes: int) -> Tensor: ...
def pool_set_limit(bytes: int) -> None: ...
def pool_set_pinned(pinned: bool) -> None: ...
def pool_usage() -> tuple[int, int, int]: ...
def num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def isa() -> str: ...
def limit_isa(name: str) -> None: ...

cuda_device_type: str  # "cuda", but "cpu" where tests emulate it

def cuda_is_built() -> bool: ...
def cuda_build_version() -> str: ...
def cuda_build_architectures() -> str: ...
def pin_memory(data: int, bytes: int) -> int: ...
def unpin_memory(lock: int) -> None: ...
def is_pinned(data: int, bytes: int) -> bool: ...
def cuda_devices() -> tuple[list[tuple[str, int, int]], str]: ...
