#pragma once

#include "cuda_runtime.h"

namespace cub {

struct DeviceScan {
  template <typename In, typename Out, typename Count>
  static cudaError_t ExclusiveSum(void* scratch, std::size_t& scratch_bytes, In in, Out out,
                                  Count count, cudaStream_t = nullptr) {
    if (scratch == nullptr) return scratch_bytes = 64, cudaSuccess;
    auto sum = *in - *in;
    for (Count i = 0; i < count; ++i) {
      const auto value = in[i];
      out[i] = sum;
      sum += value;
    }
    return cudaSuccess;
  }
};

}  // namespace cub
