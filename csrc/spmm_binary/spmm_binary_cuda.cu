#include "cuda/launch.cuh"
#include "messages/messages.cuh"
#include "spmm_binary/spmm_binary.h"

namespace hopflow::cuda {
namespace {

// Messages that a thread has in flight. Sums run in edge order, so only the loads are side by side.
constexpr int kInFlight = 4;

// A thread takes one element of one destination; its neighbours take the elements beside it.
template <typename T, typename Id>
__global__ void __launch_bounds__(kBlock) SumKernel(SpmmBinaryArgs<T, Id> a, bool is_mean) {
  using Acc = Accumulator<T>;
  const Messages<T, Id>& m = a.messages;
  const std::int64_t width = m.width(), at = ThreadIndex();
  if (at >= m.num_dst * width) return;
  const std::int64_t v = at / width, k = at % width;
  const std::int64_t begin = m.indptr[v], end = m.indptr[v + 1];
  Acc sum = 0;
  std::int64_t p = begin;
  for (; p + kInFlight <= end; p += kInFlight) {
    Acc message[kInFlight];
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) message[i] = MessageAt(m, p + i, v, k);
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) sum += message[i];
  }
  for (; p < end; ++p) sum += MessageAt(m, p, v, k);
  a.out[at] =
      FromAccumulator<T>(sum / (is_mean && end > begin ? static_cast<Acc>(end - begin) : 1));
}

template <typename T, typename Id>
__global__ void __launch_bounds__(kBlock) ExtremeKernel(SpmmBinaryArgs<T, Id> a, bool is_max) {
  using Acc = Accumulator<T>;
  const Messages<T, Id>& m = a.messages;
  const std::int64_t width = m.width(), at = ThreadIndex();
  if (at >= m.num_dst * width) return;
  const std::int64_t v = at / width, k = at % width;
  const std::int64_t begin = m.indptr[v], end = m.indptr[v + 1];
  Acc best = 0;
  std::int32_t winner = -1;
  for (std::int64_t p = begin; p < end; ++p) {
    const Acc message = MessageAt(m, p, v, k);
    // A NaN, once met, stands; of equals the first.
    const bool stands = (is_max ? message <= best : message >= best) || best != best;
    if (p > begin && stands) continue;
    best = message;
    winner = static_cast<std::int32_t>(p - begin);
  }
  a.out[at] = FromAccumulator<T>(best);
  if (a.arg != nullptr) a.arg[at] = winner;
}

}  // namespace

template <typename T, typename Id>
void SpmmBinary(const SpmmBinaryArgs<T, Id>& args, Reduce reduce, Workspace& work) {
  const std::int64_t num_threads = args.messages.num_dst * args.messages.width();
  if (reduce == Reduce::kMax || reduce == Reduce::kMin) {
    Launch("binary spmm max/min", work, num_threads, ExtremeKernel<T, Id>, args,
           reduce == Reduce::kMax);
  } else {
    Launch("binary spmm", work, num_threads, SumKernel<T, Id>, args, reduce == Reduce::kMean);
  }
}

#define HOPFLOW_INSTANTIATE(T, Id) \
  template void SpmmBinary<T, Id>(const SpmmBinaryArgs<T, Id>&, Reduce, Workspace&);
HOPFLOW_FOR_FLOAT_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cuda
