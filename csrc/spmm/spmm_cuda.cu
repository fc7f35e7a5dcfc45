#include "cuda/launch.cuh"
#include "cuda/vectors.cuh"
#include "spmm/spmm.h"

namespace hopflow::cuda {
namespace {

// Rows that a lane has in flight. Sums run in edge order, so only the loads are side by side.
constexpr int kInFlight = 4;

// How an edge scales the row it brings.
struct Unit {
  template <typename Acc>
  __device__ Acc operator()(std::int64_t, std::int64_t, std::int64_t, Acc value) const {
    return value;
  }
};
template <typename Acc, typename Id>
struct Scaled {
  const Acc* weight;     // null: 1
  const Id* weight_ids;  // null: the position
  const Acc* row_scale;  // null: 1
  std::int64_t num_heads;
  __device__ Acc operator()(std::int64_t position, std::int64_t row, std::int64_t head,
                            Acc value) const {
    if (weight == nullptr) return value * row_scale[row];
    const std::int64_t id =
        weight_ids != nullptr ? static_cast<std::int64_t>(weight_ids[position]) : position;
    Acc scale = weight[id * num_heads + head];
    if (row_scale != nullptr) scale *= row_scale[row];
    return value * scale;
  }
};

template <typename T, typename Id>
__device__ std::int64_t RowAt(const SpmmArgs<T, Id>& a, std::int64_t position) {
  return a.rows != nullptr ? static_cast<std::int64_t>(a.rows[position]) : position;
}

// Which destination and columns a thread works on: a team takes one destination and kWidth of its
// columns a lane. How many lanes a team has is no template parameter: each kernel would be compiled
// four times for the sake of one shift.
struct Part {
  std::int64_t v;
  std::int64_t column;
};
template <int kWidth>
__device__ Part PartOf(std::int64_t width, int lane_bits) {
  const std::int64_t columns = std::int64_t{kWidth} << lane_bits;
  const std::int64_t tiles = (width + columns - 1) / columns;
  const std::int64_t team = ThreadIndex() >> lane_bits;
  const unsigned lane = threadIdx.x & ((1u << lane_bits) - 1);
  return {team / tiles, team % tiles * columns + lane * kWidth};
}

template <int kWidth, typename T, typename Id, typename Scale>
__global__ void __launch_bounds__(kBlock)
    SumKernel(SpmmArgs<T, Id> a, int lane_bits, Scale scale, bool is_mean) {
  using Acc = Accumulator<T>;
  const std::int64_t width = a.num_heads * a.width;
  const Part part = PartOf<kWidth>(width, lane_bits);
  if (part.v >= a.num_dst || part.column >= width) return;
  const std::int64_t head = part.column / a.width;
  const T* const x = a.x + part.column;
  const std::int64_t begin = a.indptr[part.v], end = a.indptr[part.v + 1];
  Acc sum[kWidth] = {};
  const auto add = [&](std::int64_t p, std::int64_t row, const Vec<T, kWidth>& value) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sum[i] += scale(p, row, head, ToAccumulator(value.at[i]));
  };
  std::int64_t p = begin;
  for (; p + kInFlight <= end; p += kInFlight) {
    std::int64_t row[kInFlight];
    Vec<T, kWidth> value[kInFlight];
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) row[k] = RowAt(a, p + k);
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) {
      value[k] = *reinterpret_cast<const Vec<T, kWidth>*>(x + row[k] * a.x_stride);
    }
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) add(p + k, row[k], value[k]);
  }
  for (; p < end; ++p) {
    const std::int64_t row = RowAt(a, p);
    add(p, row, *reinterpret_cast<const Vec<T, kWidth>*>(x + row * a.x_stride));
  }
  const Acc divisor = is_mean && end > begin ? static_cast<Acc>(end - begin) : Acc(1);
  Vec<T, kWidth> result;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) result.at[i] = FromAccumulator<T>(sum[i] / divisor);
  *reinterpret_cast<Vec<T, kWidth>*>(a.out + part.v * width + part.column) = result;
}

// Whether the running best stands against x. A NaN, once met, stands.
template <typename Acc>
__device__ bool Stands(Acc best, Acc x, bool is_max) {
  return (is_max ? x <= best : x >= best) || best != best;
}

