// Compressed in-edges (CSC) from edge lists, and the transpose, both by stable counting sort.
#pragma once

#include <cstdint>

#include "core/device.h"

namespace hopflow {
namespace cpu {

// True when dst never falls: the edge list is in CSC order already and needs no eids.
template <typename Id>
bool IsSorted(std::int64_t num_edges, const Id* dst);  // [num_edges]

// Groups edges by destination, in edge order within each. Ids are checked by the caller.
template <typename Id, typename OutId, typename EdgeId>
void CooToCsc(std::int64_t num_edges, std::int64_t num_dst,
              const Id* src,         // [num_edges]
              const Id* dst,         // [num_edges]
              std::int64_t* indptr,  // [num_dst + 1]
              OutId* indices,        // [num_edges], source of each edge
              EdgeId* eids);         // [num_edges], edge at each position; null: not wanted

// Groups the edges of a CSC by source, in position order within each.
template <typename Id, typename EdgeId>
void TransposeCsc(std::int64_t num_src, std::int64_t num_dst,
                  const std::int64_t* indptr,  // [num_dst + 1]
                  const Id* indices,           // [num_edges]
                  std::int64_t* out_indptr,    // [num_src + 1]
                  Id* out_indices,             // [num_edges], destination of each edge
                  EdgeId* out_positions);      // [num_edges], its position in the CSC

}  // namespace cpu

// The same on CUDA, by stable radix sort.
namespace cuda {

// Waits for the answer.
template <typename Id>
bool IsSorted(std::int64_t num_edges,
              const Id* dst,  // [num_edges]
              Workspace& work);

template <typename Id, typename OutId, typename EdgeId>
void CooToCsc(std::int64_t num_edges, std::int64_t num_dst,
              const Id* src,         // [num_edges]
              const Id* dst,         // [num_edges]
              std::int64_t* indptr,  // [num_dst + 1]
              OutId* indices,        // [num_edges]
              EdgeId* eids,          // [num_edges]; null: not wanted
              Workspace& work);

template <typename Id, typename EdgeId>
void TransposeCsc(std::int64_t num_src, std::int64_t num_dst, std::int64_t num_edges,
                  const std::int64_t* indptr,  // [num_dst + 1]
                  const Id* indices,           // [num_edges]
                  std::int64_t* out_indptr,    // [num_src + 1]
                  Id* out_indices,             // [num_edges]
                  EdgeId* out_positions,       // [num_edges]
                  Workspace& work);

}  // namespace cuda
}  // namespace hopflow
