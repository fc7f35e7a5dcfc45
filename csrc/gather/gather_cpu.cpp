#include <algorithm>
#include <cstddef>
#include <cstring>

#include "core/parallel.h"
#include "core/prefetch.h"
#include "gather/gather.h"

namespace hopflow::cpu {
namespace {

// Rows ahead of the copy whose cache lines are asked for.
constexpr std::int64_t kPrefetchRows = 16;
constexpr std::int64_t kCacheLine = 64;
// Lines of a row that are asked for; the hardware prefetcher follows longer rows by itself.
constexpr std::int64_t kPrefetchLines = 16;
constexpr std::int64_t kGrainBytes = 1 << 18;

// A size known to the compiler turns memcpy into one move.
template <std::size_t kBytes, typename Id>
void GatherFixed(std::int64_t begin, std::int64_t end, std::int64_t stride, const std::byte* x,
                 const Id* ids, std::byte* out) {
  for (std::int64_t i = begin; i < end; ++i) {
    if (i + kPrefetchRows < end) Prefetch(x + ids[i + kPrefetchRows] * stride);
    std::memcpy(out + i * static_cast<std::int64_t>(kBytes), x + ids[i] * stride, kBytes);
  }
}

template <typename Id>
void GatherAny(std::int64_t begin, std::int64_t end, std::int64_t row_bytes, std::int64_t stride,
               const std::byte* x, const Id* ids, std::byte* out) {
  const std::int64_t ahead = std::min(row_bytes, kPrefetchLines * kCacheLine);
  for (std::int64_t i = begin; i < end; ++i) {
    if (i + kPrefetchRows < end) {
      const std::byte* next = x + ids[i + kPrefetchRows] * stride;
      for (std::int64_t byte = 0; byte < ahead; byte += kCacheLine) Prefetch(next + byte);
    }
    std::memcpy(out + i * row_bytes, x + ids[i] * stride, static_cast<std::size_t>(row_bytes));
  }
}

}  // namespace

template <typename Id>
void GatherRows(std::int64_t num_ids, std::int64_t row_bytes, std::int64_t row_stride_bytes,
                const void* x, const Id* ids, void* out) {
  if (row_bytes == 0) return;
  const auto* from = static_cast<const std::byte*>(x);
  auto* to = static_cast<std::byte*>(out);
  const std::int64_t grain = std::max<std::int64_t>(1, kGrainBytes / (row_bytes + 64));
  ParallelFor(num_ids, grain, [&](std::int64_t begin, std::int64_t end) {
    switch (row_bytes) {
      case 1:
        return GatherFixed<1>(begin, end, row_stride_bytes, from, ids, to);
      case 2:
        return GatherFixed<2>(begin, end, row_stride_bytes, from, ids, to);
      case 4:
        return GatherFixed<4>(begin, end, row_stride_bytes, from, ids, to);
      case 8:
        return GatherFixed<8>(begin, end, row_stride_bytes, from, ids, to);
      default:
        return GatherAny(begin, end, row_bytes, row_stride_bytes, from, ids, to);
    }
  });
}

template void GatherRows<std::int32_t>(std::int64_t, std::int64_t, std::int64_t, const void*,
                                       const std::int32_t*, void*);
template void GatherRows<std::int64_t>(std::int64_t, std::int64_t, std::int64_t, const void*,
                                       const std::int64_t*, void*);

}  // namespace hopflow::cpu
