#include "cuda/launch.cuh"
#include "messages/messages.cuh"
#include "sddmm_binary/sddmm_binary.h"

namespace hopflow::cuda {
namespace {

// The destination of the edge at `position`: the last row that begins there or before.
__device__ std::int64_t DestinationOf(const std::int64_t* indptr, std::int64_t num_dst,
                                      std::int64_t position) {
  std::int64_t low = 0, high = num_dst;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (indptr[middle] <= position ? low : high) = middle;
  }
  return low;
}

// A thread takes one element of one edge, so that a hub's edges are shared out like all others.
template <typename T, typename Id>
__global__ void __launch_bounds__(kBlock) SddmmBinaryKernel(SddmmBinaryArgs<T, Id> a) {
  const Messages<T, Id>& m = a.messages;
  const std::int64_t width = m.width(), at = ThreadIndex();
  if (at >= a.num_edges * width) return;
  const std::int64_t p = at / width, k = at % width;
  const bool reads_dst = m.lhs.side == Side::kDestination || m.rhs.side == Side::kDestination;
  const std::int64_t v = reads_dst ? DestinationOf(m.indptr, m.num_dst, p) : 0;
  a.out[m.EdgeAt(p) * width + k] = FromAccumulator<T>(MessageAt(m, p, v, k));
}

}  // namespace

template <typename T, typename Id>
void SddmmBinary(const SddmmBinaryArgs<T, Id>& args, Workspace& work) {
  Launch("binary sddmm", work, args.num_edges * args.messages.width(), SddmmBinaryKernel<T, Id>,
         args);
}

#define HOPFLOW_INSTANTIATE(T, Id) \
  template void SddmmBinary<T, Id>(const SddmmBinaryArgs<T, Id>&, Workspace&);
HOPFLOW_FOR_FLOAT_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cuda
