#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>

#include "cuda/launch.cuh"
#include "cuda/scan_sort.cuh"

namespace hopflow::cuda {
namespace {

// CUB's functions are called twice: without scratch memory to ask how much they want, then with it.
template <typename F>
void WithScratch(const char* what, Workspace& work, F&& f) {
  std::size_t bytes = 0;
  Check(f(nullptr, bytes), what);
  Check(f(work.Allocate(bytes), bytes), what);
}

}  // namespace

template <typename T>
void ExclusiveSum(T* data, std::int64_t count, Workspace& work) {
  WithScratch("scan", work, [&](void* scratch, std::size_t& bytes) {
    return cub::DeviceScan::ExclusiveSum(scratch, bytes, data, data, count,
                                         StreamOf(work.stream()));
  });
}
template void ExclusiveSum<std::uint32_t>(std::uint32_t*, std::int64_t, Workspace&);
template void ExclusiveSum<std::int64_t>(std::int64_t*, std::int64_t, Workspace&);

template <typename Word>
void SortPairs(std::int64_t n, int bits, const Word* keys, const Word* values, Word* sorted_keys,
               Word* sorted_values, Workspace& work) {
  WithScratch("sort", work, [&](void* scratch, std::size_t& bytes) {
    return cub::DeviceRadixSort::SortPairs(scratch, bytes, keys, sorted_keys, values, sorted_values,
                                           n, 0, bits, StreamOf(work.stream()));
  });
}
template void SortPairs<std::uint32_t>(std::int64_t, int, const std::uint32_t*,
                                       const std::uint32_t*, std::uint32_t*, std::uint32_t*,
                                       Workspace&);
template void SortPairs<std::uint64_t>(std::int64_t, int, const std::uint64_t*,
                                       const std::uint64_t*, std::uint64_t*, std::uint64_t*,
                                       Workspace&);

}  // namespace hopflow::cuda
