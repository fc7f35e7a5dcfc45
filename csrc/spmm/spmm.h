// Generalised SpMM: every destination reduces the feature rows that its in-edges bring.
//
//   out[v, h, d] = reduce over positions p in [indptr[v], indptr[v + 1]) of
//                  weight[weight_ids[p], h] * row_scale[rows[p]] * x[rows[p], h, d]
//
// copy_u is rows = indices; copy_e is rows = eids (or null: row p); the backward pass of both is
// the same kernel on the transpose. Sums are kept in float32 or wider and run in edge order, so the
// bits do not depend on the number of threads or on the vector width. A destination without
// in-edges gets 0 for every reduction.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/dtype.h"

namespace hopflow {

enum class Reduce { kSum, kMean, kMax, kMin };

template <typename T, typename Id>
struct SpmmArgs {
  // sizes
  std::int64_t num_dst;
  std::int64_t num_heads;
  std::int64_t width;     // features a head
  std::int64_t x_stride;  // elements from one row of x to the next
  // inputs
  const std::int64_t* indptr;       // [num_dst + 1]
  const Id* rows;                   // [num_edges], row of x of each position; null: the position
  const T* x;                       // [num_rows, num_heads, width]
  const Accumulator<T>* weight;     // [num_weights, num_heads]; null: 1. Sum and mean only
  const Id* weight_ids;             // [num_edges]; null: the position
  const Accumulator<T>* row_scale;  // [num_rows]; null: 1. Sum and mean only
  // outputs
  T* out;             // [num_dst, num_heads, width]
  std::int32_t* arg;  // max and min: which in-edge of v won, counted from indptr[v]; -1: no
                      // in-edge. [num_dst, num_heads, width]; null: not wanted
};

// The gradient of max and min with respect to x: out[u] sums grad[v] over the edges u -> v that
// won.
template <typename T, typename Id>
struct SpmmArgBackwardArgs {
  // sizes
  std::int64_t num_src;
  std::int64_t width;  // features a row, all heads
  // inputs: the transpose (TransposeCsc) of the forward's CSC
  const std::int64_t* t_indptr;  // [num_src + 1]
  const Id* t_rows;              // [num_edges], destination
  const Id* t_positions;         // [num_edges], position in the CSC
  const std::int64_t* indptr;    // [num_dst + 1]
  const T* grad;                 // [num_dst, width]
  const std::int32_t* arg;       // [num_dst, width]
  // outputs
  T* out;  // [num_src, width]
};

// The gradient of copy_e: every edge takes its destination's, whole (sum), divided by the degree
// (mean) or where it won (max, min).
template <typename T, typename Id>
struct SpmmEdgeBackwardArgs {
  // sizes
  std::int64_t num_dst;
  std::int64_t width;
  // inputs
  const std::int64_t* indptr;  // [num_dst + 1]
  const Id* eids;              // [num_edges]; null: the position
  const T* grad;               // [num_dst, width]
  const std::int32_t* arg;     // [num_dst, width]; max and min only
  // outputs
  T* out;  // [num_edges, width]
};

namespace cpu {

template <typename T, typename Id>
void Spmm(const SpmmArgs<T, Id>& args, Reduce reduce);

// out[v] = 1 / (indptr[v + 1] - indptr[v]), or 1 where that is 0: the mean's factor, for backward.
template <typename Acc>
void InverseDegrees(std::int64_t num_dst,
                    const std::int64_t* indptr,  // [num_dst + 1]
                    Acc* out);                   // [num_dst]

template <typename T, typename Id>
void SpmmArgBackward(const SpmmArgBackwardArgs<T, Id>& args);

template <typename T, typename Id>
void SpmmEdgeBackward(const SpmmEdgeBackwardArgs<T, Id>& args, Reduce reduce);

}  // namespace cpu

// The same on CUDA, with the same bits: sums run in edge order there too.
namespace cuda {

template <typename T, typename Id>
void Spmm(const SpmmArgs<T, Id>& args, Reduce reduce, Workspace& work);

template <typename Acc>
void InverseDegrees(std::int64_t num_dst,
                    const std::int64_t* indptr,  // [num_dst + 1]
                    Acc* out,                    // [num_dst]
                    Workspace& work);

template <typename T, typename Id>
void SpmmArgBackward(const SpmmArgBackwardArgs<T, Id>& args, Workspace& work);

template <typename T, typename Id>
void SpmmEdgeBackward(const SpmmEdgeBackwardArgs<T, Id>& args, Reduce reduce, Workspace& work);

}  // namespace cuda
}  // namespace hopflow
