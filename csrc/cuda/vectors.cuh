// Several elements of a row in registers, loaded and stored at once, and their accumulators.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace hopflow::cuda {

// Widen and Narrow of dtype.h with the conversions that the device has.
template <typename T>
__device__ inline Accumulator<T> ToAccumulator(T x) {
  return Widen(x);
}
template <typename T>
__device__ inline T FromAccumulator(Accumulator<T> x) {
  return Narrow<T>(x);
}
#ifdef __CUDA_ARCH__
template <>
__device__ inline float ToAccumulator<Float16>(Float16 x) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(x.bits));
  return value;
}
template <>
__device__ inline Float16 FromAccumulator<Float16>(float x) {
  Float16 value;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(value.bits) : "f"(x));
  return value;
}
#if __CUDA_ARCH__ >= 800
template <>
__device__ inline BFloat16 FromAccumulator<BFloat16>(float x) {
  BFloat16 value;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(value.bits) : "f"(x));
  return value;
}
#endif
#endif

// kWidth elements that are loaded and stored in one access.
template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth) Vec {
  T at[kWidth];
};

// Elements of T in one access of 16 bytes, the widest there is.
template <typename T>
constexpr int kFullWidth = 16 / sizeof(T);

// Whether rows of `width` elements at x, `stride` apart, can be read kFullWidth elements at a time.
template <typename T>
bool IsFullWidth(const T* x, std::int64_t width, std::int64_t stride) {
  return reinterpret_cast<std::uintptr_t>(x) % 16 == 0 && width % kFullWidth<T> == 0 &&
         stride % kFullWidth<T> == 0;
}

}  // namespace hopflow::cuda
