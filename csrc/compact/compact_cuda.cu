#include "compact/compact.h"
#include "core/dtype.h"
#include "cuda/id_table.cuh"
#include "cuda/launch.cuh"

namespace hopflow::cuda {
namespace {

// counts: the sizes below, on the device.
enum Count { kNumSeeds, kNumNeighbors, kNone, kUniqueSeeds, kUnique, kFirstBad, kNumCounts };

// A negative id is left out, and the first one noted.
template <typename Id>
__global__ void __launch_bounds__(kBlock)
    MarkKernel(DeviceIdTable<Id> table, std::int64_t n, const Id* ids, std::int64_t first_place,
               std::uint32_t* slots, std::int64_t* counts) {
  const std::int64_t i = ThreadIndex();
  if (i >= n) return;
  slots[i] = 0;
  if (ids[i] < 0) {
    atomicMin(reinterpret_cast<unsigned long long*>(counts + kFirstBad),
              static_cast<unsigned long long>(first_place + i));
    return;
  }
  slots[i] = table.Mark(ids[i], static_cast<std::uint32_t>(i));
}

__global__ void SetCountsKernel(std::int64_t num_seeds, std::int64_t num_neighbors,
                                std::int64_t* counts) {
  if (ThreadIndex() != 0) return;
  for (int i = 0; i < kNumCounts; ++i) counts[i] = 0;
  counts[kNumSeeds] = num_seeds;
  counts[kNumNeighbors] = num_neighbors;
  counts[kFirstBad] = -1;  // as unsigned, the largest there is
}

}  // namespace

template <typename Id, typename Local>
CompactSizes CompactIds(std::int64_t num_seeds, std::int64_t num_neighbors, const Id* seeds,
                        const Id* neighbors, Id* unique_ids, Local* local_seeds,
                        Local* local_neighbors, Workspace& work) {
  const std::int64_t num_ids = num_seeds + num_neighbors;
  CheckValue(num_ids < DeviceIdTable<Id>::kPlace, "compact_ids: ", num_ids,
             " ids; on CUDA at most 2^31 - 1 at a time");
  const DeviceIdTable<Id> table = NewIdTable<Id>(num_ids, work);
  auto* const counts = work.Of<std::int64_t>(kNumCounts);
  auto* const slots = work.Of<std::uint32_t>(num_ids);
  Launch("compact_ids", work, 1, SetCountsKernel, num_seeds, num_neighbors, counts);
  Launch("compact_ids", work, num_seeds, MarkKernel<Id>, table, num_seeds, seeds, 0, slots, counts);
  NumberMarked(table, num_seeds, counts + kNumSeeds, slots, counts + kNone, unique_ids,
               counts + kUniqueSeeds, local_seeds, work);
  Launch("compact_ids", work, num_neighbors, MarkKernel<Id>, table, num_neighbors, neighbors,
         num_seeds, slots, counts);
  NumberMarked(table, num_neighbors, counts + kNumNeighbors, slots, counts + kUniqueSeeds,
               unique_ids, counts + kUnique, local_neighbors, work);
  std::int64_t host[kNumCounts];
  ReadBack(counts, kNumCounts, host, work);
  if (const std::int64_t bad = host[kFirstBad]; bad >= 0) {
    Id id;
    ReadBack(bad < num_seeds ? seeds + bad : neighbors + (bad - num_seeds), 1, &id, work);
    CheckIndex(false, "ids: expected ids >= 0, got ", id);
  }
  return {host[kUnique], host[kUniqueSeeds]};
}

#define HOPFLOW_INSTANTIATE(Id, Local)                                                          \
  template CompactSizes CompactIds<Id, Local>(std::int64_t, std::int64_t, const Id*, const Id*, \
                                              Id*, Local*, Local*, Workspace&);
HOPFLOW_FOR_IDS2(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cuda
