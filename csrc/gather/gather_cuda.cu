#include <cstdint>

#include "cuda/launch.cuh"
#include "gather/gather.h"

namespace hopflow::cuda {
namespace {

// Rows that a team has in flight at a time: enough loads to cover the memory's latency.
constexpr int kRowsInFlight = 4;

// A row is `num_units` units; a team of kLanes copies kRowsInFlight rows side by side.
template <int kLanes, typename Unit, typename Id>
__global__ void __launch_bounds__(kBlock)
    GatherKernel(std::int64_t num_ids, std::int64_t num_units, std::int64_t stride_bytes,
                 const char* __restrict__ x, const Id* __restrict__ ids, RowCache cache,
                 Unit* __restrict__ out) {
  const std::int64_t first = ThreadIndex() / kLanes * kRowsInFlight;
  const int lane = threadIdx.x % kLanes;
  if (first >= num_ids) return;
  const Unit* from[kRowsInFlight];
  int num_rows = 0, num_hits = 0;
#pragma unroll
  for (int r = 0; r < kRowsInFlight; ++r) {
    const bool there = first + r < num_ids;
    num_rows += there;
    const std::int64_t row = ids[there ? first + r : first];
    from[r] = reinterpret_cast<const Unit*>(x + row * stride_bytes);
    if (cache.rows == nullptr) continue;
    const std::int64_t slot = cache.slots[row];
    if (slot < 0) continue;
    from[r] = static_cast<const Unit*>(cache.rows) + slot * num_units;
    num_hits += there;
  }
  if (lane == 0 && num_hits > 0) {
    atomicAdd(reinterpret_cast<unsigned long long*>(cache.num_hits),
              static_cast<unsigned long long>(num_hits));
  }
  for (std::int64_t unit = lane; unit < num_units; unit += kLanes) {
    Unit value[kRowsInFlight];
#pragma unroll
    for (int r = 0; r < kRowsInFlight; ++r) value[r] = from[r][unit];
#pragma unroll
    for (int r = 0; r < kRowsInFlight; ++r) {
      if (r < num_rows) out[(first + r) * num_units + unit] = value[r];
    }
  }
}

template <typename Unit, typename Id>
void GatherUnits(std::int64_t num_ids, std::int64_t row_bytes, std::int64_t stride_bytes,
                 const void* x, const Id* ids, const RowCache& cache, void* out,
                 const Workspace& work) {
  const std::int64_t num_units = row_bytes / static_cast<std::int64_t>(sizeof(Unit));
  DispatchTeam(num_units, [&]<int kLanes>(std::integral_constant<int, kLanes>) {
    const std::int64_t num_teams = (num_ids + kRowsInFlight - 1) / kRowsInFlight;
    Launch("gather_rows", work, num_teams * kLanes, GatherKernel<kLanes, Unit, Id>, num_ids,
           num_units, stride_bytes, static_cast<const char*>(x), ids, cache,
           static_cast<Unit*>(out));
  });
}

}  // namespace

template <typename Id>
void GatherRows(std::int64_t num_ids, std::int64_t row_bytes, std::int64_t row_stride_bytes,
                const void* x, const Id* ids, const RowCache& cache, void* out, Workspace& work) {
  if (row_bytes == 0) return;
  // The widest unit that every address is a multiple of.
  const std::uintptr_t together =
      reinterpret_cast<std::uintptr_t>(x) | reinterpret_cast<std::uintptr_t>(out) |
      reinterpret_cast<std::uintptr_t>(cache.rows) | static_cast<std::uintptr_t>(row_bytes) |
      static_cast<std::uintptr_t>(row_stride_bytes);
  const auto gather = [&]<typename Unit>(Unit) {
    GatherUnits<Unit>(num_ids, row_bytes, row_stride_bytes, x, ids, cache, out, work);
  };
  if (together % 16 == 0) return gather(uint4());
  if (together % 8 == 0) return gather(std::uint64_t());
  if (together % 4 == 0) return gather(std::uint32_t());
  if (together % 2 == 0) return gather(std::uint16_t());
  gather(std::uint8_t());
}

template void GatherRows<std::int32_t>(std::int64_t, std::int64_t, std::int64_t, const void*,
                                       const std::int32_t*, const RowCache&, void*, Workspace&);
template void GatherRows<std::int64_t>(std::int64_t, std::int64_t, std::int64_t, const void*,
                                       const std::int64_t*, const RowCache&, void*, Workspace&);

}  // namespace hopflow::cuda
