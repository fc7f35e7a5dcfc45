#include "spmm_binary/spmm_binary.h"

#include <algorithm>
#include <vector>

#include "core/parallel.h"
#include "core/prefetch.h"
#include "core/simd.h"

#define HOPFLOW_ISA_FILE "core/vectors.inc.h"
#include "core/foreach_isa.h"
#undef HOPFLOW_ISA_FILE
#define HOPFLOW_ISA_FILE "messages/dot_rows.inc.h"
#include "core/foreach_isa.h"
#undef HOPFLOW_ISA_FILE
#define HOPFLOW_ISA_FILE "messages/message_rows.inc.h"
#include "core/foreach_isa.h"
#undef HOPFLOW_ISA_FILE
#define HOPFLOW_ISA_FILE "spmm_binary/spmm_binary_rows.inc.h"
#include "core/foreach_isa.h"
#undef HOPFLOW_ISA_FILE
#include "core/run_best.h"

namespace hopflow::cpu {
namespace {

// Elements of work below which another thread costs more than it saves.
constexpr std::int64_t kGrainElements = 1 << 17;

}  // namespace

template <typename T, typename Id>
void SpmmBinary(const SpmmBinaryArgs<T, Id>& args, Reduce reduce) {
  const Messages<T, Id>& m = args.messages;
  const std::int64_t width = m.width();
  if (width == 0) return;
  const std::int64_t grain = std::max<std::int64_t>(1, kGrainElements / (m.outer * m.inner + 1));
  ParallelRows(m.indptr, m.num_dst, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<Accumulator<T>> room(2 * width);
    std::vector<std::int32_t> winner(width);
    const auto run = [&](auto rows) {
      rows(args, reduce, begin, end, room.data(), room.data() + width, winner.data());
    };
    RunBest([&] { run(avx512::SpmmBinaryRows<T, Id>); }, [&] { run(avx2::SpmmBinaryRows<T, Id>); },
            [&] { run(baseline::SpmmBinaryRows<T, Id>); });
  });
}

#define HOPFLOW_INSTANTIATE(T, Id) \
  template void SpmmBinary<T, Id>(const SpmmBinaryArgs<T, Id>&, Reduce);
HOPFLOW_FOR_FLOAT_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
