#include "cuda/launch.cuh"
#include "cuda/vectors.cuh"
#include "gatv2_scores/gatv2_scores.h"

namespace hopflow::cuda {
namespace {

template <typename T, typename Id>
__device__ std::int64_t EdgeAt(const Gatv2Args<T, Id>& a, std::int64_t position) {
  return a.eids != nullptr ? static_cast<std::int64_t>(a.eids[position]) : position;
}

// A warp takes one destination; its teams of kDotLanes take its (edge, head) pairs in turn. Lane i
// sums elements i, i + 16, ...: as on the CPU.
template <typename T, typename Id>
__global__ void __launch_bounds__(kBlock) Gatv2ScoresKernel(Gatv2Args<T, Id> a) {
  using Acc = Accumulator<T>;
  constexpr int kLanes = static_cast<int>(kDotLanes), kTeams = kWarp / kLanes;
  const std::int64_t row = ThreadIndex() / kWarp;
  if (row >= a.num_dst) return;
  const int team = threadIdx.x % kWarp / kLanes, lane = threadIdx.x % kLanes;
  const unsigned mask = TeamMask<kLanes>();
  const std::int64_t begin = a.indptr[row];
  const std::int64_t num_scores = (a.indptr[row + 1] - begin) * a.num_heads;
  for (std::int64_t i = team; i < num_scores; i += kTeams) {
    const std::int64_t p = begin + i / a.num_heads, at = i % a.num_heads * a.width;
    const T* u = a.u + static_cast<std::int64_t>(a.indices[p]) * a.u_stride + at;
    const T* v = a.v + row * a.v_stride + at;
    Acc sum = 0;
    for (std::int64_t d = lane; d < a.width; d += kLanes) {
      const Acc s = ToAccumulator(u[d]) + ToAccumulator(v[d]);
      sum += ToAccumulator(a.attn[at + d]) * (s > 0 ? s : a.slope * s);
    }
#pragma unroll
    for (int half = kLanes / 2; half > 0; half /= 2) {
      sum += __shfl_down_sync(mask, sum, half, kLanes);
    }
    if (lane == 0) a.out[EdgeAt(a, p) * a.num_heads + i % a.num_heads] = FromAccumulator<T>(sum);
  }
}

// A thread takes one feature of one row.
template <typename T, typename Id>
__global__ void __launch_bounds__(kBlock) Gatv2ScoresBackwardKernel(Gatv2Args<T, Id> a) {
  using Acc = Accumulator<T>;
  const std::int64_t width = a.num_heads * a.width, at = ThreadIndex();
  if (at >= a.num_dst * width) return;
  const std::int64_t row = at / width, d = at % width, h = d / a.width;
  const Acc v = ToAccumulator(a.v[row * a.v_stride + d]), attn = ToAccumulator(a.attn[d]);
  Acc sum = 0, attn_sum = 0;
  for (std::int64_t p = a.indptr[row]; p < a.indptr[row + 1]; ++p) {
    const Acc u = ToAccumulator(a.u[static_cast<std::int64_t>(a.indices[p]) * a.u_stride + d]);
    const Acc grad = ToAccumulator(a.grad[EdgeAt(a, p) * a.num_heads + h]);
    const Acc s = u + v, weight = grad * attn;
    sum += s > 0 ? weight : a.slope * weight;
    attn_sum += grad * (s > 0 ? s : a.slope * s);
  }
  a.out[at] = FromAccumulator<T>(sum);
  if (a.out_attn != nullptr) a.out_attn[at] = attn_sum;
}

}  // namespace

template <typename T, typename Id>
void Gatv2Scores(const Gatv2Args<T, Id>& args, Workspace& work) {
  Launch("gatv2_scores", work, args.num_dst * kWarp, Gatv2ScoresKernel<T, Id>, args);
}

template <typename T, typename Id>
void Gatv2ScoresBackward(const Gatv2Args<T, Id>& args, Workspace& work) {
  Launch("gatv2_scores_backward", work, args.num_dst * args.num_heads * args.width,
         Gatv2ScoresBackwardKernel<T, Id>, args);
}

#define HOPFLOW_INSTANTIATE(T, Id)                                       \
  template void Gatv2Scores<T, Id>(const Gatv2Args<T, Id>&, Workspace&); \
  template void Gatv2ScoresBackward<T, Id>(const Gatv2Args<T, Id>&, Workspace&);
HOPFLOW_FOR_FLOAT_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cuda