template <int kWidth, typename T, typename Id>
__global__ void __launch_bounds__(kBlock)
    ExtremeKernel(SpmmArgs<T, Id> a, int lane_bits, bool is_max) {
  using Acc = Accumulator<T>;
  const std::int64_t width = a.num_heads * a.width;
  const Part part = PartOf<kWidth>(width, lane_bits);
  if (part.v >= a.num_dst || part.column >= width) return;
  const T* const x = a.x + part.column;
  const std::int64_t begin = a.indptr[part.v], end = a.indptr[part.v + 1];
  Acc best[kWidth] = {};
  std::int32_t winner[kWidth];
#pragma unroll
  for (int i = 0; i < kWidth; ++i) winner[i] = end > begin ? 0 : -1;
  for (std::int64_t first = begin; first < end; first += kInFlight) {
    Vec<T, kWidth> value[kInFlight];
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) {
      const std::int64_t p = first + k < end ? first + k : end - 1;
      value[k] = *reinterpret_cast<const Vec<T, kWidth>*>(x + RowAt(a, p) * a.x_stride);
    }
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) {
      const std::int64_t p = first + k;
      if (p >= end) break;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const Acc here = ToAccumulator(value[k].at[i]);
        if (p > begin && Stands(best[i], here, is_max)) continue;
        best[i] = here;
        winner[i] = static_cast<std::int32_t>(p - begin);
      }
    }
  }
  const std::int64_t to = part.v * width + part.column;
  Vec<T, kWidth> result;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) result.at[i] = FromAccumulator<T>(best[i]);
  *reinterpret_cast<Vec<T, kWidth>*>(a.out + to) = result;
  if (a.arg == nullptr) return;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) a.arg[to + i] = winner[i];
}

// Teams that leave few lanes idle: of 4, 8, 16 or 32.
int LaneBits(std::int64_t wanted) {
  int bits = 2;
  while (bits < 5 && wanted > 1 << bits) ++bits;
  return bits;
}

template <int kWidth, typename T, typename Id>
void RunSpmm(const SpmmArgs<T, Id>& a, Reduce reduce, const Workspace& work) {
  using Acc = Accumulator<T>;
  const std::int64_t width = a.num_heads * a.width;
  const int lane_bits = LaneBits((width + kWidth - 1) / kWidth);
  const std::int64_t columns = std::int64_t{kWidth} << lane_bits;
  const std::int64_t tiles = (width + columns - 1) / columns;
  const std::int64_t num_threads = (a.num_dst * tiles) << lane_bits;
  if (reduce == Reduce::kMax || reduce == Reduce::kMin) {
    Launch("spmm max/min", work, num_threads, ExtremeKernel<kWidth, T, Id>, a, lane_bits,
           reduce == Reduce::kMax);
  } else if (a.weight != nullptr || a.row_scale != nullptr) {
    const Scaled<Acc, Id> scale{a.weight, a.weight_ids, a.row_scale, a.num_heads};
    Launch("weighted spmm", work, num_threads, SumKernel<kWidth, T, Id, Scaled<Acc, Id>>, a,
           lane_bits, scale, reduce == Reduce::kMean);
  } else {
    Launch("spmm", work, num_threads, SumKernel<kWidth, T, Id, Unit>, a, lane_bits, Unit(),
           reduce == Reduce::kMean);
  }
}

template <typename T, typename Id>
__global__ void __launch_bounds__(kBlock) ArgBackwardKernel(SpmmArgBackwardArgs<T, Id> a) {
  const std::int64_t at = ThreadIndex();
  if (at >= a.num_src * a.width) return;
  const std::int64_t u = at / a.width, column = at % a.width;
  Accumulator<T> sum = 0;
  for (std::int64_t p = a.t_indptr[u]; p < a.t_indptr[u + 1]; ++p) {
    const std::int64_t v = a.t_rows[p];
    const auto edge = static_cast<std::int32_t>(a.t_positions[p] - a.indptr[v]);
    const std::int64_t from = v * a.width + column;
    sum += a.arg[from] == edge ? ToAccumulator(a.grad[from]) : Accumulator<T>(0);
  }
  a.out[at] = FromAccumulator<T>(sum);
}

