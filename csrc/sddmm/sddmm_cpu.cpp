#include <algorithm>

#include "core/parallel.h"
#include "core/prefetch.h"
#include "core/simd.h"
#include "sddmm/sddmm.h"

#define HOPFLOW_ISA_FILE "core/vectors.inc.h"
#include "core/foreach_isa.h"
#undef HOPFLOW_ISA_FILE
#define HOPFLOW_ISA_FILE "messages/dot_rows.inc.h"
#include "core/foreach_isa.h"
#undef HOPFLOW_ISA_FILE
#define HOPFLOW_ISA_FILE "sddmm/sddmm_rows.inc.h"
#include "core/foreach_isa.h"
#undef HOPFLOW_ISA_FILE
#include "core/run_best.h"

namespace hopflow::cpu {
namespace {

constexpr std::int64_t kGrainElements = 1 << 18;

}  // namespace

template <typename T, typename Id>
void SddmmDot(const SddmmArgs<T, Id>& args) {
  const std::int64_t grain =
      std::max<std::int64_t>(1, kGrainElements / (args.num_heads * args.width + 1));
  ParallelRows(args.indptr, args.num_dst, grain, [&](std::int64_t begin, std::int64_t end) {
    RunBest([&] { avx512::SddmmDotRows(args, begin, end); },
            [&] { avx2::SddmmDotRows(args, begin, end); },
            [&] { baseline::SddmmDotRows(args, begin, end); });
  });
}

#define HOPFLOW_INSTANTIATE(T, Id) template void SddmmDot<T, Id>(const SddmmArgs<T, Id>&);
HOPFLOW_FOR_FLOAT_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
