// One element of one edge's message on the device.
#pragma once

#include "cuda/launch.cuh"
#include "cuda/vectors.cuh"
#include "messages/messages.h"

namespace hopflow::cuda {

// A dot product by one thread, its elements in kDotLanes interleaved sums as on the CPU.
template <typename T>
__device__ Accumulator<T> ThreadDot(const T* a, const T* b, std::int64_t n) {
  Accumulator<T> sum[kDotLanes] = {};
  std::int64_t d = 0;
  for (; d + kDotLanes <= n; d += kDotLanes) {
#pragma unroll
    for (int i = 0; i < kDotLanes; ++i) sum[i] += ToAccumulator(a[d + i]) * ToAccumulator(b[d + i]);
  }
#pragma unroll
  for (int i = 0; i < kDotLanes; ++i) {
    if (d + i < n) sum[i] += ToAccumulator(a[d + i]) * ToAccumulator(b[d + i]);
  }
#pragma unroll
  for (int half = kDotLanes / 2; half > 0; half /= 2) {
#pragma unroll
    for (int i = 0; i < half; ++i) sum[i] += sum[i + half];
  }
  return sum[0];
}

// Element k of the message of the edge at `position`, whose destination is `v`.
template <typename T, typename Id>
__device__ Accumulator<T> MessageAt(const Messages<T, Id>& m, std::int64_t position, std::int64_t v,
                                    std::int64_t k) {
  const std::int64_t outer = m.op == MessageOp::kDot ? k : k / m.inner;
  const T* lhs = m.RowOf(m.lhs, position, v) + outer * m.lhs.outer_stride;
  const T* rhs = m.RowOf(m.rhs, position, v) + outer * m.rhs.outer_stride;
  if (m.op == MessageOp::kDot) return ThreadDot(lhs, rhs, m.inner);
  const std::int64_t inner = k - outer * m.inner;
  const Accumulator<T> a = ToAccumulator(lhs[inner * m.lhs.inner_stride]);
  const Accumulator<T> b = ToAccumulator(rhs[inner * m.rhs.inner_stride]);
  switch (m.op) {
    case MessageOp::kAdd:
      return a + b;
    case MessageOp::kSub:
      return a - b;
    case MessageOp::kMul:
      return a * b;
    default:
      return a / b;
  }
}

}  // namespace hopflow::cuda
