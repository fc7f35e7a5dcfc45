// Row gather: out[i] = x[ids[i]], for any element type.
#pragma once

#include <cstdint>

#include "core/device.h"

namespace hopflow {
namespace cpu {

// Ids are checked by the caller.
template <typename Id>
void GatherRows(std::int64_t num_ids, std::int64_t row_bytes, std::int64_t row_stride_bytes,
                const void* x,  // [num_rows, row_bytes], rows row_stride_bytes apart
                const Id* ids,  // [num_ids]
                void* out);     // [num_ids, row_bytes], contiguous

}  // namespace cpu

namespace cuda {

// Copies of some rows of x that the device keeps.
struct RowCache {
  const void* rows = nullptr;           // [num_cached, row_bytes], contiguous; null: no cache
  const std::int32_t* slots = nullptr;  // [num_rows of x], row of `rows`, or -1
  std::int64_t* num_hits = nullptr;     // rows found in the cache are added
};

// The same; x may be page-locked host memory, read in place.
template <typename Id>
void GatherRows(std::int64_t num_ids, std::int64_t row_bytes, std::int64_t row_stride_bytes,
                const void* x,  // [num_rows, row_bytes], rows row_stride_bytes apart
                const Id* ids,  // [num_ids]
                const RowCache& cache,
                void* out,  // [num_ids, row_bytes], contiguous
                Workspace& work);

}  // namespace cuda
}  // namespace hopflow
