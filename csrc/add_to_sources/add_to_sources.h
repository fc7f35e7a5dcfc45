// Sums over the out-edges of each node, of a graph that is stored by in-edges:
// out[indices[e]] += values[row of e], for every edge e.
#pragma once

#include <cstdint>

namespace hopflow::cpu {

// In the order of the edges. Rows whose value is 0 are skipped:
// their edges are not read. Indices are checked by the caller.
template <typename Id>
void AddToSources(std::int64_t num_rows,
                  const std::int64_t* indptr,  // [num_rows + 1]
                  const Id* indices,           // [num_edges]
                  const float* values,         // [num_rows]
                  float* out);                 // [num_src]

}  // namespace hopflow::cpu
