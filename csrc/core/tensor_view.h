// A torch tensor as the kernels see it: a pointer, a shape and what the numbers are. Does not own.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "core/check.h"

namespace hopflow {

enum class DType : std::uint8_t {
  kFloat32,
  kFloat64,
  kFloat16,
  kBFloat16,
  kInt32,
  kInt64,
  kInt8,   // encoded features (gather_decoded)
  kUInt8,  // likewise
  kOther,  // known to torch, moved byte by byte only (gather)
};

enum class DeviceType : std::uint8_t { kCpu, kCuda, kOther };

inline const char* Name(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "float32";
    case DType::kFloat64:
      return "float64";
    case DType::kFloat16:
      return "float16";
    case DType::kBFloat16:
      return "bfloat16";
    case DType::kInt32:
      return "int32";
    case DType::kInt64:
      return "int64";
    case DType::kInt8:
      return "int8";
    case DType::kUInt8:
      return "uint8";
    case DType::kOther:
      break;
  }
  return "another dtype";
}

constexpr int kMaxDims = 8;

struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kOther;
  DeviceType device = DeviceType::kOther;
  int device_index = -1;  // of a CUDA tensor
  int ndim = 0;
  std::int64_t item_bytes = 0;
  std::array<std::int64_t, kMaxDims> shape{};
  std::array<std::int64_t, kMaxDims> stride{};  // in elements

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }

  std::int64_t size(int dim) const { return shape[dim]; }

  std::int64_t numel() const {
    std::int64_t n = 1;
    for (int d = 0; d < ndim; ++d) n *= shape[d];
    return n;
  }

  // Elements in one row: the product of every dimension but the first.
  std::int64_t row_numel() const {
    std::int64_t n = 1;
    for (int d = 1; d < ndim; ++d) n *= shape[d];
    return n;
  }

  // True when each row is contiguous; rows themselves may lie apart (a slice of columns).
  bool rows_contiguous() const {
    if (numel() == 0) return true;
    std::int64_t expected = 1;
    for (int d = ndim - 1; d >= 1; --d) {
      if (shape[d] != 1 && stride[d] != expected) return false;
      expected *= shape[d];
    }
    return true;
  }

  bool contiguous() const {
    if (numel() == 0) return true;
    return rows_contiguous() && (ndim == 0 || shape[0] <= 1 || stride[0] == row_numel());
  }

  std::string ShapeString() const {
    std::string text = "[";
    for (int d = 0; d < ndim; ++d) text += (d ? ", " : "") + std::to_string(shape[d]);
    return text + "]";
  }
};

}  // namespace hopflow
