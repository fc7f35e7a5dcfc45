#include "core/simd.h"

#include <algorithm>
#include <atomic>

namespace hopflow {
namespace {

Isa Detect() {
#if HOPFLOW_X86_VARIANTS
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    return Isa::kAvx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c")) return Isa::kAvx2;
#endif
  return Isa::kBaseline;
}

std::atomic<Isa> limit{Isa::kAvx512};

}  // namespace

Isa CurrentIsa() {
  static const Isa detected = Detect();
  return std::min(detected, limit.load(std::memory_order_relaxed));
}

void LimitIsa(Isa most) { limit.store(most, std::memory_order_relaxed); }

const char* Name(Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kBaseline:
      break;
  }
  return "baseline";
}

}  // namespace hopflow
