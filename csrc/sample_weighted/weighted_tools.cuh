// What drawing by weight needs of the device: sets of picks, sorting, sums made anew.
#pragma once

#include <cstdint>

#include "cuda/launch.cuh"
#include "sample_weighted/weighted_picks.h"

namespace hopflow::cuda {

// What PickWeighted asks for, without memory of its own; see there.
struct WeightedTools {
  __device__ void Forget() {}
  __device__ void Add(std::int64_t) {}
  __device__ bool Has(const std::int64_t* picks, std::int64_t first, std::int64_t count,
                      std::int64_t edge) const {
    for (std::int64_t i = first; i < count; ++i) {
      if (picks[i] == edge) return true;
    }
    return false;
  }
  // By insertion: what is sorted already, nearly all of it, costs one look.
  __device__ void Sort(std::int64_t* values, std::int64_t count) const {
    for (std::int64_t i = 1; i < count; ++i) {
      const std::int64_t value = values[i];
      std::int64_t at = i;
      for (; at > 0 && values[at - 1] > value; --at) values[at] = values[at - 1];
      values[at] = value;
    }
  }
  template <typename W>
  __device__ double SumLeft(const WeightedRow<W>& row, const TakenEdges& taken,
                            double scale) const {
    double sum = 0;
    ForEachLeft(row.degree, taken, [&](std::int64_t edge) {
      sum += static_cast<double>(row.weights[edge]) * scale;
      return true;
    });
    return sum;
  }
  template <typename W>
  __device__ std::int64_t FindLeft(const WeightedRow<W>& row, const TakenEdges& taken, double scale,
                                   double x) const {
    double sum = 0;
    std::int64_t found = -1;
    ForEachLeft(row.degree, taken, [&](std::int64_t edge) {
      sum += static_cast<double>(row.weights[edge]) * scale;
      found = edge;
      return !(sum > x);
    });
    return found;
  }
};

}  // namespace hopflow::cuda
