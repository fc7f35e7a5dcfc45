// The attention scores of GATv2 (Brody, Alon, Yahav, ICLR 2022): for every edge and head
//
//   out[eids[p], h] = sum over d of attn[h, d] * leaky(u[indices[p], h, d] + v[row, h, d])
//
// with leaky(s) = s > 0 ? s : slope * s. The sums over edges that its gradients are come row by
// row, so that nothing of the size edges x heads x width is ever written.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/dtype.h"
#include "messages/messages.h"

namespace hopflow {

template <typename T, typename Id>
struct Gatv2Args {
  // sizes
  std::int64_t num_dst;
  std::int64_t num_heads;
  std::int64_t width;  // features a head
  std::int64_t u_stride;
  std::int64_t v_stride;
  Accumulator<T> slope;
  // inputs
  const std::int64_t* indptr;  // [num_dst + 1]
  const Id* indices;           // [num_edges], source of each position
  const Id* eids;              // [num_edges], edge of each position; null: the position
  const T* u;                  // [num_src, num_heads, width]
  const T* v;                  // [num_dst, num_heads, width]
  const T* attn;               // [num_heads, width]
  const T* grad;               // backward: of out, [num_edges, num_heads]; else null
  // outputs
  T* out;                    // forward: [num_edges, num_heads]; backward: the gradient of v
  Accumulator<T>* out_attn;  // backward: each row's share of the gradient of attn,
                             // [num_dst, num_heads, width]; null: not wanted
};

namespace cpu {

template <typename T, typename Id>
void Gatv2Scores(const Gatv2Args<T, Id>& args);

// The gradient of v; that of u is the same on the transpose.
template <typename T, typename Id>
void Gatv2ScoresBackward(const Gatv2Args<T, Id>& args);

}  // namespace cpu

// The same on CUDA, with the same bits.
namespace cuda {

template <typename T, typename Id>
void Gatv2Scores(const Gatv2Args<T, Id>& args, Workspace& work);

template <typename T, typename Id>
void Gatv2ScoresBackward(const Gatv2Args<T, Id>& args, Workspace& work);

}  // namespace cuda
}  // namespace hopflow
