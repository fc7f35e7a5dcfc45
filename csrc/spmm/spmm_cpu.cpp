#include "spmm/spmm.h"

#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "core/prefetch.h"
#include "core/simd.h"

#define HOPFLOW_ISA_FILE "core/vectors.inc.h"
#include "core/foreach_isa.h"
#undef HOPFLOW_ISA_FILE
#define HOPFLOW_ISA_FILE "spmm/spmm_rows.inc.h"
#include "core/foreach_isa.h"
#undef HOPFLOW_ISA_FILE
#include "core/run_best.h"

namespace hopflow::cpu {
namespace {

// Elements of work below which another thread costs more than it saves.
constexpr std::int64_t kGrainElements = 1 << 18;

std::int64_t Grain(std::int64_t width) {
  return std::max<std::int64_t>(1, kGrainElements / (width + 1));
}

}  // namespace

template <typename T, typename Id>
void Spmm(const SpmmArgs<T, Id>& args, Reduce reduce) {
  const std::int64_t width = args.num_heads * args.width;
  if (width == 0) return;
  ParallelRows(args.indptr, args.num_dst, Grain(width), [&](std::int64_t begin, std::int64_t end) {
    RunBest([&] { avx512::SpmmRows(args, reduce, begin, end); },
            [&] { avx2::SpmmRows(args, reduce, begin, end); },
            [&] { baseline::SpmmRows(args, reduce, begin, end); });
  });
}

template <typename Acc>
void InverseDegrees(std::int64_t num_dst, const std::int64_t* indptr, Acc* out) {
  ParallelFor(num_dst, kGrainElements, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t v = begin; v < end; ++v) {
      out[v] = Acc(1) / static_cast<Acc>(std::max<std::int64_t>(1, indptr[v + 1] - indptr[v]));
    }
  });
}
template void InverseDegrees<float>(std::int64_t, const std::int64_t*, float*);
template void InverseDegrees<double>(std::int64_t, const std::int64_t*, double*);

template <typename T, typename Id>
void SpmmArgBackward(const SpmmArgBackwardArgs<T, Id>& args) {
  ParallelRows(args.t_indptr, args.num_src, Grain(args.width),
               [&](std::int64_t begin, std::int64_t end) {
                 RunBest([&] { avx512::SpmmArgBackwardRows(args, begin, end); },
                         [&] { avx2::SpmmArgBackwardRows(args, begin, end); },
                         [&] { baseline::SpmmArgBackwardRows(args, begin, end); });
               });
}

// Bound by the writes, so plain code serves.
template <typename T, typename Id>
void SpmmEdgeBackward(const SpmmEdgeBackwardArgs<T, Id>& args, Reduce reduce) {
  using Acc = Accumulator<T>;
  const std::int64_t width = args.width;
  ParallelRows(args.indptr, args.num_dst, Grain(width), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t v = begin; v < end; ++v) {
      const std::int64_t first = args.indptr[v], last = args.indptr[v + 1];
      const T* grad = args.grad + v * width;
      const Acc degree = static_cast<Acc>(last - first);
      for (std::int64_t p = first; p < last; ++p) {
        T* out = args.out + (args.eids != nullptr ? args.eids[p] : p) * width;
        if (reduce == Reduce::kSum) {
          std::memcpy(out, grad, width * sizeof(T));
        } else if (reduce == Reduce::kMean) {
          for (std::int64_t d = 0; d < width; ++d) out[d] = Narrow<T>(Widen(grad[d]) / degree);
        } else {
          const std::int32_t* arg = args.arg + v * width;
          for (std::int64_t d = 0; d < width; ++d) {
            out[d] = arg[d] == p - first ? grad[d] : Narrow<T>(Acc(0));
          }
        }
      }
    }
  });
}

#define HOPFLOW_INSTANTIATE(T, Id)                                         \
  template void Spmm<T, Id>(const SpmmArgs<T, Id>&, Reduce);               \
  template void SpmmArgBackward<T, Id>(const SpmmArgBackwardArgs<T, Id>&); \
  template void SpmmEdgeBackward<T, Id>(const SpmmEdgeBackwardArgs<T, Id>&, Reduce);
HOPFLOW_FOR_FLOAT_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
