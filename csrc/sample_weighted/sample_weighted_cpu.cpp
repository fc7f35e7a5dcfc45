#include "sample_weighted/sample_weighted.h"

#include <vector>

#include "core/check.h"
#include "core/parallel.h"
#include "core/prefetch.h"
#include "sample_weighted/weighted_row.h"
#include "sample_weighted/weighted_tools.h"

namespace hopflow::cpu {
namespace {

constexpr std::int64_t kSumGrain = 65536;
constexpr std::int64_t kCountGrain = 4096;
constexpr std::int64_t kPickGrain = 2048;
constexpr std::int64_t kAhead = 8;  // seeds whose rows are on their way

}  // namespace

template <typename W>
void SumRows(std::int64_t num_rows, const std::int64_t* indptr, const W* weights, double* sums) {
  ParallelRows(indptr, num_rows, kSumGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      double sum = 0;
      for (std::int64_t p = indptr[row]; p < indptr[row + 1]; ++p) {
        sum += static_cast<double>(weights[p]);
        sums[p] = sum;
      }
    }
  });
}

void CountWeighted(std::int64_t num_nodes, std::int64_t num_edges, const WeightedArgs<float>& args,
                   std::int64_t* out_indptr, std::int64_t* out_excluded) {
  out_indptr[0] = out_excluded[0] = 0;
  ParallelFor(args.num_seeds, kCountGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t node = args.seeds[i];
      CheckIndex(0 <= node && node < num_nodes, "seeds[", i, "] is ", node, ", but the graph has ",
                 num_nodes, " nodes");
      const std::int64_t first = args.indptr[node], last = args.indptr[node + 1];
      CheckValue(0 <= first && first <= last && last <= num_edges, "indptr[", node, ":", node + 2,
                 "] is [", first, ", ", last, "]: no range of the ", num_edges, " edges");
      const ExcludedRange range = ExcludedOf(args.excluded, args.num_excluded, first, last);
      out_excluded[i + 1] = range.count();
      out_indptr[i + 1] =
          NumPicks(last - first - range.count(), args.options.fanout, args.options.replace);
    }
  });
  for (std::int64_t i = 0; i < args.num_seeds; ++i) {
    out_indptr[i + 1] += out_indptr[i];
    out_excluded[i + 1] += out_excluded[i];
  }
}

template <typename W>
void SampleWeighted(const WeightedArgs<W>& args, const std::int64_t* out_indptr,
                    const std::int64_t* out_excluded, std::int64_t* out_positions) {
  ParallelRows(out_indptr, args.num_seeds, kPickGrain, [&](std::int64_t begin, std::int64_t end) {
    WeightedTools tools;
    std::vector<std::int64_t> edges;
    std::vector<double> before;
    for (std::int64_t i = begin; i < end; ++i) {
      if (i + 2 * kAhead < end) Prefetch(args.indptr + args.seeds[i + 2 * kAhead]);
      if (args.sums != nullptr && i + kAhead < end) {
        const std::int64_t node = args.seeds[i + kAhead];
        // Where the row's total is, and where most searches begin.
        const std::int64_t first = args.indptr[node], last = args.indptr[node + 1];
        if (first < last) {
          Prefetch(args.sums + last - 1);
          Prefetch(args.sums + first + (last - first) / 2);
        }
      }
      const std::int64_t num_picks = out_indptr[i + 1] - out_indptr[i];
      const std::size_t room = num_picks + out_excluded[i + 1] - out_excluded[i];
      if (edges.size() < room) {
        edges.resize(room);
        before.resize(room);
      }
      tools.Begin(num_picks);
      PickRow(args, i, num_picks, edges.data(), before.data(), tools,
              out_positions + out_indptr[i]);
    }
  });
}

#define HOPFLOW_INSTANTIATE(W)                                                    \
  template void SumRows<W>(std::int64_t, const std::int64_t*, const W*, double*); \
  template void SampleWeighted<W>(const WeightedArgs<W>&, const std::int64_t*,    \
                                  const std::int64_t*, std::int64_t*);
HOPFLOW_INSTANTIATE(float)
HOPFLOW_INSTANTIATE(double)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
