#include "cuda/launch.cuh"
#include "cuda/vectors.cuh"
#include "sddmm/sddmm.h"

namespace hopflow::cuda {
namespace {

// A team of kDotLanes / kWidth lanes makes one dot product; each lane keeps kWidth of the sums.
template <int kWidth, typename T>
__device__ Accumulator<T> TeamDot(const T* u, const T* v, std::int64_t n, int lane,
                                  unsigned team_mask) {
  using Acc = Accumulator<T>;
  constexpr int kLanes = static_cast<int>(kDotLanes) / kWidth;
  Acc sum[kWidth] = {};
  for (std::int64_t d = lane * kWidth; d < n; d += kDotLanes) {
    if constexpr (kWidth > 1) {
      const auto a = *reinterpret_cast<const Vec<T, kWidth>*>(u + d);
      const auto b = *reinterpret_cast<const Vec<T, kWidth>*>(v + d);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) sum[i] += ToAccumulator(a.at[i]) * ToAccumulator(b.at[i]);
    } else {
      sum[0] += ToAccumulator(u[d]) * ToAccumulator(v[d]);
    }
  }
  // Sums i and i + half: in two lanes as long as half is at least a lane's share, then in one.
#pragma unroll
  for (int half = kLanes / 2; half > 0; half /= 2) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sum[i] += __shfl_down_sync(team_mask, sum[i], half, kLanes);
  }
#pragma unroll
  for (int half = kWidth / 2; half > 0; half /= 2) {
#pragma unroll
    for (int i = 0; i < half; ++i) sum[i] += sum[i + half];
  }
  return sum[0];
}

// A warp takes one destination; its teams take its (edge, head) pairs in turn.
template <int kWidth, typename T, typename Id>
__global__ void __launch_bounds__(kBlock) SddmmDotKernel(SddmmArgs<T, Id> a) {
  constexpr int kLanes = static_cast<int>(kDotLanes) / kWidth;
  constexpr int kTeams = kWarp / kLanes;
  const std::int64_t row = ThreadIndex() / kWarp;
  if (row >= a.num_dst) return;
  const int team = threadIdx.x % kWarp / kLanes, lane = threadIdx.x % kLanes;
  const unsigned mask = TeamMask<kLanes>();
  const std::int64_t begin = a.indptr[row];
  const std::int64_t num_products = (a.indptr[row + 1] - begin) * a.num_heads;
  for (std::int64_t i = team; i < num_products; i += kTeams) {
    const std::int64_t p = begin + i / a.num_heads, head = i % a.num_heads;
    const T* u = a.u + static_cast<std::int64_t>(a.indices[p]) * a.u_stride + head * a.width;
    const T* v = a.v + row * a.v_stride + head * a.width;
    const Accumulator<T> dot = TeamDot<kWidth>(u, v, a.width, lane, mask);
    if (lane != 0) continue;
    const std::int64_t id = a.eids != nullptr ? static_cast<std::int64_t>(a.eids[p]) : p;
    a.out[id * a.num_heads + head] = FromAccumulator<T>(dot);
  }
}

}  // namespace

template <typename T, typename Id>
void SddmmDot(const SddmmArgs<T, Id>& args, Workspace& work) {
  const std::int64_t num_threads = args.num_dst * kWarp;
  if (IsFullWidth(args.u, args.width, args.u_stride) &&
      IsFullWidth(args.v, args.width, args.v_stride)) {
    Launch("sddmm", work, num_threads, SddmmDotKernel<kFullWidth<T>, T, Id>, args);
  } else {
    Launch("sddmm", work, num_threads, SddmmDotKernel<1, T, Id>, args);
  }
}

#define HOPFLOW_INSTANTIATE(T, Id) \
  template void SddmmDot<T, Id>(const SddmmArgs<T, Id>&, Workspace&);
HOPFLOW_FOR_FLOAT_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cuda
