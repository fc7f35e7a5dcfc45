#include "sample_temporal/sample_temporal.h"

#include <vector>

#include "core/check.h"
#include "core/parallel.h"
#include "core/prefetch.h"
#include "sample/pick_edges.h"
#include "sample_temporal/temporal_row.h"
#include "sample_weighted/weighted_tools.h"

namespace hopflow::cpu {
namespace {

constexpr std::int64_t kCountGrain = 2048;
constexpr std::int64_t kPickGrain = 4096;
constexpr std::int64_t kAhead = 8;  // seeds whose rows are on their way

}  // namespace

template <typename T>
void CountTemporal(const TimedRows<T>& rows, std::int64_t fanout, bool replace,
                   std::int64_t* out_indptr, std::int64_t* out_excluded,
                   std::int64_t* out_eligible) {
  out_indptr[0] = out_excluded[0] = 0;
  ParallelFor(rows.num_seeds, kCountGrain, [&](std::int64_t begin, std::int64_t end) {
    const auto in_graph = [&](std::int64_t i) {
      return i < end && rows.seeds[i] >= 0 && rows.seeds[i] < rows.num_nodes;
    };
    for (std::int64_t i = begin; i < end; ++i) {
      if (in_graph(i + 2 * kAhead)) Prefetch(rows.indptr + rows.seeds[i + 2 * kAhead]);
      if (in_graph(i + kAhead)) {
        // Where the search begins.
        const std::int64_t node = rows.seeds[i + kAhead];
        const std::int64_t first = rows.indptr[node], last = rows.indptr[node + 1];
        if (first < last && first >= 0 && last <= rows.num_edges) {
          Prefetch(rows.times + first + (last - first) / 2);
        }
      }
      const std::int64_t node = rows.seeds[i];
      CheckIndex(in_graph(i), "seeds[", i, "] is ", node, ", but the graph has ", rows.num_nodes,
                 " nodes");
      const std::int64_t first = rows.indptr[node], last = rows.indptr[node + 1];
      CheckValue(0 <= first && first <= last && last <= rows.num_edges, "indptr[", node, ":",
                 node + 2, "] is [", first, ", ", last, "]: no range of the ", rows.num_edges,
                 " edges");
      const std::int64_t eligible =
          CountEligible(rows.times, first, last - first, rows.seed_times[i], rows.strict);
      const ExcludedRange range =
          ExcludedOf(rows.excluded, rows.num_excluded, first, first + eligible);
      out_eligible[i] = eligible;
      out_excluded[i + 1] = range.count();
      out_indptr[i + 1] = NumPicks(eligible - range.count(), fanout, replace);
    }
  });
  for (std::int64_t i = 0; i < rows.num_seeds; ++i) {
    out_indptr[i + 1] += out_indptr[i];
    out_excluded[i + 1] += out_excluded[i];
  }
}

template <typename W>
void SampleTemporal(const TemporalArgs<W>& args, const std::int64_t* out_indptr,
                    const std::int64_t* out_excluded, std::int64_t* out_positions) {
  const WeightedArgs<W>& of = args.edges;
  const bool is_alike = of.sums == nullptr && of.num_excluded == 0 && !args.latest;
  ParallelRows(out_indptr, of.num_seeds, kPickGrain, [&](std::int64_t begin, std::int64_t end) {
    PickSet set;
    WeightedTools tools;
    std::vector<std::int64_t> edges;
    std::vector<double> before;
    for (std::int64_t i = begin; i < end; ++i) {
      if (i + kAhead < end) Prefetch(of.indptr + of.seeds[i + kAhead]);
      const std::int64_t num_picks = out_indptr[i + 1] - out_indptr[i];
      auto* const positions = out_positions + out_indptr[i];
      if (is_alike) {  // the same picks, found faster
        SampleOptions options = of.options;
        options.key = TimeKey(options.key, args.stamps[i]);
        PickEdges(of.indptr[of.seeds[i]], args.eligible[i], num_picks,
                  static_cast<std::uint64_t>(of.node_ids[i]), options, set, positions);
        continue;
      }
      const std::size_t room = num_picks + out_excluded[i + 1] - out_excluded[i];
      if (edges.size() < room) {
        edges.resize(room);
        before.resize(room);
      }
      tools.Begin(num_picks);
      PickTemporalRow(args, i, num_picks, edges.data(), before.data(), tools, positions);
    }
  });
}

#define HOPFLOW_INSTANTIATE_TIME(T)                                                      \
  template void CountTemporal<T>(const TimedRows<T>&, std::int64_t, bool, std::int64_t*, \
                                 std::int64_t*, std::int64_t*);
#define HOPFLOW_INSTANTIATE(W)                                                 \
  template void SampleTemporal<W>(const TemporalArgs<W>&, const std::int64_t*, \
                                  const std::int64_t*, std::int64_t*);
HOPFLOW_INSTANTIATE_TIME(std::int64_t)
HOPFLOW_INSTANTIATE_TIME(double)
HOPFLOW_INSTANTIATE(float)
HOPFLOW_INSTANTIATE(double)
#undef HOPFLOW_INSTANTIATE
#undef HOPFLOW_INSTANTIATE_TIME

}  // namespace hopflow::cpu
