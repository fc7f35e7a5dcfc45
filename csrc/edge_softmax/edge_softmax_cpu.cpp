#include "edge_softmax/edge_softmax.h"

#include <algorithm>
#include <vector>

#include "core/exp.h"
#include "core/parallel.h"
#include "core/simd.h"

#define HOPFLOW_ISA_FILE "edge_softmax/edge_softmax_rows.inc.h"
#include "core/foreach_isa.h"
#undef HOPFLOW_ISA_FILE
#include "core/run_best.h"

namespace hopflow::cpu {
namespace {

// Elements of work below which another thread costs more than it saves.
constexpr std::int64_t kGrainElements = 1 << 15;

// Calls rows(begin, end, row, total) with room for `copies` of the longest row among them.
template <typename T, typename Id, typename Rows>
void ForRows(const EdgeSoftmaxArgs<T, Id>& args, std::int64_t copies, const Rows& rows) {
  if (args.width == 0) return;
  const std::int64_t grain = std::max<std::int64_t>(1, kGrainElements / args.width);
  ParallelRows(args.indptr, args.num_dst, grain, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t longest = 0;
    for (std::int64_t v = begin; v < end; ++v) {
      longest = std::max(longest, args.indptr[v + 1] - args.indptr[v]);
    }
    std::vector<Accumulator<T>> room((longest * copies + 1) * args.width);
    rows(begin, end, room.data(), room.data() + longest * copies * args.width);
  });
}

}  // namespace

template <typename T, typename Id>
void EdgeSoftmax(const EdgeSoftmaxArgs<T, Id>& args) {
  ForRows(args, 1, [&](std::int64_t begin, std::int64_t end, auto* row, auto* total) {
    RunBest([&] { avx512::EdgeSoftmaxRows(args, begin, end, row, total); },
            [&] { avx2::EdgeSoftmaxRows(args, begin, end, row, total); },
            [&] { baseline::EdgeSoftmaxRows(args, begin, end, row, total); });
  });
}

template <typename T, typename Id>
void EdgeSoftmaxBackward(const EdgeSoftmaxArgs<T, Id>& args) {
  ForRows(args, 2, [&](std::int64_t begin, std::int64_t end, auto* row, auto* total) {
    RunBest([&] { avx512::EdgeSoftmaxBackwardRows(args, begin, end, row, total); },
            [&] { avx2::EdgeSoftmaxBackwardRows(args, begin, end, row, total); },
            [&] { baseline::EdgeSoftmaxBackwardRows(args, begin, end, row, total); });
  });
}

#define HOPFLOW_INSTANTIATE(T, Id)                                 \
  template void EdgeSoftmax<T, Id>(const EdgeSoftmaxArgs<T, Id>&); \
  template void EdgeSoftmaxBackward<T, Id>(const EdgeSoftmaxArgs<T, Id>&);
HOPFLOW_FOR_FLOAT_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
