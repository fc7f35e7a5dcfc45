// Checks of index arrays that are on the device; on the CPU bind.h has them. They wait for the
// answer, so hopflow.ops asks for each array once.
#pragma once

#include <cstdint>

#include "core/device.h"

namespace hopflow::cuda {

// The first place whose id is not in [0, bound), or -1.
template <typename Id>
std::int64_t FirstOutside(std::int64_t n, const Id* ids, std::int64_t bound, Workspace& work);

// The first place i with indptr[i] > indptr[i + 1], num_rows where the ends are not 0 and
// num_edges, or -1.
std::int64_t FirstFall(std::int64_t num_rows, std::int64_t num_edges,
                       const std::int64_t* indptr,  // [num_rows + 1]
                       Workspace& work);

// The first place whose id, in [0, n), stands at an earlier place too; or -1.
template <typename Id>
std::int64_t FirstRepeated(std::int64_t n, const Id* ids, Workspace& work);

// One element, for messages.
template <typename T>
T ReadOne(const T* at, Workspace& work);

}  // namespace hopflow::cuda
