#include <bit>
#include <cstdint>

#include "cuda/launch.cuh"
#include "cuda/vectors.cuh"
#include "gather_decoded/gather_decoded.h"

namespace hopflow::cuda {
namespace {

// Rows that a team has in flight at a time: enough loads to cover the memory's latency.
constexpr int kRowsInFlight = 4;

template <Code kCode>
struct StoredAs;
template <>
struct StoredAs<Code::kByColumn> {
  using type = std::int8_t;
};
template <>
struct StoredAs<Code::kByRow> {
  using type = std::uint8_t;
};
template <>
struct StoredAs<Code::kFloat32> {
  using type = float;
};
template <>
struct StoredAs<Code::kFloat16> {
  using type = Float16;
};
template <>
struct StoredAs<Code::kBFloat16> {
  using type = BFloat16;
};

// Of either width or none: a type for each would double the number of kernels.
struct RowIds {
  const std::int32_t* narrow;
  const std::int64_t* wide;
  __device__ std::int64_t At(std::int64_t i) const {
    if (narrow != nullptr) return narrow[i];
    return wide != nullptr ? wide[i] : i;
  }
};

// A float behind the integers of a row, which may lie anywhere if they are read one by one.
template <int kWidth>
__device__ inline float LoadFactor(const std::uint8_t* at) {
  if constexpr (kWidth > 1) {
    return *reinterpret_cast<const float*>(at);
  } else {
    std::uint32_t bits = 0;
    for (int byte = 0; byte < 4; ++byte) bits |= static_cast<std::uint32_t>(at[byte]) << 8 * byte;
    return std::bit_cast<float>(bits);
  }
}

__device__ inline float Number(std::int8_t q) { return static_cast<float>(q); }
__device__ inline float Number(std::uint8_t q) { return static_cast<float>(q); }
template <typename T>
__device__ inline float Number(T x) {
  return ToAccumulator(x);
}

// A row is `num_units` times kWidth numbers; a team of kLanes decodes kRowsInFlight rows side by
// side. Loads and stores of neighbouring lanes are neighbours in memory.
template <Code kCode, int kLanes, int kWidth, typename Out>
__global__ void __launch_bounds__(kBlock)
    GatherDecodedKernel(std::int64_t num_ids, std::int64_t num_units, std::int64_t stride_bytes,
                        Encoding encoding, const char* __restrict__ x, RowIds ids,
                        Vec<Out, kWidth>* __restrict__ out) {
  using Stored = Vec<typename StoredAs<kCode>::type, kWidth>;
  using Factors = Vec<float, kWidth>;
  const std::int64_t first = ThreadIndex() / kLanes * kRowsInFlight;
  const int lane = threadIdx.x % kLanes;
  if (first >= num_ids) return;
  const Stored* from[kRowsInFlight];
  float row_scale[kRowsInFlight], row_bias[kRowsInFlight];
  int num_rows = 0;
#pragma unroll
  for (int r = 0; r < kRowsInFlight; ++r) {
    const bool there = first + r < num_ids;
    num_rows += there;
    from[r] = reinterpret_cast<const Stored*>(x + ids.At(there ? first + r : first) * stride_bytes);
    if constexpr (kCode == Code::kByRow) {
      const auto* factors = reinterpret_cast<const std::uint8_t*>(from[r] + num_units);
      row_scale[r] = LoadFactor<kWidth>(factors);
      row_bias[r] = LoadFactor<kWidth>(factors + sizeof(float));
    }
  }
  for (std::int64_t unit = lane; unit < num_units; unit += kLanes) {
    Stored stored[kRowsInFlight];
#pragma unroll
    for (int r = 0; r < kRowsInFlight; ++r) stored[r] = from[r][unit];
    Factors scale{}, offset{};
    if constexpr (kCode == Code::kByColumn) {
      scale = reinterpret_cast<const Factors*>(encoding.scale)[unit];
      offset = reinterpret_cast<const Factors*>(encoding.offset)[unit];
    }
#pragma unroll
    for (int r = 0; r < kRowsInFlight; ++r) {
      Vec<Out, kWidth> value;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        float number = Number(stored[r].at[i]);
        if constexpr (kCode == Code::kByColumn) number = number * scale.at[i] + offset.at[i];
        if constexpr (kCode == Code::kByRow) number = number * row_scale[r] + row_bias[r];
        value.at[i] = FromAccumulator<Out>(number);
      }
      if (r < num_rows) out[(first + r) * num_units + unit] = value;
    }
  }
}

// What all launches of one call share.
struct Call {
  std::int64_t num_ids, width, stride_bytes;
  Encoding encoding;
  const void* x;
  RowIds ids;
  void* out;
};

template <Code kCode, int kLanes, int kWidth, typename Out>
void LaunchTeams(const Call& call, const Workspace& work) {
  const std::int64_t num_teams = (call.num_ids + kRowsInFlight - 1) / kRowsInFlight;
  Launch("gather_decoded", work, num_teams * kLanes,
         GatherDecodedKernel<kCode, kLanes, kWidth, Out>, call.num_ids, call.width / kWidth,
         call.stride_bytes, call.encoding, static_cast<const char*>(call.x), call.ids,
         static_cast<Vec<Out, kWidth>*>(call.out));
}

// Few sizes of teams, since there are many kinds of rows.
template <Code kCode, int kWidth, typename Out>
void LaunchUnits(const Call& call, const Workspace& work) {
  const std::int64_t num_units = call.width / kWidth;
  if (num_units <= 2) return LaunchTeams<kCode, 2, kWidth, Out>(call, work);
  if (num_units <= 8) return LaunchTeams<kCode, 8, kWidth, Out>(call, work);
  LaunchTeams<kCode, 32, kWidth, Out>(call, work);
}

template <Code kCode, typename Out>
void GatherAs(const Call& call, const Workspace& work) {
  constexpr int kFull = kFullWidth<Out>;
  using Stored = Vec<typename StoredAs<kCode>::type, kFull>;
  // All that is loaded or stored in one access must lie at a multiple of its size.
  const std::uintptr_t rows =
      reinterpret_cast<std::uintptr_t>(call.x) | static_cast<std::uintptr_t>(call.stride_bytes);
  const std::uintptr_t others = reinterpret_cast<std::uintptr_t>(call.out) |
                                reinterpret_cast<std::uintptr_t>(call.encoding.scale) |
                                reinterpret_cast<std::uintptr_t>(call.encoding.offset);
  const bool full = call.width % kFull == 0 && rows % sizeof(Stored) == 0 &&
                    others % sizeof(Vec<float, kFull>) == 0;
  if (full) return LaunchUnits<kCode, kFull, Out>(call, work);
  LaunchUnits<kCode, 1, Out>(call, work);
}

RowIds IdsOf(const std::int32_t* ids) { return {ids, nullptr}; }
RowIds IdsOf(const std::int64_t* ids) { return {nullptr, ids}; }

}  // namespace

template <typename Id>
void GatherDecoded(const GatherDecodedArgs<Id>& args, Workspace& work) {
  if (args.width == 0) return;
  const Call call{args.num_ids,    args.width, args.row_stride_bytes, args.encoding, args.x,
                  IdsOf(args.ids), args.out};
  DispatchOutput(args.out_type, [&]<typename Out>(Type<Out>) {
    switch (args.encoding.code) {
      case Code::kByColumn:
        return GatherAs<Code::kByColumn, Out>(call, work);
      case Code::kByRow:
        return GatherAs<Code::kByRow, Out>(call, work);
      case Code::kFloat32:
        return GatherAs<Code::kFloat32, Out>(call, work);
      case Code::kFloat16:
        return GatherAs<Code::kFloat16, Out>(call, work);
      case Code::kBFloat16:
        return GatherAs<Code::kBFloat16, Out>(call, work);
    }
  });
}

#define HOPFLOW_INSTANTIATE(Id) \
  template void GatherDecoded<Id>(const GatherDecodedArgs<Id>&, Workspace&);
HOPFLOW_FOR_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cuda
