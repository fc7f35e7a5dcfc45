// Layer-neighbour sampling (LABOR): seeds decide about their in-edges by one random number a source
// node, so that they tend to keep the same sources.
//
// Balin, Catalyurek, "Layer-Neighbor Sampling - Defusing Neighborhood Explosion in GNNs", NeurIPS
// 2023. A source t has a variate r_t uniform on [0, 1), the same for all seeds, and an importance
// pi_t. Seed s keeps its in-edge from t if r_t < c_s pi_t: with probability min(1, c_s pi_t). The
// scale c_s is the one at which
//
//   sum_t a_t^2 / min(1, c_s pi_t) = (sum_t a_t)^2 (1/k - 1/d) + sum_t a_t^2,
//
// over the seed's d edges of weights a_t, k being the fanout: the estimate of a sum over neighbours
// then has the variance that k draws without replacement would give it. Without weights and with
// pi = 1 it is c_s = k / d, so that k edges are expected. A seed of d <= k edges keeps them all.
//
// pi_t is the edge's own a_t at first. A step of importance sampling replaces it by
// max_s c_s pi_t over the seeds that t has edges to, which lowers the expected number of distinct
// sources. A seed of d <= k edges has the scale k / d there (of weights that sum to d), or what
// makes all its edges certain if that is more.
#pragma once

#include <cstdint>

#include "core/buffer_pool.h"
#include "core/device.h"
#include "core/dtype.h"
#include "labor/variates.h"

namespace hopflow {

template <typename Id, typename W>
struct LaborArgs {
  std::int64_t num_nodes;  // that edges lead to
  std::int64_t num_src;    // that they come from
  std::int64_t num_edges;
  const std::int64_t* indptr;  // [num_nodes + 1]
  const Id* indices;           // [num_edges]
  std::int64_t num_seeds;
  const std::int64_t* seeds;  // [num_seeds]
  const W* weights;           // [num_edges], positive; or null: all are 1
  std::int64_t num_excluded;
  const std::int64_t* excluded;  // [num_excluded]: positions of edges that are not there, rising
  std::int64_t fanout;           // k; -1 keeps all
  std::int64_t importance;       // steps of importance sampling; -1: until they lead nowhere
  // Whether edge weights are scaled so that those of a seed's edges sum to their number.
  bool normalize;
  Variates variates;
};

// Whether edges come with weights a / p, p being the probability with which they are kept.
template <typename Id, typename W>
bool GivesWeights(const LaborArgs<Id, W>& args) {
  return args.weights != nullptr || args.importance != 0;
}

namespace cpu {

struct LaborEdges {
  std::int64_t num_edges = 0;
  DType position_type = DType::kInt32;  // int64 where the graph has more edges than int32 numbers
  Buffer indptr;                        // int64 [num_seeds + 1]
  Buffer neighbors;                     // Id [num_edges]
  Buffer positions;                     // position_type [num_edges]
  Buffer weights;                       // W [num_edges], if GivesWeights
};

// Samples, a seed's edges in the graph's order; O(edges of the seeds). Checks the seeds and every
// row it reads; throws std::out_of_range for a seed outside the graph and std::invalid_argument for
// an indptr that is no CSC index there; sources are looked at by importance sampling alone. Same
// bits for any number of threads and every instruction set.
template <typename Id, typename W>
LaborEdges SampleLabor(const LaborArgs<Id, W>& args);

}  // namespace cpu

// The same on CUDA, with the same results; without steps of importance sampling.
namespace cuda {

// In memory that the workspace keeps.
struct LaborEdges {
  std::int64_t num_edges = 0;
  DType position_type = DType::kInt32;
  std::int64_t* indptr = nullptr;
  void* neighbors = nullptr;
  void* positions = nullptr;
  void* weights = nullptr;
};

// Waits for the number of edges. The graph's arrays may be page-locked host memory.
template <typename Id, typename W>
LaborEdges SampleLabor(const LaborArgs<Id, W>& args, Workspace& work);

}  // namespace cuda
}  // namespace hopflow
