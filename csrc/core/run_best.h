// Picks among the variants that foreach_isa.h compiled; include it after them.
#pragma once

#include "core/simd.h"

namespace hopflow::cpu {

#if !HOPFLOW_X86_VARIANTS
namespace avx2 = baseline;
namespace avx512 = baseline;
#endif

// Calls the best variant for this CPU.
template <typename Avx512, typename Avx2, typename Baseline>
void RunBest([[maybe_unused]] Avx512&& avx512, [[maybe_unused]] Avx2&& avx2, Baseline&& baseline) {
#if HOPFLOW_X86_VARIANTS
  if (CurrentIsa() == Isa::kAvx512) return avx512();
  if (CurrentIsa() == Isa::kAvx2) return avx2();
#endif
  baseline();
}

}  // namespace hopflow::cpu
