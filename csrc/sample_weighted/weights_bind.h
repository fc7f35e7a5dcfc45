// The dtypes of weights.
#pragma once

#include "bindings/bind.h"

namespace hopflow {

template <typename F>
decltype(auto) DispatchWeight(DType dtype, F&& f) {
  if (dtype == DType::kFloat32) return f(Type<float>{});
  CheckType(dtype == DType::kFloat64, "weights: expected float32 or float64, got ", Name(dtype));
  return f(Type<double>{});
}

}  // namespace hopflow
