#include "core/dtype.h"
#include "csc/csc.h"
#include "cuda/launch.cuh"
#include "cuda/scan_sort.cuh"

namespace hopflow::cuda {
namespace {

template <typename Id>
__global__ void __launch_bounds__(kBlock)
    IsSortedKernel(std::int64_t n, const Id* keys, std::uint32_t* falls) {
  const std::int64_t i = ThreadIndex();
  if (i + 1 < n && keys[i] > keys[i + 1]) *falls = 1;
}

// Keys as unsigned words of the sort's width, each with its index.
template <typename Id, typename Word>
__global__ void __launch_bounds__(kBlock)
    NumberedKeysKernel(std::int64_t n, const Id* ids, Word* keys, Word* indices) {
  const std::int64_t i = ThreadIndex();
  if (i >= n) return;
  keys[i] = static_cast<Word>(ids[i]);
  indices[i] = static_cast<Word>(i);
}

// offsets[key] = where the first of the sorted keys at or after `key` stands.
template <typename Word>
__global__ void __launch_bounds__(kBlock)
    OffsetsKernel(std::int64_t n, std::int64_t num_keys, const Word* sorted,
                  std::int64_t* offsets) {  // [num_keys + 1]
  const std::int64_t key = ThreadIndex();
  if (key > num_keys) return;
  std::int64_t low = 0, high = n;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (static_cast<std::int64_t>(sorted[middle]) < key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  offsets[key] = low;
}

// A warp writes the number of a row to all its positions.
template <typename Id>
__global__ void __launch_bounds__(kBlock)
    RowsKernel(std::int64_t num_rows, const std::int64_t* indptr, Id* rows) {
  const std::int64_t row = ThreadIndex() / kWarp;
  if (row >= num_rows) return;
  for (std::int64_t p = indptr[row] + threadIdx.x % kWarp; p < indptr[row + 1]; p += kWarp) {
    rows[p] = static_cast<Id>(row);
  }
}

// out[i] = values[order[i]], and the order itself if it is wanted.
template <typename Id, typename Out, typename EdgeId, typename Word>
__global__ void __launch_bounds__(kBlock)
    PermuteKernel(std::int64_t n, const Id* values, const Word* order, Out* out,
                  EdgeId* out_order) {
  const std::int64_t i = ThreadIndex();
  if (i >= n) return;
  out[i] = static_cast<Out>(values[order[i]]);
  if (out_order != nullptr) out_order[i] = static_cast<EdgeId>(order[i]);
}

// Stably sorts [0, n) by ids[i] in [0, num_keys) and says where each id's begin.
template <typename Word, typename Id>
const Word* SortedOrder(std::int64_t n, std::int64_t num_keys, const Id* ids,
                        std::int64_t* offsets,  // [num_keys + 1]
                        Workspace& work) {
  auto* const keys = work.Of<Word>(n);
  auto* const numbers = work.Of<Word>(n);
  auto* const sorted = work.Of<Word>(n);
  auto* const order = work.Of<Word>(n);
  Launch("sort edges", work, n, NumberedKeysKernel<Id, Word>, n, ids, keys, numbers);
  if (n > 0) {
    int bits = 1;
    while (bits < static_cast<int>(8 * sizeof(Word)) && num_keys >> bits != 0) ++bits;
    SortPairs(n, bits, keys, numbers, sorted, order, work);
  }
  Launch("sort edges", work, num_keys + 1, OffsetsKernel<Word>, n, num_keys, sorted, offsets);
  return order;
}

// Words that count edges and keys: two sorts are compiled, not one for each pair of types.
template <typename F>
void DispatchWord(std::int64_t num_edges, std::int64_t num_keys, F&& f) {
  constexpr std::int64_t kMost32 = std::int64_t{1} << 31;
  if (num_edges <= kMost32 && num_keys <= kMost32) return f(std::uint32_t());
  f(std::uint64_t());
}

}  // namespace

template <typename Id>
bool IsSorted(std::int64_t num_edges, const Id* dst, Workspace& work) {
  auto* const falls = work.Of<std::uint32_t>(1);
  Zero(falls, sizeof *falls, work);
  Launch("is_sorted", work, num_edges, IsSortedKernel<Id>, num_edges, dst, falls);
  std::uint32_t result = 0;
  ReadBack(falls, 1, &result, work);
  return result == 0;
}

template <typename Id, typename OutId, typename EdgeId>
void CooToCsc(std::int64_t num_edges, std::int64_t num_dst, const Id* src, const Id* dst,
              std::int64_t* indptr, OutId* indices, EdgeId* eids, Workspace& work) {
  DispatchWord(num_edges, num_dst, [&]<typename Word>(Word) {
    const Word* order = SortedOrder<Word>(num_edges, num_dst, dst, indptr, work);
    Launch("coo_to_csc", work, num_edges, PermuteKernel<Id, OutId, EdgeId, Word>, num_edges, src,
           order, indices, eids);
  });
}

template <typename Id, typename EdgeId>
void TransposeCsc(std::int64_t num_src, std::int64_t num_dst, std::int64_t num_edges,
                  const std::int64_t* indptr, const Id* indices, std::int64_t* out_indptr,
                  Id* out_indices, EdgeId* out_positions, Workspace& work) {
  auto* const rows = work.Of<Id>(num_edges);
  Launch("transpose_csc", work, num_dst * kWarp, RowsKernel<Id>, num_dst, indptr, rows);
  DispatchWord(num_edges, num_src, [&]<typename Word>(Word) {
    const Word* order = SortedOrder<Word>(num_edges, num_src, indices, out_indptr, work);
    Launch("transpose_csc", work, num_edges, PermuteKernel<Id, Id, EdgeId, Word>, num_edges, rows,
           order, out_indices, out_positions);
  });
}

#define HOPFLOW_INSTANTIATE_COO(Id, OutId, EdgeId)                                            \
  template void CooToCsc<Id, OutId, EdgeId>(std::int64_t, std::int64_t, const Id*, const Id*, \
                                            std::int64_t*, OutId*, EdgeId*, Workspace&);
#define HOPFLOW_INSTANTIATE_TRANSPOSE(Id, EdgeId)                                            \
  template void TransposeCsc<Id, EdgeId>(std::int64_t, std::int64_t, std::int64_t,           \
                                         const std::int64_t*, const Id*, std::int64_t*, Id*, \
                                         EdgeId*, Workspace&);
template bool IsSorted<std::int32_t>(std::int64_t, const std::int32_t*, Workspace&);
template bool IsSorted<std::int64_t>(std::int64_t, const std::int64_t*, Workspace&);
HOPFLOW_FOR_IDS3(HOPFLOW_INSTANTIATE_COO)
HOPFLOW_FOR_IDS2(HOPFLOW_INSTANTIATE_TRANSPOSE)
#undef HOPFLOW_INSTANTIATE_TRANSPOSE
#undef HOPFLOW_INSTANTIATE_COO

}  // namespace hopflow::cuda
