// What the bindings of both SpMMs share.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string_view>

#include "core/check.h"
#include "core/tensor_view.h"
#include "spmm/spmm.h"

namespace hopflow {

inline Reduce ReduceOf(std::string_view name) {
  if (name == "sum") return Reduce::kSum;
  if (name == "mean") return Reduce::kMean;
  if (name == "max") return Reduce::kMax;
  if (name == "min") return Reduce::kMin;
  throw std::invalid_argument(
      StrCat("reduce: expected \"sum\", \"mean\", \"max\" or \"min\", got \"", name, "\""));
}

inline bool HasArg(Reduce reduce) { return reduce == Reduce::kMax || reduce == Reduce::kMin; }

// The winner is counted from the row's first edge in 32 bits. On the CPU.
inline void CheckDegrees(const TensorView& indptr) {
  const std::int64_t* data = indptr.as<std::int64_t>();
  for (std::int64_t v = 0; v + 1 < indptr.size(0); ++v) {
    CheckValue(data[v + 1] - data[v] <= 0x7fffffff, "indptr: row ", v, " has ",
               data[v + 1] - data[v], " edges; max and min take at most 2^31 - 1");
  }
}

}  // namespace hopflow
