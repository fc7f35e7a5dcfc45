// Asking for memory before it is needed.
#pragma once

namespace hopflow {

// Brings the cache line of `address` into the second-level cache. More lines can be on their way
// there than into the first level, whose few miss registers the loads need themselves: gathers and
// sums run a fifth faster than with the stronger hint (bench_gather.py, bench_spmm.py).
template <typename T>
[[gnu::always_inline]] inline void Prefetch(const T* address) {
  __builtin_prefetch(address, 0, 2);
}

}  // namespace hopflow
