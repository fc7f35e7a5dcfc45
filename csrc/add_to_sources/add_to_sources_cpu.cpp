#include "add_to_sources/add_to_sources.h"

#include "core/dtype.h"

namespace hopflow::cpu {
namespace {

constexpr std::int64_t kPrefetchEdges = 32;

}  // namespace

// By one thread. Two that read all edges and add those of their own half of the sources are slower
// than one: whether an edge is theirs is a coin toss, which no processor predicts
// (bench_add_to_sources.py).
template <typename Id>
void AddToSources(std::int64_t num_rows, const std::int64_t* indptr, const Id* indices,
                  const float* values, float* out) {
  const std::int64_t num_edges = indptr[num_rows];
  for (std::int64_t row = 0; row < num_rows; ++row) {
    const float value = values[row];
    if (value == 0) continue;
    const std::int64_t end = indptr[row + 1];
    for (std::int64_t e = indptr[row]; e < end; ++e) {
      // Also over the row's end: the next row is likely to be added too.
      if (e + kPrefetchEdges < num_edges)
        __builtin_prefetch(out + indices[e + kPrefetchEdges], 1, 2);
      out[indices[e]] += value;
    }
  }
}

#define HOPFLOW_INSTANTIATE(Id) \
  template void AddToSources(std::int64_t, const std::int64_t*, const Id*, const float*, float*);
HOPFLOW_FOR_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
