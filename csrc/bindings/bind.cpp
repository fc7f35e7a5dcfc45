#include "bindings/bind.h"

#include <algorithm>
#include <vector>

#include "core/parallel.h"

namespace hopflow {

void CheckFanout(std::int64_t fanout) {
  CheckValue(fanout >= -1, "fanout: expected -1 (all) or a count >= 0, got ", fanout);
  CheckValue(fanout <= 0x7fffffff, "fanout: expected at most 2^31 - 1, got ", fanout);
}

void CheckIds(const Operand& ids, std::int64_t bound, const char* bound_name) {
  DispatchIndex(ids.view.dtype, ids.name, [&]<typename Id>(Type<Id>) {
    const Id* data = ids.view.as<Id>();
    const std::int64_t n = ids.view.numel();
    ParallelFor(n, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
      Id low = 0, high = -1;
      for (std::int64_t i = begin; i < end; ++i) {
        low = std::min(low, data[i]);
        high = std::max(high, data[i]);
      }
      if (low >= 0 && high < bound) return;
      for (std::int64_t i = begin; i < end; ++i) {
        CheckIndex(data[i] >= 0 && data[i] < bound, ids.name, "[", i, "] is ", data[i],
                   ", expected 0 <= id < ", bound, " (", bound_name, ")");
      }
    });
  });
}

void CheckPermutation(const Operand& ids) {
  const std::int64_t n = ids.view.numel();
  CheckIds(ids, n, "number of edges");
  DispatchIndex(ids.view.dtype, ids.name, [&]<typename Id>(Type<Id>) {
    const Id* data = ids.view.as<Id>();
    std::vector<bool> seen(n);
    for (std::int64_t i = 0; i < n; ++i) {
      CheckValue(!seen[data[i]], ids.name, ": expected each edge once, got edge ", data[i],
                 " twice");
      seen[data[i]] = true;
    }
  });
}

void CheckIndptr(const Operand& indptr, std::int64_t num_edges) {
  indptr.OfDim(1).OfType(DType::kInt64).Contiguous();
  const std::int64_t num_rows = indptr.view.size(0) - 1;
  CheckValue(num_rows >= 0, indptr.name, ": expected at least one element, got none");
  const std::int64_t* data = indptr.view.as<std::int64_t>();
  CheckValue(data[0] == 0, indptr.name, "[0]: expected 0, got ", data[0]);
  CheckValue(data[num_rows] == num_edges, indptr.name, "[-1]: expected the number of edges, ",
             num_edges, ", got ", data[num_rows]);
  ParallelFor(num_rows, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
    bool sorted = true;
    for (std::int64_t i = begin; i < end; ++i) sorted &= data[i] <= data[i + 1];
    if (sorted) return;
    for (std::int64_t i = begin; i < end; ++i) {
      CheckValue(data[i] <= data[i + 1], indptr.name, " falls from ", data[i], " to ", data[i + 1],
                 " at ", i + 1, "; expected it never to fall");
    }
  });
}

}  // namespace hopflow
