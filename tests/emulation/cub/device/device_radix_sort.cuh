#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "cuda_runtime.h"

namespace cub {

struct DeviceRadixSort {
  template <typename Key, typename Value, typename Count>
  static cudaError_t SortPairs(void* scratch, std::size_t& scratch_bytes, const Key* keys_in,
                               Key* keys_out, const Value* values_in, Value* values_out,
                               Count count, int begin_bit, int end_bit, cudaStream_t = nullptr) {
    if (scratch == nullptr) return scratch_bytes = 64, cudaSuccess;
    const auto digits = [&](Key key) {
      const int bits = end_bit - begin_bit;
      key >>= begin_bit;
      return bits >= static_cast<int>(8 * sizeof(Key)) ? key : key & ((Key{1} << bits) - 1);
    };
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return digits(keys_in[a]) < digits(keys_in[b]);
    });
    for (Count i = 0; i < count; ++i) {
      keys_out[i] = keys_in[order[i]];
      values_out[i] = values_in[order[i]];
    }
    return cudaSuccess;
  }
};

}  // namespace cub
