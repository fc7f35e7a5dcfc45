// CUB's scan and radix sort. They are compiled in one place (scan_sort_cuda.cu): CUB's headers take
// a compiler longer than all else in most files that want a scan.
#pragma once

#include <cstdint>

#include "core/device.h"

namespace hopflow::cuda {

// In place: from counts to the sums of those before. For std::uint32_t and std::int64_t.
template <typename T>
void ExclusiveSum(T* data, std::int64_t count, Workspace& work);  // [count]

// Stably sorts pairs by the lowest `bits` of their keys. For std::uint32_t and std::uint64_t.
template <typename Word>
void SortPairs(std::int64_t n, int bits, const Word* keys, const Word* values, Word* sorted_keys,
               Word* sorted_values, Workspace& work);  // all [n]

}  // namespace hopflow::cuda
