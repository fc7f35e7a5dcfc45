// Sampled dense-dense product (SDDMM): one number for each edge and head.
//
//   out[eids[p], h] = sum over d of u[indices[p], h, d] * v[row, h, d]
//
// It is u_dot_v, and the gradient of a weighted SpMM with respect to its weights. Sums run over
// kDotLanes interleaved lanes.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/dtype.h"
#include "messages/messages.h"

namespace hopflow {

template <typename T, typename Id>
struct SddmmArgs {
  // sizes
  std::int64_t num_dst;
  std::int64_t num_heads;
  std::int64_t width;     // features a head
  std::int64_t u_stride;  // elements from one row of u to the next
  std::int64_t v_stride;
  // inputs
  const std::int64_t* indptr;  // [num_dst + 1]
  const Id* indices;           // [num_edges], source of each position
  const Id* eids;              // [num_edges], edge of each position; null: the position
  const T* u;                  // [num_src, num_heads, width]
  const T* v;                  // [num_dst, num_heads, width]
  // outputs
  T* out;  // [num_edges, num_heads]
};

namespace cpu {

template <typename T, typename Id>
void SddmmDot(const SddmmArgs<T, Id>& args);

}  // namespace cpu

// The same on CUDA, with the same bits.
namespace cuda {

template <typename T, typename Id>
void SddmmDot(const SddmmArgs<T, Id>& args, Workspace& work);

}  // namespace cuda
}  // namespace hopflow
