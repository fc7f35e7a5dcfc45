// The exponential function, from operations that every processor rounds alike: the same bits on the
// CPU, for every vector width, and on CUDA.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "core/host_device.h"

namespace hopflow {

// e^x within 2 ulp for x <= 0 (what a softmax asks for); 0 below e^-87. NaN stays NaN.
//
// x = n ln 2 + r with |r| <= ln 2 / 2; e^r is a polynomial (Cephes' expf) and 2^n an exponent
// field.
HOPFLOW_HOST_DEVICE inline float ExpOfNonPositive(float x) {
  constexpr float kLog2E = 1.44269504f;
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  constexpr float kRounds = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float shifted = x * kLog2E + kRounds;
  const float n = shifted - kRounds;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * r) * r + r + 1.0f;
  const std::uint32_t exponent = std::bit_cast<std::uint32_t>(shifted) << 23;
  const float result = std::bit_cast<float>(std::bit_cast<std::uint32_t>(p) + exponent);
  return x < -87.0f ? 0.0f : x == x ? result : x;
}
HOPFLOW_HOST_DEVICE inline double ExpOfNonPositive(double x) { return exp(x); }

}  // namespace hopflow
