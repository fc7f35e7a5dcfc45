#include "csc/csc.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/buffer_pool.h"
#include "core/dtype.h"
#include "core/parallel.h"

namespace hopflow::cpu {
namespace {

constexpr std::int64_t kGrain = 1 << 16;

// How many parts sort n items by key. Every part has counters of its own for all keys; parts are
// limited so that the counters stay smaller than what they sort.
int NumSortParts(std::int64_t n, std::int64_t num_keys) {
  return static_cast<int>(
      std::clamp<std::int64_t>(n / std::max<std::int64_t>(1, num_keys), 1, NumParts(n, kGrain)));
}

// Stable counting sort by key of items in parts: part p has items [bounds[p], bounds[p + 1]). Every
// part counts its own items, so it knows where its first item of each key goes and the parts write
// without meeting. `place(part, next)` puts the items of a part at next[key]++, in their order.
template <typename Key, typename Place>
void CountingSort(const std::vector<std::int64_t>& bounds, std::int64_t num_keys,
                  const Key* keys,        // [bounds.back()]
                  std::int64_t* offsets,  // [num_keys + 1]
                  Place&& place) {
  const int num_parts = static_cast<int>(bounds.size()) - 1;
  const Buffer memory = Buffer::Of<std::int64_t>(num_parts * num_keys);
  const auto counts = [&](int part) { return memory.as<std::int64_t>() + part * num_keys; };
  ParallelParts(num_parts, [&](int part) {
    std::int64_t* const count = counts(part);
    std::fill_n(count, num_keys, 0);
    for (std::int64_t i = bounds[part]; i < bounds[part + 1]; ++i) ++count[keys[i]];
  });
  std::int64_t total = 0;
  for (std::int64_t key = 0; key < num_keys; ++key) {
    offsets[key] = total;
    for (int part = 0; part < num_parts; ++part) {
      total += std::exchange(counts(part)[key], total);
    }
  }
  offsets[num_keys] = total;
  ParallelParts(num_parts, [&](int part) { place(part, counts(part)); });
}

}  // namespace

template <typename Id>
bool IsSorted(std::int64_t num_edges, const Id* dst) {
  return std::is_sorted(dst, dst + num_edges);
}

template <typename Id, typename OutId, typename EdgeId>
void CooToCsc(std::int64_t num_edges, std::int64_t num_dst, const Id* src, const Id* dst,
              std::int64_t* indptr, OutId* indices, EdgeId* eids) {
  const int num_parts = NumSortParts(num_edges, num_dst);
  std::vector<std::int64_t> bounds;
  for (int part = 0; part <= num_parts; ++part) {
    bounds.push_back(PartBegin(num_edges, part, num_parts));
  }
  CountingSort(bounds, num_dst, dst, indptr, [&](int part, std::int64_t* next) {
    for (std::int64_t edge = bounds[part]; edge < bounds[part + 1]; ++edge) {
      const std::int64_t position = next[dst[edge]]++;
      indices[position] = static_cast<OutId>(src[edge]);
      if (eids != nullptr) eids[position] = static_cast<EdgeId>(edge);
    }
  });
}

template <typename Id, typename EdgeId>
void TransposeCsc(std::int64_t num_src, std::int64_t num_dst, const std::int64_t* indptr,
                  const Id* indices, std::int64_t* out_indptr, Id* out_indices,
                  EdgeId* out_positions) {
  // Parts are whole rows: each knows the row of the edge at hand.
  const int num_parts = NumSortParts(indptr[num_dst], num_src);
  std::vector<std::int64_t> rows, bounds;
  for (int part = 0; part <= num_parts; ++part) {
    rows.push_back(BalancedRow(indptr, num_dst, part, num_parts));
    bounds.push_back(indptr[rows.back()]);
  }
  CountingSort(bounds, num_src, indices, out_indptr, [&](int part, std::int64_t* next) {
    for (std::int64_t row = rows[part]; row < rows[part + 1]; ++row) {
      for (std::int64_t position = indptr[row]; position < indptr[row + 1]; ++position) {
        const std::int64_t to = next[indices[position]]++;
        out_indices[to] = static_cast<Id>(row);
        out_positions[to] = static_cast<EdgeId>(position);
      }
    }
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
HOPFLOW_FOR_IDS3(HOPFLOW_INSTANTIATE_COO)
HOPFLOW_FOR_IDS2(HOPFLOW_INSTANTIATE_TRANSPOSE)
#undef HOPFLOW_INSTANTIATE_TRANSPOSE
#undef HOPFLOW_INSTANTIATE_COO

}  // namespace hopflow::cpu
