#include "csc.h"

#include <algorithm>
#include <vector>

#include "parallel.h"

namespace hopflow::cpu {
namespace {

constexpr std::int64_t kGrain = 1 << 16;

// Stable counting sort of n items by key. Every part counts its own stretch of items, so part p
// knows where its first item of each key goes and the parts write without meeting. The counters
// cost parts x num_keys; parts are limited so that they stay below the sorted data itself.
template <typename Key, typename Place>
void CountingSort(std::int64_t n, std::int64_t num_keys, const Key* keys,  // [n]
                  std::int64_t* offsets,                                   // [num_keys + 1]
                  Place&& place) {                                         // place(item, position)
  const int num_parts = static_cast<int>(
      std::clamp<std::int64_t>(n / std::max<std::int64_t>(1, num_keys), 1, NumParts(n, kGrain)));
  std::vector<std::vector<std::int64_t>> counts(num_parts);
  ParallelParts(num_parts, [&](int part) {
    auto& count = counts[part];
    count.assign(num_keys, 0);
    for (std::int64_t i = PartBegin(n, part, num_parts); i < PartBegin(n, part + 1, num_parts);
         ++i) {
      ++count[keys[i]];
    }
  });
  std::int64_t total = 0;
  for (std::int64_t key = 0; key < num_keys; ++key) {
    offsets[key] = total;
    for (auto& count : counts) {
      const std::int64_t here = count[key];
      count[key] = total;
      total += here;
    }
  }
  offsets[num_keys] = total;
  ParallelParts(num_parts, [&](int part) {
    auto& next = counts[part];
    for (std::int64_t i = PartBegin(n, part, num_parts); i < PartBegin(n, part + 1, num_parts);
         ++i) {
      place(i, next[keys[i]]++);
    }
  });
}

}  // namespace

template <typename Id>
bool IsSorted(std::int64_t num_edges, const Id* dst) {
  return std::is_sorted(dst, dst + num_edges);
}

template <typename Id, typename OutId, typename EdgeId>
void CooToCsc(std::int64_t num_edges, std::int64_t num_dst, const Id* src, const Id* dst,
              std::int64_t* indptr, OutId* indices, EdgeId* eids) {
  CountingSort(num_edges, num_dst, dst, indptr, [&](std::int64_t edge, std::int64_t position) {
    indices[position] = static_cast<OutId>(src[edge]);
    if (eids != nullptr) eids[position] = static_cast<EdgeId>(edge);
  });
}

template <typename Id, typename EdgeId>
void TransposeCsc(std::int64_t num_src, std::int64_t num_dst, const std::int64_t* indptr,
                  const Id* indices, std::int64_t* out_indptr, Id* out_indices,
                  EdgeId* out_positions) {
  const std::int64_t num_edges = indptr[num_dst];
  CountingSort(num_edges, num_src, indices, out_indptr,
               [&](std::int64_t position, std::int64_t to) {
                 out_positions[to] = static_cast<EdgeId>(position);
               });
  // The destination of a position is the row that holds it. Rows of the transpose list positions in
  // rising order, but a search for each would cost a logarithm: write rows to positions first.
  std::vector<Id> row_of(num_edges);
  ParallelRows(indptr, num_dst, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      std::fill(row_of.begin() + indptr[row], row_of.begin() + indptr[row + 1],
                static_cast<Id>(row));
    }
  });
  ParallelFor(num_edges, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) out_indices[i] = row_of[out_positions[i]];
  });
}

#define HOPFLOW_INSTANTIATE_COO(Id, OutId, EdgeId)                                            \
  template void CooToCsc<Id, OutId, EdgeId>(std::int64_t, std::int64_t, const Id*, const Id*, \
                                            std::int64_t*, OutId*, EdgeId*);
#define HOPFLOW_INSTANTIATE_TRANSPOSE(Id, EdgeId)                                         \
  template void TransposeCsc<Id, EdgeId>(std::int64_t, std::int64_t, const std::int64_t*, \
                                         const Id*, std::int64_t*, Id*, EdgeId*);
template bool IsSorted<std::int32_t>(std::int64_t, const std::int32_t*);
template bool IsSorted<std::int64_t>(std::int64_t, const std::int64_t*);
HOPFLOW_INSTANTIATE_COO(std::int32_t, std::int32_t, std::int32_t)
HOPFLOW_INSTANTIATE_COO(std::int32_t, std::int32_t, std::int64_t)
HOPFLOW_INSTANTIATE_COO(std::int32_t, std::int64_t, std::int32_t)
HOPFLOW_INSTANTIATE_COO(std::int32_t, std::int64_t, std::int64_t)
HOPFLOW_INSTANTIATE_COO(std::int64_t, std::int32_t, std::int32_t)
HOPFLOW_INSTANTIATE_COO(std::int64_t, std::int32_t, std::int64_t)
HOPFLOW_INSTANTIATE_COO(std::int64_t, std::int64_t, std::int32_t)
HOPFLOW_INSTANTIATE_COO(std::int64_t, std::int64_t, std::int64_t)
HOPFLOW_INSTANTIATE_TRANSPOSE(std::int32_t, std::int32_t)
HOPFLOW_INSTANTIATE_TRANSPOSE(std::int32_t, std::int64_t)
HOPFLOW_INSTANTIATE_TRANSPOSE(std::int64_t, std::int32_t)
HOPFLOW_INSTANTIATE_TRANSPOSE(std::int64_t, std::int64_t)
#undef HOPFLOW_INSTANTIATE_TRANSPOSE
#undef HOPFLOW_INSTANTIATE_COO

}  // namespace hopflow::cpu
