#include "owners/owners.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "core/check.h"
#include "core/dtype.h"
#include "core/parallel.h"
#include "core/prefetch.h"

namespace hopflow::cpu {
namespace {

constexpr std::int64_t kPrefetchIds = 32;
constexpr std::int64_t kPrefetchRows = 16;
constexpr std::int64_t kCacheLine = 64;
// Lines of a row that are asked for; the hardware prefetcher follows longer rows by itself.
constexpr std::int64_t kPrefetchLines = 16;
constexpr std::int64_t kGrainBytes = 1 << 18;

}  // namespace

template <typename Id, typename Place, typename Row>
void SplitByOwner(std::int64_t num_ids, const OwnersView<Place>& owners, const Id* ids,
                  std::int64_t* offsets, Row* rows, std::int32_t* slots) {
  const std::int64_t num_parts = owners.num_parts;
  const std::int64_t num_groups = num_parts + (owners.cached != nullptr);
  std::fill_n(offsets, num_groups + 1, 0);
  // First the group of each id, in its slot, and how many each has.
  for (std::int64_t i = 0; i < num_ids; ++i) {
    if (i + kPrefetchIds < num_ids) {
      Prefetch(owners.place + ids[i + kPrefetchIds]);
      if (owners.cached != nullptr) Prefetch(owners.cached + ids[i + kPrefetchIds]);
    }
    std::int64_t group = num_parts;
    if (owners.cached == nullptr || owners.cached[ids[i]] < 0) {
      const auto place = static_cast<std::int64_t>(owners.place[ids[i]]);
      CheckValue(0 <= place && place < owners.starts[num_parts], "place[", ids[i], "] is ", place,
                 ", expected 0 <= place < ", owners.starts[num_parts]);
      group =
          std::upper_bound(owners.starts, owners.starts + num_parts + 1, place) - owners.starts - 1;
    }
    slots[i] = static_cast<std::int32_t>(group);
    ++offsets[group + 1];
  }
  for (std::int64_t g = 0; g < num_groups; ++g) offsets[g + 1] += offsets[g];
  std::vector<std::int64_t> next(offsets, offsets + num_groups);
  for (std::int64_t i = 0; i < num_ids; ++i) {
    const std::int32_t group = slots[i];
    const std::int64_t slot = next[group]++;
    slots[i] = static_cast<std::int32_t>(slot);
    rows[slot] = group == num_parts ? static_cast<Row>(owners.cached[ids[i]])
                                    : static_cast<Row>(owners.place[ids[i]] - owners.starts[group]);
  }
}

template <typename Id>
void JoinRows(std::int64_t num_rows, std::int64_t row_bytes, const std::vector<RowsView>& pieces,
              const std::int32_t* slots, void* out) {
  if (row_bytes == 0 || num_rows == 0) return;
  std::vector<std::int64_t> ends;  // of each piece among the slots
  for (const RowsView& piece : pieces) {
    ends.push_back(piece.count + (ends.empty() ? 0 : ends.back()));
  }
  const auto address = [&](std::int32_t slot) {
    std::size_t k = 0;
    while (slot >= ends[k]) ++k;  // there are few pieces
    const RowsView& piece = pieces[k];
    const std::int64_t at = slot - (ends[k] - piece.count);
    const auto* const own = static_cast<const Id*>(piece.ids);
    return static_cast<const std::byte*>(piece.x) +
           (own != nullptr ? static_cast<std::int64_t>(own[at]) : at) * piece.row_stride_bytes;
  };
  auto* const to = static_cast<std::byte*>(out);
  const std::int64_t ahead = std::min(row_bytes, kPrefetchLines * kCacheLine);
  const std::int64_t grain = std::max<std::int64_t>(1, kGrainBytes / (row_bytes + 64));
  ParallelFor(num_rows, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      if (i + kPrefetchRows < end) {
        const std::byte* const next = address(slots[i + kPrefetchRows]);
        for (std::int64_t byte = 0; byte < ahead; byte += kCacheLine) Prefetch(next + byte);
      }
      std::memcpy(to + i * row_bytes, address(slots[i]), static_cast<std::size_t>(row_bytes));
    }
  });
}

#define HOPFLOW_INSTANTIATE_SPLIT(Id, Place, Row)                                               \
  template void SplitByOwner<Id, Place, Row>(std::int64_t, const OwnersView<Place>&, const Id*, \
                                             std::int64_t*, Row*, std::int32_t*);
#define HOPFLOW_INSTANTIATE_JOIN(Id)                                                   \
  template void JoinRows<Id>(std::int64_t, std::int64_t, const std::vector<RowsView>&, \
                             const std::int32_t*, void*);
HOPFLOW_FOR_IDS3(HOPFLOW_INSTANTIATE_SPLIT)
HOPFLOW_FOR_ID(HOPFLOW_INSTANTIATE_JOIN)
#undef HOPFLOW_INSTANTIATE_JOIN
#undef HOPFLOW_INSTANTIATE_SPLIT

}  // namespace hopflow::cpu