// A warp takes one destination and walks over its edges' elements.
template <typename T, typename Id>
__global__ void __launch_bounds__(kBlock)
    EdgeBackwardKernel(SpmmEdgeBackwardArgs<T, Id> a, Reduce reduce) {
  using Acc = Accumulator<T>;
  const std::int64_t v = ThreadIndex() / kWarp;
  if (v >= a.num_dst) return;
  const std::int64_t begin = a.indptr[v], degree = a.indptr[v + 1] - begin;
  for (std::int64_t i = threadIdx.x % kWarp; i < degree * a.width; i += kWarp) {
    const std::int64_t edge = i / a.width, column = i % a.width;
    const std::int64_t id =
        a.eids != nullptr ? static_cast<std::int64_t>(a.eids[begin + edge]) : begin + edge;
    const std::int64_t from = v * a.width + column;
    Acc grad = ToAccumulator(a.grad[from]);
    if (reduce == Reduce::kMean) grad = grad / static_cast<Acc>(degree);
    if (reduce != Reduce::kSum && reduce != Reduce::kMean && a.arg[from] != edge) grad = 0;
    a.out[id * a.width + column] = FromAccumulator<T>(grad);
  }
}

template <typename Acc>
__global__ void __launch_bounds__(kBlock)
    InverseDegreesKernel(std::int64_t num_dst, const std::int64_t* indptr, Acc* out) {
  const std::int64_t v = ThreadIndex();
  if (v >= num_dst) return;
  const std::int64_t degree = indptr[v + 1] - indptr[v];
  out[v] = Acc(1) / static_cast<Acc>(degree > 0 ? degree : 1);
}

}  // namespace

template <typename T, typename Id>
void Spmm(const SpmmArgs<T, Id>& args, Reduce reduce, Workspace& work) {
  const std::int64_t width = args.num_heads * args.width;
  if (width == 0) return;
  constexpr int kFull = kFullWidth<T>;
  // A thread's columns must lie in one head; a whole row may be one head where nothing asks for it.
  const std::int64_t head_width = args.weight != nullptr ? args.width : width;
  SpmmArgs<T, Id> flat = args;
  if (args.weight == nullptr) {
    flat.num_heads = 1;
    flat.width = width;
  }
  if (IsFullWidth(args.x, head_width, args.x_stride) && IsFullWidth(args.out, width, width)) {
    RunSpmm<kFull>(flat, reduce, work);
  } else {
    RunSpmm<1>(flat, reduce, work);
  }
}

template <typename Acc>
void InverseDegrees(std::int64_t num_dst, const std::int64_t* indptr, Acc* out, Workspace& work) {
  Launch("inverse_degrees", work, num_dst, InverseDegreesKernel<Acc>, num_dst, indptr, out);
}
template void InverseDegrees<float>(std::int64_t, const std::int64_t*, float*, Workspace&);
template void InverseDegrees<double>(std::int64_t, const std::int64_t*, double*, Workspace&);

template <typename T, typename Id>
void SpmmArgBackward(const SpmmArgBackwardArgs<T, Id>& args, Workspace& work) {
  Launch("spmm_arg_backward", work, args.num_src * args.width, ArgBackwardKernel<T, Id>, args);
}

template <typename T, typename Id>
void SpmmEdgeBackward(const SpmmEdgeBackwardArgs<T, Id>& args, Reduce reduce, Workspace& work) {
  if (args.width == 0) return;
  Launch("spmm_edge_backward", work, args.num_dst * kWarp, EdgeBackwardKernel<T, Id>, args, reduce);
}

#define HOPFLOW_INSTANTIATE(T, Id)                                                     \
  template void Spmm<T, Id>(const SpmmArgs<T, Id>&, Reduce, Workspace&);               \
  template void SpmmArgBackward<T, Id>(const SpmmArgBackwardArgs<T, Id>&, Workspace&); \
  template void SpmmEdgeBackward<T, Id>(const SpmmEdgeBackwardArgs<T, Id>&, Reduce, Workspace&);
HOPFLOW_FOR_FLOAT_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cuda
