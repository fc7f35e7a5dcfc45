// One seed of temporal sampling, from its operands to its picks; shared by both devices.
#pragma once

#include <cstdint>

#include "sample_temporal/sample_temporal.h"
#include "sample_weighted/weighted_row.h"

namespace hopflow {

// How many of the edges at [first, first + degree) are eligible at a time.
template <typename T>
HOPFLOW_HOST_DEVICE inline std::int64_t CountEligible(const T* times, std::int64_t first,
                                                      std::int64_t degree, T time, bool strict) {
  const T* const row = times + first;
  if (strict) return FirstWhere(0, degree, [&](std::int64_t i) { return row[i] >= time; });
  return FirstWhere(0, degree, [&](std::int64_t i) { return row[i] > time; });
}

// The key that a node draws with at a time.
HOPFLOW_HOST_DEVICE inline std::uint64_t TimeKey(std::uint64_t key, std::int64_t stamp) {
  return FoldKey(key, static_cast<std::uint64_t>(stamp));
}

// The last `num_picks` of the edges at [first, first + degree) that are not excluded, in order.
template <typename W>
HOPFLOW_HOST_DEVICE void PickLatest(const WeightedArgs<W>& args, std::int64_t first,
                                    std::int64_t degree, std::int64_t num_picks,
                                    std::int64_t* positions) {  // [num_picks]
  const ExcludedRange range = ExcludedOf(args.excluded, args.num_excluded, first, first + degree);
  std::int64_t excluded = range.end;
  for (std::int64_t p = first + degree - 1, k = num_picks; k > 0; --p) {
    if (excluded > range.begin && args.excluded[excluded - 1] == p) {
      --excluded;
    } else {
      positions[--k] = p;
    }
  }
}

// Writes the positions that seed i keeps. `edges` and `before` have room for its picks and its
// excluded edges.
template <typename W, typename Tools>
HOPFLOW_HOST_DEVICE void PickTemporalRow(const TemporalArgs<W>& args, std::int64_t i,
                                         std::int64_t num_picks, std::int64_t* edges,
                                         double* before, Tools& tools,
                                         std::int64_t* positions) {  // [num_picks]
  if (num_picks == 0) return;
  const WeightedArgs<W>& of = args.edges;
  const std::int64_t first = of.indptr[of.seeds[i]], degree = args.eligible[i];
  if (args.latest) return PickLatest(of, first, degree, num_picks, positions);
  const NodeRng rng(TimeKey(of.options.key, args.stamps[i]),
                    static_cast<std::uint64_t>(of.node_ids[i]));
  PickFrom(of, first, degree, rng, num_picks, edges, before, tools, positions);
}

}  // namespace hopflow
