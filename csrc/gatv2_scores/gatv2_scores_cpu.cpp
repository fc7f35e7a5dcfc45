#include "gatv2_scores/gatv2_scores.h"

#include <algorithm>
#include <vector>

#include "core/parallel.h"
#include "core/prefetch.h"
#include "core/simd.h"

#define HOPFLOW_ISA_FILE "gatv2_scores/gatv2_scores_rows.inc.h"
#include "core/foreach_isa.h"
#undef HOPFLOW_ISA_FILE
#include "core/run_best.h"

namespace hopflow::cpu {
namespace {

// Elements of work below which another thread costs more than it saves.
constexpr std::int64_t kGrainElements = 1 << 17;

}  // namespace

template <typename T, typename Id>
void Gatv2Scores(const Gatv2Args<T, Id>& args) {
  const std::int64_t grain =
      std::max<std::int64_t>(1, kGrainElements / (args.num_heads * args.width + 1));
  ParallelRows(args.indptr, args.num_dst, grain, [&](std::int64_t begin, std::int64_t end) {
    RunBest([&] { avx512::Gatv2ScoresRows(args, begin, end); },
            [&] { avx2::Gatv2ScoresRows(args, begin, end); },
            [&] { baseline::Gatv2ScoresRows(args, begin, end); });
  });
}

template <typename T, typename Id>
void Gatv2ScoresBackward(const Gatv2Args<T, Id>& args) {
  const std::int64_t width = args.num_heads * args.width;
  if (width == 0) return;
  const std::int64_t grain = std::max<std::int64_t>(1, kGrainElements / (width + 1));
  ParallelRows(args.indptr, args.num_dst, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<Accumulator<T>> room(2 * width);
    Accumulator<T>* const sum = room.data();
    Accumulator<T>* const attn_sum = sum + width;
    RunBest([&] { avx512::Gatv2ScoresBackwardRows(args, begin, end, sum, attn_sum); },
            [&] { avx2::Gatv2ScoresBackwardRows(args, begin, end, sum, attn_sum); },
            [&] { baseline::Gatv2ScoresBackwardRows(args, begin, end, sum, attn_sum); });
  });
}

#define HOPFLOW_INSTANTIATE(T, Id)                           \
  template void Gatv2Scores<T, Id>(const Gatv2Args<T, Id>&); \
  template void Gatv2ScoresBackward<T, Id>(const Gatv2Args<T, Id>&);
HOPFLOW_FOR_FLOAT_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
