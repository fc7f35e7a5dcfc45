// Softmax over the in-edges of every destination, for each head by itself.
//
//   out[e, h] = exp(x[e, h] - m) / sum over the in-edges f of v of exp(x[f, h] - m)
//
// with m the largest x[f, h]: nothing overflows. Computed in float32 or wider.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/dtype.h"

namespace hopflow {

template <typename T, typename Id>
struct EdgeSoftmaxArgs {
  // sizes
  std::int64_t num_dst;
  std::int64_t width;  // heads
  // inputs
  const std::int64_t* indptr;  // [num_dst + 1]
  const Id* eids;              // [num_edges], edge of each position; null: the position
  const T* x;     // forward: scores; backward: the forward's output. [num_edges, width]
  const T* grad;  // backward: gradient of the output, [num_edges, width]; else null
  // outputs
  T* out;  // [num_edges, width]
};

namespace cpu {

template <typename T, typename Id>
void EdgeSoftmax(const EdgeSoftmaxArgs<T, Id>& args);

// out = x * (grad - sum over the in-edges of x * grad)
template <typename T, typename Id>
void EdgeSoftmaxBackward(const EdgeSoftmaxArgs<T, Id>& args);

}  // namespace cpu

// The same on CUDA, with the same bits (float64 to rounding).
namespace cuda {

template <typename T, typename Id>
void EdgeSoftmax(const EdgeSoftmaxArgs<T, Id>& args, Workspace& work);

template <typename T, typename Id>
void EdgeSoftmaxBackward(const EdgeSoftmaxArgs<T, Id>& args, Workspace& work);

}  // namespace cuda
}  // namespace hopflow
