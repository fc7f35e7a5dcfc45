// Element types and the step from a run-time dtype to a compile-time one:
//
//   DispatchFloat(x.dtype, "x", [&]<typename T>(Type<T>) { Kernel<T>(x.as<T>()); });
#pragma once

#include <bit>
#include <cstdint>
#include <utility>

#include "core/check.h"
#include "core/host_device.h"
#include "core/tensor_view.h"

// Lists of types for explicit instantiation: M(Id), M(Id, Id), M(Id, Id, Id) and M(T, Id) for all.
#define HOPFLOW_FOR_ID(M) \
  M(std::int32_t)         \
  M(std::int64_t)
#define HOPFLOW_FOR_IDS2(M)     \
  M(std::int32_t, std::int32_t) \
  M(std::int32_t, std::int64_t) \
  M(std::int64_t, std::int32_t) \
  M(std::int64_t, std::int64_t)
#define HOPFLOW_FOR_IDS3(M)                   \
  M(std::int32_t, std::int32_t, std::int32_t) \
  M(std::int32_t, std::int32_t, std::int64_t) \
  M(std::int32_t, std::int64_t, std::int32_t) \
  M(std::int32_t, std::int64_t, std::int64_t) \
  M(std::int64_t, std::int32_t, std::int32_t) \
  M(std::int64_t, std::int32_t, std::int64_t) \
  M(std::int64_t, std::int64_t, std::int32_t) \
  M(std::int64_t, std::int64_t, std::int64_t)
#define HOPFLOW_FOR_FLOAT_ID(M) \
  M(float, std::int32_t)        \
  M(float, std::int64_t)        \
  M(double, std::int32_t)       \
  M(double, std::int64_t)       \
  M(Float16, std::int32_t)      \
  M(Float16, std::int64_t)      \
  M(BFloat16, std::int32_t)     \
  M(BFloat16, std::int64_t)

namespace hopflow {

template <typename T>
struct Type {
  using type = T;
};

// Storage only: arithmetic happens in Accumulator<T>.
struct BFloat16 {
  std::uint16_t bits;
};
struct Float16 {
  std::uint16_t bits;
};

template <typename T>
struct AccumulatorOf {
  using type = float;
};
template <>
struct AccumulatorOf<double> {
  using type = double;
};
// Sums of T are kept in this type: float32 for all but float64.
template <typename T>
using Accumulator = typename AccumulatorOf<T>::type;

HOPFLOW_HOST_DEVICE inline float Widen(float x) { return x; }
HOPFLOW_HOST_DEVICE inline double Widen(double x) { return x; }
HOPFLOW_HOST_DEVICE inline float Widen(BFloat16 x) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16);
}
HOPFLOW_HOST_DEVICE inline float Widen(Float16 x) {
  // Shift exponent and mantissa into float32's places, then rescale: exact for normal numbers,
  // subnormals and zero; infinity and NaN (all exponent bits set) are mended afterwards.
  const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000u) << 16;
  const std::uint32_t magnitude = static_cast<std::uint32_t>(x.bits & 0x7fffu) << 13;
  float value = std::bit_cast<float>(magnitude) * std::bit_cast<float>(0x77800000u);  // 2^112
  std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((x.bits & 0x7c00u) == 0x7c00u) bits = magnitude | 0x7f800000u;
  return std::bit_cast<float>(bits | sign);
}

// Round to nearest even, as torch does.
template <typename T>
HOPFLOW_HOST_DEVICE T Narrow(Accumulator<T> x);
template <>
HOPFLOW_HOST_DEVICE inline float Narrow<float>(float x) {
  return x;
}
template <>
HOPFLOW_HOST_DEVICE inline double Narrow<double>(double x) {
  return x;
}
template <>
HOPFLOW_HOST_DEVICE inline BFloat16 Narrow<BFloat16>(float x) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fc0};  // NaN stays NaN
  bits += 0x7fffu + ((bits >> 16) & 1u);
  return {static_cast<std::uint16_t>(bits >> 16)};
}
template <>
HOPFLOW_HOST_DEVICE inline Float16 Narrow<Float16>(float x) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const std::uint16_t sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return {static_cast<std::uint16_t>(sign | 0x7e00u)};   // NaN
  if (bits >= 0x47800000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};  // >= 2^16
  if (bits < 0x38800000u) {
    // Subnormal: adding 0.5 lines the wanted bits up with float32's lowest ones and rounds them.
    const float shifted = std::bit_cast<float>(bits) + 0.5f;
    return {
        static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u))};
  }
  bits += 0xc8000fffu + ((bits >> 13) & 1u);  // rebias the exponent, round to nearest even
  return {static_cast<std::uint16_t>(sign | (bits >> 13))};
}

template <typename F>
decltype(auto) DispatchFloat(DType dtype, const char* operand, F&& f) {
  switch (dtype) {
    case DType::kFloat32:
      return f(Type<float>{});
    case DType::kFloat64:
      return f(Type<double>{});
    case DType::kFloat16:
      return f(Type<Float16>{});
    case DType::kBFloat16:
      return f(Type<BFloat16>{});
    default:
      throw TypeError(
          StrCat(operand, ": expected float32, float64, float16 or bfloat16, got ", Name(dtype)));
  }
}

template <typename F>
decltype(auto) DispatchIndex(DType dtype, const char* operand, F&& f) {
  switch (dtype) {
    case DType::kInt32:
      return f(Type<std::int32_t>{});
    case DType::kInt64:
      return f(Type<std::int64_t>{});
    default:
      throw TypeError(StrCat(operand, ": expected int32 or int64 ids, got ", Name(dtype)));
  }
}

}  // namespace hopflow
