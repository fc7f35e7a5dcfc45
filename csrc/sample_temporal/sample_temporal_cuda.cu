#include "cuda/launch.cuh"
#include "cuda/scan_sort.cuh"
#include "sample_temporal/sample_temporal.h"
#include "sample_temporal/temporal_row.h"
#include "sample_weighted/weighted_tools.cuh"

namespace hopflow::cuda {
namespace {

// What went wrong first, as one word: which check, then the place. The smallest word wins.
constexpr int kPlaceBits = 60;
enum Failure : std::uint64_t { kBadSeed = 0, kBadIndptr = 1 };

template <typename T>
__global__ void __launch_bounds__(kBlock)
    CountKernel(TimedRows<T> rows, std::int64_t fanout, bool replace, std::int64_t* out_counts,
                std::int64_t* out_excluded, std::int64_t* out_eligible,
                unsigned long long* failure) {
  const std::int64_t i = ThreadIndex();
  if (i > rows.num_seeds) return;
  out_counts[i] = 0;
  out_excluded[i] = 0;
  if (i == rows.num_seeds) return;
  out_eligible[i] = 0;
  const auto fail = [&](std::uint64_t what) {
    atomicMin(failure, static_cast<unsigned long long>(what << kPlaceBits | i));
  };
  const std::int64_t node = rows.seeds[i];
  if (node < 0 || node >= rows.num_nodes) return fail(kBadSeed);
  const std::int64_t first = rows.indptr[node], last = rows.indptr[node + 1];
  if (first < 0 || last < first || last > rows.num_edges) return fail(kBadIndptr);
  const std::int64_t eligible =
      CountEligible(rows.times, first, last - first, rows.seed_times[i], rows.strict);
  const ExcludedRange range = ExcludedOf(rows.excluded, rows.num_excluded, first, first + eligible);
  out_eligible[i] = eligible;
  out_excluded[i] = range.count();
  out_counts[i] = NumPicks(eligible - range.count(), fanout, replace);
}

// One seed a thread.
template <typename W>
__global__ void __launch_bounds__(kBlock)
    PickKernel(TemporalArgs<W> args, const std::int64_t* out_indptr,
               const std::int64_t* out_excluded, std::int64_t* edges, double* before,
               std::int64_t* out_positions) {
  const std::int64_t i = ThreadIndex();
  if (i >= args.edges.num_seeds) return;
  const std::int64_t to = out_indptr[i];
  const std::int64_t room = to + out_excluded[i];
  WeightedTools tools;
  PickTemporalRow(args, i, out_indptr[i + 1] - to, edges + room, before + room, tools,
                  out_positions + to);
}

}  // namespace

template <typename T>
std::int64_t CountTemporal(const TimedRows<T>& rows, std::int64_t fanout, bool replace,
                           std::int64_t* out_indptr, std::int64_t* out_excluded,
                           std::int64_t* out_eligible, Workspace& work) {
  auto* const failure = work.Of<unsigned long long>(1);
  Zero(failure, sizeof *failure, work, 0xff);
  const std::int64_t num_seeds = rows.num_seeds;
  Launch("count temporal neighbors", work, num_seeds + 1, CountKernel<T>, rows, fanout, replace,
         out_indptr, out_excluded, out_eligible, failure);
  ExclusiveSum(out_indptr, num_seeds + 1, work);
  ExclusiveSum(out_excluded, num_seeds + 1, work);
  unsigned long long failed = 0;
  std::int64_t total = 0;
  Check(cudaMemcpyAsync(&total, out_indptr + num_seeds, sizeof total, cudaMemcpyDeviceToHost,
                        StreamOf(work.stream())),
        "copy to the host");
  ReadBack(failure, 1, &failed, work);
  if (failed != ~0ull) {
    const auto i = static_cast<std::int64_t>(failed & ((1ull << kPlaceBits) - 1));
    std::int64_t seed = 0;
    ReadBack(rows.seeds + i, 1, &seed, work);
    CheckIndex(failed >> kPlaceBits != kBadSeed, "seeds[", i, "] is ", seed, ", but the graph has ",
               rows.num_nodes, " nodes");
    CheckValue(false, "indptr[", seed, ":", seed + 2, "] is no range of the ", rows.num_edges,
               " edges");
  }
  return total;
}

template <typename W>
void SampleTemporal(const TemporalArgs<W>& args, const std::int64_t* out_indptr,
                    const std::int64_t* out_excluded, std::int64_t total,
                    std::int64_t* out_positions, Workspace& work) {
  if (total == 0) return;
  const std::int64_t num_seeds = args.edges.num_seeds;
  // An excluded edge counts once for every seed that has it.
  std::int64_t num_excluded = 0;
  if (args.edges.num_excluded > 0) ReadBack(out_excluded + num_seeds, 1, &num_excluded, work);
  auto* const edges = work.Of<std::int64_t>(total + num_excluded);
  auto* const before = work.Of<double>(total + num_excluded);
  Launch("sample temporal neighbors", work, num_seeds, PickKernel<W>, args, out_indptr,
         out_excluded, edges, before, out_positions);
}

#define HOPFLOW_INSTANTIATE_TIME(T)                                                              \
  template std::int64_t CountTemporal<T>(const TimedRows<T>&, std::int64_t, bool, std::int64_t*, \
                                         std::int64_t*, std::int64_t*, Workspace&);
#define HOPFLOW_INSTANTIATE(W)                                                 \
  template void SampleTemporal<W>(const TemporalArgs<W>&, const std::int64_t*, \
                                  const std::int64_t*, std::int64_t, std::int64_t*, Workspace&);
HOPFLOW_INSTANTIATE_TIME(std::int64_t)
HOPFLOW_INSTANTIATE_TIME(double)
HOPFLOW_INSTANTIATE(float)
HOPFLOW_INSTANTIATE(double)
#undef HOPFLOW_INSTANTIATE
#undef HOPFLOW_INSTANTIATE_TIME

}  // namespace hopflow::cuda
