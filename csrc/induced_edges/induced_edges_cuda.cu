#include "core/dtype.h"
#include "cuda/id_table.cuh"
#include "cuda/launch.cuh"
#include "cuda/scan_sort.cuh"
#include "induced_edges/induced_edges.h"
#include "sample/pick_edges.cuh"

namespace hopflow::cuda {
namespace {

template <typename Id>
__global__ void __launch_bounds__(kBlock)
    FillKernel(DeviceIdTable<Id> table, std::int64_t num_src, const Id* src) {
  const std::int64_t i = ThreadIndex();
  if (i < num_src) table.values[table.Insert(src[i])] = static_cast<std::uint32_t>(i);
}

// The kept sources, each with its place.
template <typename Id>
DeviceIdTable<Id> TableOf(std::int64_t num_src, const Id* src, Workspace& work) {
  CheckValue(num_src < DeviceIdTable<Id>::kPlace, "induced_edges: ", num_src,
             " nodes; on CUDA at most 2^31 - 1 at a time");
  const DeviceIdTable<Id> table = NewIdTable<Id>(num_src, work);
  Launch("induced_edges", work, num_src, FillKernel<Id>, table, num_src, src);
  return table;
}

template <typename Id>
struct MarkKept {
  DeviceIdTable<Id> table;
  const Id* indices;
  std::int64_t* kept;
  __device__ void operator()(std::int64_t place, std::int64_t position) const {
    kept[place] = table.Find(indices[position]) >= 0;
  }
};

template <typename Id>
struct WriteKept {
  DeviceIdTable<Id> table;
  const Id* indices;
  const std::int64_t* kept;
  Id* out_indices;
  std::int64_t* out_positions;
  __device__ void operator()(std::int64_t place, std::int64_t position) const {
    const std::int64_t to = kept[place];
    if (kept[place + 1] == to) return;
    out_indices[to] = static_cast<Id>(table.Find(indices[position]));
    out_positions[to] = position;
  }
};

__global__ void __launch_bounds__(kBlock)
    RowsKernel(std::int64_t num_dst, const std::int64_t* rows, const std::int64_t* kept,
               std::int64_t* out_indptr) {
  const std::int64_t i = ThreadIndex();
  if (i <= num_dst) out_indptr[i] = kept[rows[i]];
}

PickArgs<std::int64_t> AllEdges(std::int64_t num_dst, const std::int64_t* indptr,
                                const std::int64_t* dst, const std::int64_t* rows) {
  return {{nullptr, num_dst}, indptr, dst, dst, rows, {.fanout = -1, .replace = false, .key = 0}};
}

}  // namespace

template <typename Id>
std::int64_t CountInducedEdges(std::int64_t num_dst, std::int64_t num_src,
                               std::int64_t num_row_edges, std::int64_t num_edges,
                               const std::int64_t* indptr, const Id* indices,
                               const std::int64_t* dst, const Id* src, const std::int64_t* rows,
                               std::int64_t* kept, std::int64_t* out_indptr, Workspace& work) {
  const DeviceIdTable<Id> table = TableOf(num_src, src, work);
  Zero(kept + num_row_edges, sizeof *kept, work);
  PickEdges(AllEdges(num_dst, indptr, dst, rows), num_dst, num_edges,
            MarkKept<Id>{table, indices, kept}, work);
  ExclusiveSum(kept, num_row_edges + 1, work);
  Launch("induced_edges", work, num_dst + 1, RowsKernel, num_dst, rows, kept, out_indptr);
  std::int64_t total = 0;
  ReadBack(out_indptr + num_dst, 1, &total, work);
  return total;
}

template <typename Id>
void InducedEdges(std::int64_t num_dst, std::int64_t num_src, std::int64_t num_edges,
                  const std::int64_t* indptr, const Id* indices, const std::int64_t* dst,
                  const Id* src, const std::int64_t* rows, const std::int64_t* kept,
                  Id* out_indices, std::int64_t* out_positions, Workspace& work) {
  const DeviceIdTable<Id> table = TableOf(num_src, src, work);
  PickEdges(AllEdges(num_dst, indptr, dst, rows), num_dst, num_edges,
            WriteKept<Id>{table, indices, kept, out_indices, out_positions}, work);
}

#define HOPFLOW_INSTANTIATE(Id)                                                                    \
  template std::int64_t CountInducedEdges<Id>(std::int64_t, std::int64_t, std::int64_t,            \
                                              std::int64_t, const std::int64_t*, const Id*,        \
                                              const std::int64_t*, const Id*, const std::int64_t*, \
                                              std::int64_t*, std::int64_t*, Workspace&);           \
  template void InducedEdges<Id>(std::int64_t, std::int64_t, std::int64_t, const std::int64_t*,    \
                                 const Id*, const std::int64_t*, const Id*, const std::int64_t*,   \
                                 const std::int64_t*, Id*, std::int64_t*, Workspace&);
HOPFLOW_FOR_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cuda
