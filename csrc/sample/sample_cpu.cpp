#include "sample/sample.h"

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "core/dtype.h"
#include "core/parallel.h"
#include "core/prefetch.h"
#include "sample/pick_edges.h"

namespace hopflow::cpu {
namespace {

// Seeds whose edges are picked, prefetched and only then read: enough cache lines in flight to hide
// the memory's latency, few enough to stay in the first-level cache.
constexpr std::int64_t kGroup = 64;
// Work a thread must have to be worth waking: seeds to size, and edges plus seeds to pick.
constexpr std::int64_t kCountGrain = 4096;
constexpr std::int64_t kPickGrain = 16384;
constexpr std::int64_t kPrefetchSeeds = 16;

}  // namespace

template <typename SeedId>
void CountSampledNeighbors(std::int64_t num_nodes, std::int64_t num_edges, std::int64_t num_seeds,
                           const std::int64_t* indptr, const SeedId* seeds,
                           const SampleOptions& options, std::int64_t* out_indptr) {
  out_indptr[0] = 0;
  ParallelFor(num_seeds, kCountGrain, [&](std::int64_t begin, std::int64_t end) {
    const auto in_graph = [&](std::int64_t i) { return seeds[i] >= 0 && seeds[i] < num_nodes; };
    for (std::int64_t i = begin; i < end; ++i) {
      if (i + kPrefetchSeeds < end && in_graph(i + kPrefetchSeeds)) {
        Prefetch(indptr + seeds[i + kPrefetchSeeds]);
      }
      CheckIndex(in_graph(i), "seeds[", i, "] is ", seeds[i], ", but the graph has ", num_nodes,
                 " nodes");
      const std::int64_t first = indptr[seeds[i]], last = indptr[seeds[i] + 1];
      CheckValue(0 <= first && first <= last && last <= num_edges, "indptr[", seeds[i], ":",
                 seeds[i] + 2, "] is [", first, ", ", last, "]: no range of the ", num_edges,
                 " edges");
      out_indptr[i + 1] = NumPicks(last - first, options.fanout, options.replace);
    }
  });
  for (std::int64_t i = 0; i < num_seeds; ++i) out_indptr[i + 1] += out_indptr[i];
}

template <typename Id, typename SeedId, typename EdgeId>
void SampleNeighbors(std::int64_t num_seeds, const std::int64_t* indptr, const Id* indices,
                     const EdgeId* eids, const SeedId* seeds, const SeedId* node_ids,
                     const std::int64_t* out_indptr, const SampleOptions& options,
                     Id* out_neighbors, EdgeId* out_eids) {
  if (node_ids == nullptr) node_ids = seeds;
  ParallelRows(out_indptr, num_seeds, kPickGrain, [&](std::int64_t begin, std::int64_t end) {
    PickSet set;
    std::vector<std::int64_t> positions;
    for (std::int64_t group = begin; group < end; group += kGroup) {
      const std::int64_t group_end = std::min(group + kGroup, end);
      const std::int64_t out_begin = out_indptr[group];
      const std::int64_t count = out_indptr[group_end] - out_begin;
      positions.resize(count);
      for (std::int64_t i = group; i < group_end; ++i) {
        const std::int64_t offset = out_indptr[i] - out_begin;
        const std::int64_t num_picks = out_indptr[i + 1] - out_indptr[i];
        const std::int64_t first = indptr[seeds[i]];
        PickEdges(first, indptr[seeds[i] + 1] - first, num_picks,
                  static_cast<std::uint64_t>(node_ids[i]), options, set, positions.data() + offset);
        for (std::int64_t p = offset; p < offset + num_picks; ++p) {
          Prefetch(indices + positions[p]);
          if (eids != nullptr) Prefetch(eids + positions[p]);
        }
      }
      for (std::int64_t p = 0; p < count; ++p) {
        out_neighbors[out_begin + p] = indices[positions[p]];
        out_eids[out_begin + p] =
            eids != nullptr ? eids[positions[p]] : static_cast<EdgeId>(positions[p]);
      }
    }
  });
}

#define HOPFLOW_INSTANTIATE_SEED(SeedId)                                                \
  template void CountSampledNeighbors<SeedId>(std::int64_t, std::int64_t, std::int64_t, \
                                              const std::int64_t*, const SeedId*,       \
                                              const SampleOptions&, std::int64_t*);
#define HOPFLOW_INSTANTIATE(Id, SeedId, EdgeId)                                                  \
  template void SampleNeighbors<Id, SeedId, EdgeId>(                                             \
      std::int64_t, const std::int64_t*, const Id*, const EdgeId*, const SeedId*, const SeedId*, \
      const std::int64_t*, const SampleOptions&, Id*, EdgeId*);
HOPFLOW_FOR_ID(HOPFLOW_INSTANTIATE_SEED)
HOPFLOW_FOR_IDS3(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE
#undef HOPFLOW_INSTANTIATE_SEED

}  // namespace hopflow::cpu
