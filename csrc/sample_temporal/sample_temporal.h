// Temporal sampling: which in-edges a hop keeps of every seed, of those not later than the seed.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "sample_weighted/sample_weighted.h"

namespace hopflow {

// An edge is eligible for seed i if its time is at most seed_times[i], or below it if `strict`. A
// row's edges come in rising order of their times, so the eligible ones are its first.
template <typename T>
struct TimedRows {
  std::int64_t num_nodes, num_edges, num_seeds;
  const std::int64_t* indptr;  // [num_nodes + 1]
  const T* times;              // [num_edges], rising within each row
  const std::int64_t* seeds;   // [num_seeds]
  const T* seed_times;         // [num_seeds]
  bool strict;
  std::int64_t num_excluded;
  const std::int64_t* excluded;  // [num_excluded]: positions, rising
};

// What is drawn of each seed's first edges.
template <typename W>
struct TemporalArgs {
  WeightedArgs<W> edges;
  const std::int64_t* eligible;  // [num_seeds]
  const std::int64_t* stamps;    // [num_seeds]: the bits of each seed's time, for its draws
  bool latest;                   // keep the last ones instead of drawing
};

namespace cpu {

// Sizes the result, and counts the eligible edges of each seed, O(log degree) each. Checks the
// seeds and the rows it reads, as CountSampledNeighbors does.
template <typename T>
void CountTemporal(const TimedRows<T>& rows, std::int64_t fanout, bool replace,
                   std::int64_t* out_indptr,     // [num_seeds + 1]
                   std::int64_t* out_excluded,   // [num_seeds + 1]: excluded before each seed
                   std::int64_t* out_eligible);  // [num_seeds], excluded ones included

// Picks the positions that CountTemporal sized. A seed that keeps all its eligible edges, or the
// latest, has them in the order of time, otherwise in that of the draws, which depend on the key,
// the node and its time.
template <typename W>
void SampleTemporal(const TemporalArgs<W>& args,
                    const std::int64_t* out_indptr,    // [num_seeds + 1]
                    const std::int64_t* out_excluded,  // [num_seeds + 1]
                    std::int64_t* out_positions);      // [out_indptr[num_seeds]]

}  // namespace cpu

// The same on CUDA, with the same results. CountTemporal returns out_indptr[num_seeds], for which
// it waits. The graph's arrays may be page-locked host memory.
namespace cuda {

template <typename T>
std::int64_t CountTemporal(const TimedRows<T>& rows, std::int64_t fanout, bool replace,
                           std::int64_t* out_indptr, std::int64_t* out_excluded,
                           std::int64_t* out_eligible, Workspace& work);

template <typename W>
void SampleTemporal(const TemporalArgs<W>& args, const std::int64_t* out_indptr,
                    const std::int64_t* out_excluded, std::int64_t total,
                    std::int64_t* out_positions, Workspace& work);

}  // namespace cuda
}  // namespace hopflow
