// Neighbour sampling: for every seed, which of its in-edges a hop keeps.
#pragma once

#include <cstdint>

#include "core/device.h"

namespace hopflow {

struct SampleOptions {
  std::int64_t fanout;  // in-edges kept a seed; -1 keeps all
  bool replace;         // draw with replacement
  std::uint64_t key;    // StreamKey of this hop
};

namespace cpu {

// Sizes the result. Checks the seeds and every row it reads; throws std::out_of_range for a seed
// outside the graph and std::invalid_argument for an indptr that is no CSC index there.
template <typename SeedId>
void CountSampledNeighbors(std::int64_t num_nodes, std::int64_t num_edges, std::int64_t num_seeds,
                           const std::int64_t* indptr,  // [num_nodes + 1]
                           const SeedId* seeds,         // [num_seeds]
                           const SampleOptions& options,
                           std::int64_t* out_indptr);  // [num_seeds + 1]

// Picks the edges that CountSampledNeighbors sized. A seed of degree <= fanout keeps its edges in
// the graph's order; otherwise edges come in the order of the draws. Touches O(sampled) memory.
template <typename Id, typename SeedId, typename EdgeId>
void SampleNeighbors(std::int64_t num_seeds,
                     const std::int64_t* indptr,      // [num_nodes + 1]
                     const Id* indices,               // [num_edges]
                     const EdgeId* eids,              // [num_edges], or null: edge e is at e
                     const SeedId* seeds,             // [num_seeds]
                     const SeedId* node_ids,          // [num_seeds], whose draws; null: the seeds'
                     const std::int64_t* out_indptr,  // [num_seeds + 1]
                     const SampleOptions& options,
                     Id* out_neighbors,  // [out_indptr[num_seeds]]
                     EdgeId* out_eids);  // [out_indptr[num_seeds]]

}  // namespace cpu

// The same on CUDA, with the same picks. The graph's arrays may be page-locked host memory.
namespace cuda {

// Returns out_indptr[num_seeds], for which it waits.
template <typename SeedId>
std::int64_t CountSampledNeighbors(std::int64_t num_nodes, std::int64_t num_edges,
                                   std::int64_t num_seeds,
                                   const std::int64_t* indptr,  // [num_nodes + 1]
                                   const SeedId* seeds,         // [num_seeds]
                                   const SampleOptions& options,
                                   std::int64_t* out_indptr,  // [num_seeds + 1]
                                   Workspace& work);

template <typename Id, typename SeedId, typename EdgeId>
void SampleNeighbors(std::int64_t num_seeds, std::int64_t num_edges,
                     const std::int64_t* indptr,      // [num_nodes + 1]
                     const Id* indices,               // [num_edges]
                     const EdgeId* eids,              // [num_edges], or null: edge e is at e
                     const SeedId* seeds,             // [num_seeds]
                     const SeedId* node_ids,          // [num_seeds], whose draws; null: the seeds'
                     const std::int64_t* out_indptr,  // [num_seeds + 1]
                     const SampleOptions& options,
                     Id* out_neighbors,  // [out_indptr[num_seeds]]
                     EdgeId* out_eids,   // [out_indptr[num_seeds]]
                     Workspace& work);

}  // namespace cuda
}  // namespace hopflow
