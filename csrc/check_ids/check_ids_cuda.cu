#include "check_ids/check_ids.h"
#include "core/dtype.h"
#include "cuda/launch.cuh"

namespace hopflow::cuda {
namespace {

__device__ void Note(unsigned long long* first, std::int64_t place) {
  atomicMin(first, static_cast<unsigned long long>(place));
}

template <typename Id>
__global__ void __launch_bounds__(kBlock)
    OutsideKernel(std::int64_t n, const Id* ids, std::int64_t bound, unsigned long long* first) {
  const std::int64_t i = ThreadIndex();
  if (i < n && (ids[i] < 0 || ids[i] >= bound)) Note(first, i);
}

__global__ void __launch_bounds__(kBlock)
    FallKernel(std::int64_t num_rows, std::int64_t num_edges, const std::int64_t* indptr,
               unsigned long long* first) {
  const std::int64_t i = ThreadIndex();
  if (i < num_rows && indptr[i] > indptr[i + 1]) Note(first, i);
  if (i == 0 && (indptr[0] != 0 || indptr[num_rows] != num_edges)) Note(first, num_rows);
}

// seen[id] = the first place where it stands.
template <typename Id>
__global__ void __launch_bounds__(kBlock)
    FirstSeenKernel(std::int64_t n, const Id* ids, unsigned long long* seen) {
  const std::int64_t i = ThreadIndex();
  if (i < n) Note(seen + ids[i], i);
}

template <typename Id>
__global__ void __launch_bounds__(kBlock)
    RepeatedKernel(std::int64_t n, const Id* ids, const unsigned long long* seen,
                   unsigned long long* first) {
  const std::int64_t i = ThreadIndex();
  if (i < n && seen[ids[i]] != static_cast<unsigned long long>(i)) Note(first, i);
}

unsigned long long* NewFirst(std::int64_t count, Workspace& work) {
  auto* const first = work.Of<unsigned long long>(count);
  Zero(first, count * sizeof *first, work, 0xff);  // as signed, -1
  return first;
}

std::int64_t Read(const unsigned long long* first, Workspace& work) {
  unsigned long long result = 0;
  ReadBack(first, 1, &result, work);
  return static_cast<std::int64_t>(result);
}

}  // namespace

template <typename Id>
std::int64_t FirstOutside(std::int64_t n, const Id* ids, std::int64_t bound, Workspace& work) {
  auto* const first = NewFirst(1, work);
  Launch("check ids", work, n, OutsideKernel<Id>, n, ids, bound, first);
  return Read(first, work);
}

std::int64_t FirstFall(std::int64_t num_rows, std::int64_t num_edges, const std::int64_t* indptr,
                       Workspace& work) {
  auto* const first = NewFirst(1, work);
  Launch("check indptr", work, std::max<std::int64_t>(num_rows, 1), FallKernel, num_rows, num_edges,
         indptr, first);
  return Read(first, work);
}

template <typename Id>
std::int64_t FirstRepeated(std::int64_t n, const Id* ids, Workspace& work) {
  auto* const seen = NewFirst(n, work);
  auto* const first = NewFirst(1, work);
  Launch("check a permutation", work, n, FirstSeenKernel<Id>, n, ids, seen);
  Launch("check a permutation", work, n, RepeatedKernel<Id>, n, ids, seen, first);
  return Read(first, work);
}

template <typename T>
T ReadOne(const T* at, Workspace& work) {
  T value;
  ReadBack(at, 1, &value, work);
  return value;
}

#define HOPFLOW_INSTANTIATE(Id)                                                              \
  template std::int64_t FirstOutside<Id>(std::int64_t, const Id*, std::int64_t, Workspace&); \
  template std::int64_t FirstRepeated<Id>(std::int64_t, const Id*, Workspace&);              \
  template Id ReadOne<Id>(const Id*, Workspace&);
HOPFLOW_FOR_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cuda
