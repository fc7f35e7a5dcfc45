#include "cuda/launch.cuh"
#include "cuda/scan_sort.cuh"
#include "sample_weighted/sample_weighted.h"
#include "sample_weighted/weighted_row.h"
#include "sample_weighted/weighted_tools.cuh"

namespace hopflow::cuda {
namespace {

// What went wrong first, as one word: which check, then the place. The smallest word wins.
constexpr int kPlaceBits = 60;
enum Failure : std::uint64_t { kBadSeed = 0, kBadIndptr = 1 };

// One row a thread: sums must be added in the order of the CPU's, and are made once.
template <typename W>
__global__ void __launch_bounds__(kBlock)
    SumRowsKernel(std::int64_t num_rows, const std::int64_t* indptr, const W* weights,
                  double* sums) {
  const std::int64_t row = ThreadIndex();
  if (row >= num_rows) return;
  double sum = 0;
  for (std::int64_t p = indptr[row]; p < indptr[row + 1]; ++p) {
    sum += static_cast<double>(weights[p]);
    sums[p] = sum;
  }
}

__global__ void __launch_bounds__(kBlock)
    CountKernel(std::int64_t num_nodes, std::int64_t num_edges, WeightedArgs<float> args,
                std::int64_t* out_counts, std::int64_t* out_excluded, unsigned long long* failure) {
  const std::int64_t i = ThreadIndex();
  if (i > args.num_seeds) return;
  out_counts[i] = 0;
  out_excluded[i] = 0;
  if (i == args.num_seeds) return;
  const auto fail = [&](std::uint64_t what) {
    atomicMin(failure, static_cast<unsigned long long>(what << kPlaceBits | i));
  };
  const std::int64_t node = args.seeds[i];
  if (node < 0 || node >= num_nodes) return fail(kBadSeed);
  const std::int64_t first = args.indptr[node], last = args.indptr[node + 1];
  if (first < 0 || last < first || last > num_edges) return fail(kBadIndptr);
  const ExcludedRange range = ExcludedOf(args.excluded, args.num_excluded, first, last);
  out_excluded[i] = range.count();
  out_counts[i] = NumPicks(last - first - range.count(), args.options.fanout, args.options.replace);
}

// One seed a thread.
template <typename W>
__global__ void __launch_bounds__(kBlock)
    PickKernel(WeightedArgs<W> args, const std::int64_t* out_indptr,
               const std::int64_t* out_excluded, std::int64_t* edges, double* before,
               std::int64_t* out_positions) {
  const std::int64_t i = ThreadIndex();
  if (i >= args.num_seeds) return;
  const std::int64_t to = out_indptr[i];
  const std::int64_t room = to + out_excluded[i];
  WeightedTools tools;
  PickRow(args, i, out_indptr[i + 1] - to, edges + room, before + room, tools, out_positions + to);
}

}  // namespace

template <typename W>
void SumRows(std::int64_t num_rows, const std::int64_t* indptr, const W* weights, double* sums,
             Workspace& work) {
  Launch("sum rows", work, num_rows, SumRowsKernel<W>, num_rows, indptr, weights, sums);
}

std::int64_t CountWeighted(std::int64_t num_nodes, std::int64_t num_edges,
                           const WeightedArgs<float>& args, std::int64_t* out_indptr,
                           std::int64_t* out_excluded, Workspace& work) {
  auto* const failure = work.Of<unsigned long long>(1);
  Zero(failure, sizeof *failure, work, 0xff);
  const std::int64_t num_seeds = args.num_seeds;
  Launch("count weighted neighbors", work, num_seeds + 1, CountKernel, num_nodes, num_edges, args,
         out_indptr, out_excluded, failure);
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
    ReadBack(args.seeds + i, 1, &seed, work);
    CheckIndex(failed >> kPlaceBits != kBadSeed, "seeds[", i, "] is ", seed, ", but the graph has ",
               num_nodes, " nodes");
    CheckValue(false, "indptr[", seed, ":", seed + 2, "] is no range of the ", num_edges, " edges");
  }
  return total;
}

template <typename W>
void SampleWeighted(const WeightedArgs<W>& args, const std::int64_t* out_indptr,
                    const std::int64_t* out_excluded, std::int64_t total,
                    std::int64_t* out_positions, Workspace& work) {
  if (total == 0) return;
  // An excluded edge counts once for every seed that has it.
  std::int64_t num_excluded = 0;
  if (args.num_excluded > 0) ReadBack(out_excluded + args.num_seeds, 1, &num_excluded, work);
  auto* const edges = work.Of<std::int64_t>(total + num_excluded);
  auto* const before = work.Of<double>(total + num_excluded);
  Launch("sample weighted neighbors", work, args.num_seeds, PickKernel<W>, args, out_indptr,
         out_excluded, edges, before, out_positions);
}

#define HOPFLOW_INSTANTIATE(W)                                                                \
  template void SumRows<W>(std::int64_t, const std::int64_t*, const W*, double*, Workspace&); \
  template void SampleWeighted<W>(const WeightedArgs<W>&, const std::int64_t*,                \
                                  const std::int64_t*, std::int64_t, std::int64_t*, Workspace&);
HOPFLOW_INSTANTIATE(float)
HOPFLOW_INSTANTIATE(double)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cuda
