#include "sample.h"

#include <algorithm>
#include <vector>

#include "check.h"
#include "parallel.h"
#include "picks.h"
#include "rng.h"

namespace hopflow::cpu {
namespace {

// Seeds whose edges are picked, prefetched and only then read: enough cache lines in flight to hide
// the memory's latency, few enough to stay in the first-level cache.
constexpr std::int64_t kGroup = 64;
// Work a thread must have to be worth waking: seeds to size, and edges plus seeds to pick.
constexpr std::int64_t kCountGrain = 4096;
constexpr std::int64_t kPickGrain = 16384;
constexpr std::int64_t kPrefetchSeeds = 16;
// Up to here a linear search over the picks beats a hash set.
constexpr std::int64_t kLinearPicks = 48;

// The picks of one large fanout, as a set.
class PickSet {
 public:
  void Reset(std::int64_t num_picks) {
    std::size_t capacity = 64;
    while (capacity < 2 * static_cast<std::size_t>(num_picks)) capacity *= 2;
    slots_.assign(capacity, -1);
    mask_ = capacity - 1;
  }
  bool Contains(std::int64_t position) const { return slots_[Find(position)] == position; }
  void Insert(std::int64_t position) { slots_[Find(position)] = position; }

 private:
  std::size_t Find(std::int64_t position) const {
    std::size_t slot = Mix64(static_cast<std::uint64_t>(position)) & mask_;
    while (slots_[slot] != -1 && slots_[slot] != position) slot = (slot + 1) & mask_;
    return slot;
  }
  std::vector<std::int64_t> slots_;
  std::size_t mask_ = 0;
};

// Writes the edge positions that one seed keeps.
void PickEdges(std::int64_t begin, std::int64_t degree, std::int64_t num_picks, std::uint64_t node,
               const SampleOptions& options, PickSet& set,
               std::int64_t* positions) {  // [num_picks]
  if (options.fanout < 0 || (!options.replace && num_picks == degree)) {
    for (std::int64_t i = 0; i < num_picks; ++i) positions[i] = begin + i;
    return;
  }
  const NodeRng rng(options.key, node);
  if (options.replace) {
    for (std::int64_t i = 0; i < num_picks; ++i) positions[i] = begin + rng.Below(i, degree);
    return;
  }
  if (num_picks <= kLinearPicks) {
    FloydPicks(
        rng, degree, num_picks,
        [&](std::int64_t i, std::int64_t t) {
          return std::find(positions, positions + i, begin + t) != positions + i;
        },
        [&](std::int64_t i, std::int64_t pick) { positions[i] = begin + pick; });
    return;
  }
  set.Reset(num_picks);
  FloydPicks(
      rng, degree, num_picks, [&](std::int64_t, std::int64_t t) { return set.Contains(t); },
      [&](std::int64_t i, std::int64_t pick) {
        set.Insert(pick);
        positions[i] = begin + pick;
      });
}

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
        __builtin_prefetch(indptr + seeds[i + kPrefetchSeeds]);
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
                     const EdgeId* eids, const SeedId* seeds, const std::int64_t* out_indptr,
                     const SampleOptions& options, Id* out_neighbors, EdgeId* out_eids) {
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
                  static_cast<std::uint64_t>(seeds[i]), options, set, positions.data() + offset);
        for (std::int64_t p = offset; p < offset + num_picks; ++p) {
          __builtin_prefetch(indices + positions[p]);
          if (eids != nullptr) __builtin_prefetch(eids + positions[p]);
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
#define HOPFLOW_INSTANTIATE(Id, SeedId, EdgeId)                                   \
  template void SampleNeighbors<Id, SeedId, EdgeId>(                              \
      std::int64_t, const std::int64_t*, const Id*, const EdgeId*, const SeedId*, \
      const std::int64_t*, const SampleOptions&, Id*, EdgeId*);
HOPFLOW_INSTANTIATE_SEED(std::int32_t)
HOPFLOW_INSTANTIATE_SEED(std::int64_t)
HOPFLOW_INSTANTIATE(std::int32_t, std::int32_t, std::int32_t)
HOPFLOW_INSTANTIATE(std::int32_t, std::int32_t, std::int64_t)
HOPFLOW_INSTANTIATE(std::int32_t, std::int64_t, std::int32_t)
HOPFLOW_INSTANTIATE(std::int32_t, std::int64_t, std::int64_t)
HOPFLOW_INSTANTIATE(std::int64_t, std::int32_t, std::int32_t)
HOPFLOW_INSTANTIATE(std::int64_t, std::int32_t, std::int64_t)
HOPFLOW_INSTANTIATE(std::int64_t, std::int64_t, std::int32_t)
HOPFLOW_INSTANTIATE(std::int64_t, std::int64_t, std::int64_t)
#undef HOPFLOW_INSTANTIATE
#undef HOPFLOW_INSTANTIATE_SEED

}  // namespace hopflow::cpu
