#include <algorithm>
#include <cstddef>

#include "core/line_stream.h"
#include "core/parallel.h"
#include "core/prefetch.h"
#include "core/simd.h"
#include "gather_decoded/gather_decoded.h"

#if HOPFLOW_X86_VARIANTS
#include <immintrin.h>
#endif

namespace hopflow::cpu {
namespace {

// Rows ahead of the decoding whose cache lines are asked for.
constexpr std::int64_t kPrefetchRows = 16;
constexpr std::int64_t kCacheLine = 64;
// Lines of a row that are asked for; the hardware prefetcher follows longer rows by itself.
constexpr std::int64_t kPrefetchLines = 16;
constexpr std::int64_t kGrainBytes = 1 << 18;

}  // namespace
}  // namespace hopflow::cpu

#define HOPFLOW_ISA_FILE "core/vectors.inc.h"
#include "core/foreach_isa.h"
#undef HOPFLOW_ISA_FILE
#define HOPFLOW_ISA_FILE "gather_decoded/gather_decoded_rows.inc.h"
#include "core/foreach_isa.h"
#undef HOPFLOW_ISA_FILE
#include "core/run_best.h"

namespace hopflow::cpu {

template <typename Id>
void GatherDecoded(const GatherDecodedArgs<Id>& args) {
  if (args.width == 0) return;
  const std::int64_t row_bytes = args.width * static_cast<std::int64_t>(sizeof(float)) + kCacheLine;
  const std::int64_t grain = std::max<std::int64_t>(1, kGrainBytes / row_bytes);
  ParallelFor(args.num_ids, grain, [&](std::int64_t begin, std::int64_t end) {
    RunBest([&] { avx512::GatherDecodedRows(args, begin, end); },
            [&] { avx2::GatherDecodedRows(args, begin, end); },
            [&] { baseline::GatherDecodedRows(args, begin, end); });
  });
}

#define HOPFLOW_INSTANTIATE(Id) template void GatherDecoded<Id>(const GatherDecodedArgs<Id>&);
HOPFLOW_FOR_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
