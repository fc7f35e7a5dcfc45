#include "core/exp.h"
#include "cuda/launch.cuh"
#include "cuda/vectors.cuh"
#include "edge_softmax/edge_softmax.h"

namespace hopflow::cuda {
namespace {

// A thread takes one head of one destination; its neighbours take the heads beside it.
template <typename T, typename Id>
struct Head {
  std::int64_t begin, end, h;
  const EdgeSoftmaxArgs<T, Id>& a;

  __device__ explicit Head(const EdgeSoftmaxArgs<T, Id>& args) : begin(0), end(0), h(0), a(args) {
    const std::int64_t at = ThreadIndex();
    if (at >= a.num_dst * a.width) return;
    h = at % a.width;
    begin = a.indptr[at / a.width];
    end = a.indptr[at / a.width + 1];
  }
  __device__ std::int64_t At(std::int64_t p) const {
    return (a.eids != nullptr ? static_cast<std::int64_t>(a.eids[p]) : p) * a.width + h;
  }
};

template <typename T, typename Id>
__global__ void __launch_bounds__(kBlock) EdgeSoftmaxKernel(EdgeSoftmaxArgs<T, Id> a) {
  using Acc = Accumulator<T>;
  const Head<T, Id> head(a);
  if (head.begin == head.end) return;
  Acc most = ToAccumulator(a.x[head.At(head.begin)]);
  for (std::int64_t p = head.begin + 1; p < head.end; ++p) {
    const Acc x = ToAccumulator(a.x[head.At(p)]);
    most = x <= most || most != most ? most : x;  // a NaN, once met, stands
  }
  Acc total = 0;
  for (std::int64_t p = head.begin; p < head.end; ++p) {
    total += ExpOfNonPositive(ToAccumulator(a.x[head.At(p)]) - most);
  }
  for (std::int64_t p = head.begin; p < head.end; ++p) {
    const std::int64_t at = head.At(p);
    a.out[at] = FromAccumulator<T>(ExpOfNonPositive(ToAccumulator(a.x[at]) - most) / total);
  }
}

template <typename T, typename Id>
__global__ void __launch_bounds__(kBlock) EdgeSoftmaxBackwardKernel(EdgeSoftmaxArgs<T, Id> a) {
  const Head<T, Id> head(a);
  Accumulator<T> total = 0;
  for (std::int64_t p = head.begin; p < head.end; ++p) {
    const std::int64_t at = head.At(p);
    total += ToAccumulator(a.x[at]) * ToAccumulator(a.grad[at]);
  }
  for (std::int64_t p = head.begin; p < head.end; ++p) {
    const std::int64_t at = head.At(p);
    a.out[at] = FromAccumulator<T>(ToAccumulator(a.x[at]) * (ToAccumulator(a.grad[at]) - total));
  }
}

}  // namespace

template <typename T, typename Id>
void EdgeSoftmax(const EdgeSoftmaxArgs<T, Id>& args, Workspace& work) {
  Launch("edge_softmax", work, args.num_dst * args.width, EdgeSoftmaxKernel<T, Id>, args);
}

template <typename T, typename Id>
void EdgeSoftmaxBackward(const EdgeSoftmaxArgs<T, Id>& args, Workspace& work) {
  Launch("edge_softmax_backward", work, args.num_dst * args.width, EdgeSoftmaxBackwardKernel<T, Id>,
         args);
}

#define HOPFLOW_INSTANTIATE(T, Id)                                             \
  template void EdgeSoftmax<T, Id>(const EdgeSoftmaxArgs<T, Id>&, Workspace&); \
  template void EdgeSoftmaxBackward<T, Id>(const EdgeSoftmaxArgs<T, Id>&, Workspace&);
HOPFLOW_FOR_FLOAT_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cuda
