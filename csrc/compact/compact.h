// Id compaction: the distinct ids of a batch, numbered in order of first appearance.
#pragma once

#include <cstdint>

#include "core/device.h"

namespace hopflow {

struct CompactSizes {
  std::int64_t num_unique;        // distinct ids in all
  std::int64_t num_unique_seeds;  // distinct ids among the seeds: the first of them
};

namespace cpu {

// Numbers the seeds first, then what is new among the neighbours, and translates both. O(ids) time
// and memory whatever the number of nodes. Throws std::out_of_range for a negative id.
template <typename Id, typename Local>
CompactSizes CompactIds(std::int64_t num_seeds, std::int64_t num_neighbors,
                        const Id* seeds,          // [num_seeds], may repeat
                        const Id* neighbors,      // [num_neighbors], may repeat
                        Id* unique_ids,           // [num_seeds + num_neighbors], num_unique used
                        Local* local_seeds,       // [num_seeds]
                        Local* local_neighbors);  // [num_neighbors]

}  // namespace cpu

// The same on CUDA, with the same numbers; waits for the sizes.
namespace cuda {

template <typename Id, typename Local>
CompactSizes CompactIds(std::int64_t num_seeds, std::int64_t num_neighbors,
                        const Id* seeds,         // [num_seeds]
                        const Id* neighbors,     // [num_neighbors]
                        Id* unique_ids,          // [num_seeds + num_neighbors], num_unique used
                        Local* local_seeds,      // [num_seeds]
                        Local* local_neighbors,  // [num_neighbors]
                        Workspace& work);

}  // namespace cuda
}  // namespace hopflow
