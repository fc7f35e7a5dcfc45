// One seed's edges, from its operands to its picks; shared by both devices.
#pragma once

#include <cstdint>

#include "sample_weighted/sample_weighted.h"
#include "sample_weighted/weighted_picks.h"

namespace hopflow {

// Writes the positions that a seed keeps of its edges at [first, first + degree). `edges` and
// `before` have room for its picks and its excluded edges.
template <typename W, typename Tools>
HOPFLOW_HOST_DEVICE void PickFrom(const WeightedArgs<W>& args, std::int64_t first,
                                  std::int64_t degree, const NodeRng& rng, std::int64_t num_picks,
                                  std::int64_t* edges, double* before, Tools& tools,
                                  std::int64_t* positions) {  // [num_picks]
  const ExcludedRange range = ExcludedOf(args.excluded, args.num_excluded, first, first + degree);
  TakenEdges taken{edges, before, range.count(), 0};
  for (std::int64_t k = 0; k < taken.count; ++k) {
    taken.edges[k] = args.excluded[range.begin + k] - first;
  }
  const bool replace = args.options.replace;
  if (args.options.fanout < 0 || (!replace && num_picks == degree - taken.count)) {
    std::int64_t k = 0;
    ForEachLeft(degree, taken, [&](std::int64_t edge) {
      positions[k++] = edge;
      return k < num_picks;
    });
  } else if (args.sums == nullptr) {
    PickAlike(rng, degree, num_picks, replace, taken, tools, positions);
  } else {
    const WeightedRow<W> row{degree, args.sums + first, args.weights + first};
    PickWeighted(rng, row, num_picks, replace, taken, tools, positions);
  }
  for (std::int64_t k = 0; k < num_picks; ++k) positions[k] += first;
}

// Writes the positions that seed i keeps of all its edges.
template <typename W, typename Tools>
HOPFLOW_HOST_DEVICE void PickRow(const WeightedArgs<W>& args, std::int64_t i,
                                 std::int64_t num_picks, std::int64_t* edges, double* before,
                                 Tools& tools,
                                 std::int64_t* positions) {  // [num_picks]
  if (num_picks == 0) return;
  const std::int64_t node = args.seeds[i], first = args.indptr[node];
  const NodeRng rng(args.options.key, static_cast<std::uint64_t>(args.node_ids[i]));
  PickFrom(args, first, args.indptr[node + 1] - first, rng, num_picks, edges, before, tools,
           positions);
}

}  // namespace hopflow
