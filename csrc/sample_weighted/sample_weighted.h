// Sampling of edges that are not all alike: drawn by weight, or beside edges that are excluded.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "sample/sample.h"

namespace hopflow {

// What seeds draw from: the positions of the graph's in-edges, by weight where `sums` is given.
template <typename W>
struct WeightedArgs {
  std::int64_t num_seeds;
  const std::int64_t* indptr;    // [num_nodes + 1]
  const std::int64_t* seeds;     // [num_seeds]
  const std::int64_t* node_ids;  // [num_seeds], whose draws
  const double* sums;            // [num_edges], what SumRows gives; or null: all edges alike
  const W* weights;              // [num_edges], positive; or null
  std::int64_t num_excluded;
  const std::int64_t* excluded;  // [num_excluded]: positions, rising
  SampleOptions options;
};

namespace cpu {

// sums[p] = weights[first] + ... + weights[p], first being the first position of p's row; added
// from the left, in float64.
template <typename W>
void SumRows(std::int64_t num_rows,
             const std::int64_t* indptr,  // [num_rows + 1]
             const W* weights,            // [num_edges]
             double* sums);               // [num_edges]

// Sizes the result. Checks the seeds and every row it reads, as CountSampledNeighbors does.
void CountWeighted(std::int64_t num_nodes, std::int64_t num_edges,
                   const WeightedArgs<float>& args,  // without weights
                   std::int64_t* out_indptr,         // [num_seeds + 1]
                   std::int64_t* out_excluded);  // [num_seeds + 1]: excluded edges before each seed

// Picks the positions that CountWeighted sized. A seed with at most `fanout` edges that are not
// excluded keeps them in the graph's order; otherwise they come in the order of the draws.
template <typename W>
void SampleWeighted(const WeightedArgs<W>& args,
                    const std::int64_t* out_indptr,    // [num_seeds + 1]
                    const std::int64_t* out_excluded,  // [num_seeds + 1]
                    std::int64_t* out_positions);      // [out_indptr[num_seeds]]

}  // namespace cpu

// The same on CUDA, with the same results. CountWeighted returns out_indptr[num_seeds], for which
// it waits. The graph's arrays may be page-locked host memory.
namespace cuda {

template <typename W>
void SumRows(std::int64_t num_rows, const std::int64_t* indptr, const W* weights, double* sums,
             Workspace& work);

std::int64_t CountWeighted(std::int64_t num_nodes, std::int64_t num_edges,
                           const WeightedArgs<float>& args, std::int64_t* out_indptr,
                           std::int64_t* out_excluded, Workspace& work);

template <typename W>
void SampleWeighted(const WeightedArgs<W>& args, const std::int64_t* out_indptr,
                    const std::int64_t* out_excluded, std::int64_t total,
                    std::int64_t* out_positions, Workspace& work);

}  // namespace cuda
}  // namespace hopflow
