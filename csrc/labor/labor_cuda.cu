#include <limits>

#include "core/dtype.h"
#include "cuda/launch.cuh"
#include "cuda/scan_sort.cuh"
#include "labor/labor.h"
#include "labor/labor_row.h"

namespace hopflow::cuda {
namespace {

// What went wrong first, as one word: which check, then the place. The smallest word wins.
constexpr int kPlaceBits = 60;
enum Failure : std::uint64_t { kBadSeed = 0, kBadIndptr = 1 };

// The first excluded edge at this position or behind it, counted from the first of all.
template <typename Id, typename W>
__device__ std::int64_t ExcludedFrom(const LaborArgs<Id, W>& args, std::int64_t position) {
  std::int64_t low = 0, high = args.num_excluded;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (args.excluded[middle] < position) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// The in-edges of one seed.
struct Row {
  std::int64_t first, last;                   // positions
  std::int64_t excluded_begin, excluded_end;  // of the excluded edges, those in this row
  __device__ std::int64_t degree() const { return last - first - (excluded_end - excluded_begin); }
};

template <typename Id, typename W>
__device__ Row RowAt(const LaborArgs<Id, W>& args, std::int64_t seed) {
  const std::int64_t node = args.seeds[seed];
  const std::int64_t first = args.indptr[node], last = args.indptr[node + 1];
  if (args.num_excluded == 0) return {first, last, 0, 0};
  return {first, last, ExcludedFrom(args, first), ExcludedFrom(args, last)};
}

template <typename Id, typename W>
__device__ bool IsExcluded(const LaborArgs<Id, W>& args, const Row& row, std::int64_t position) {
  if (row.excluded_begin == row.excluded_end) return false;
  const std::int64_t at = ExcludedFrom(args, position);
  return at < row.excluded_end && args.excluded[at] == position;
}

// The position of the edge with this number among those that are not excluded.
template <typename Id, typename W>
__device__ std::int64_t PositionOf(const LaborArgs<Id, W>& args, const Row& row,
                                   std::int64_t edge) {
  std::int64_t low = row.excluded_begin, high = row.excluded_end;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (args.excluded[middle] - row.first - (middle - row.excluded_begin) > edge) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return row.first + edge + (low - row.excluded_begin);
}

// What the edges of one seed are kept by.
struct Rule {
  bool all, none;
  double scale;       // of the weights, divided by their sum; without weights the probability
  double weight_sum;  // 1 without weights
};

template <typename Id, typename W>
__device__ double ChanceOf(const LaborArgs<Id, W>& args, const Rule& rule, std::int64_t position) {
  if (rule.all) return 1.0;
  if (args.weights == nullptr) return rule.scale;
  const double a = static_cast<double>(args.weights[position]) / rule.weight_sum;
  return Probability(rule.scale, a);
}

template <typename Id, typename W>
__device__ Rule RuleOf(const LaborArgs<Id, W>& args, const Row& row, std::int64_t seed,
                       const double* scales, const double* weight_sums) {
  const std::int64_t degree = row.degree();
  const bool all = args.fanout < 0 || degree <= args.fanout;
  const bool is_drawn = !all && args.fanout > 0;
  if (is_drawn && args.weights != nullptr) {
    return {false, false, scales[seed], weight_sums[seed]};
  }
  return {all, !all && !is_drawn, static_cast<double>(args.fanout) / static_cast<double>(degree),
          1.0};
}

// One seed a thread: sums are added in the order of the CPU's.
template <typename Id, typename W>
__global__ void __launch_bounds__(kBlock)
    ScaleKernel(LaborArgs<Id, W> args, double* scales, double* weight_sums) {
  const std::int64_t i = ThreadIndex();
  if (i >= args.num_seeds || args.fanout <= 0) return;
  const std::int64_t node = args.seeds[i];
  if (node < 0 || node >= args.num_nodes) return;
  const Row row = RowAt(args, i);
  if (row.first < 0 || row.last < row.first || row.last > args.num_edges) return;
  const std::int64_t degree = row.degree();
  if (degree <= args.fanout) return;
  double sum = 0;
  for (std::int64_t e = 0; e < degree; ++e) {
    sum += static_cast<double>(args.weights[PositionOf(args, row, e)]);
  }
  const auto a_of = [&](std::int64_t e) {
    return static_cast<double>(args.weights[PositionOf(args, row, e)]) / sum;
  };
  scales[i] = SolveScale(degree, args.fanout, a_of, a_of);
  weight_sums[i] = sum;
}

// A warp a seed; calls sink(rank, position, id) in every lane whose edge is kept, rank counting the
// kept edges before it. Returns their number.
template <typename Id, typename W, typename Sink>
__device__ std::int64_t ForKept(const LaborArgs<Id, W>& args, const Row& row, const Rule& rule,
                                Sink&& sink) {
  const int lane = threadIdx.x % kWarp;
  std::int64_t kept = 0;
  if (rule.none) return kept;
  for (std::int64_t begin = row.first; begin < row.last; begin += kWarp) {
    const std::int64_t position = begin + lane;
    bool is_kept = position < row.last && !IsExcluded(args, row, position);
    Id id{};
    if (is_kept) {
      id = args.indices[position];
      is_kept = rule.all || args.variates(static_cast<std::uint64_t>(id)) <
                                ThresholdOf(ChanceOf(args, rule, position));
    }
    const unsigned votes = __ballot_sync(0xffffffffu, static_cast<int>(is_kept));
    if (is_kept) sink(kept + __popc(votes & ((1u << lane) - 1)), position, id);
    kept += __popc(votes);
  }
  return kept;
}

template <typename Id, typename W>
__global__ void __launch_bounds__(kBlock)
    CountKernel(LaborArgs<Id, W> args, const double* scales, const double* weight_sums,
                std::int64_t* counts, unsigned long long* failure) {
  const std::int64_t i = ThreadIndex() / kWarp;
  if (i > args.num_seeds) return;
  const bool is_first = threadIdx.x % kWarp == 0;
  if (is_first) counts[i] = 0;
  if (i == args.num_seeds) return;
  const auto fail = [&](std::uint64_t what) {
    if (is_first) atomicMin(failure, static_cast<unsigned long long>(what << kPlaceBits | i));
  };
  const std::int64_t node = args.seeds[i];
  if (node < 0 || node >= args.num_nodes) return fail(kBadSeed);
  const std::int64_t first = args.indptr[node], last = args.indptr[node + 1];
  if (first < 0 || last < first || last > args.num_edges) return fail(kBadIndptr);
  const Row row = RowAt(args, i);
  const Rule rule = RuleOf(args, row, i, scales, weight_sums);
  const std::int64_t kept =
      rule.all ? row.degree() : ForKept(args, row, rule, [](std::int64_t, std::int64_t, Id) {});
  if (is_first) counts[i] = kept;
}

template <typename Id, typename W, typename Position>
__global__ void __launch_bounds__(kBlock)
    KeepKernel(LaborArgs<Id, W> args, const double* scales, const double* weight_sums,
               const std::int64_t* indptr, Id* neighbors, Position* positions) {
  const std::int64_t i = ThreadIndex() / kWarp;
  if (i >= args.num_seeds) return;
  const Row row = RowAt(args, i);
  const std::int64_t to = indptr[i];
  ForKept(args, row, RuleOf(args, row, i, scales, weight_sums),
          [&](std::int64_t rank, std::int64_t position, Id id) {
            neighbors[to + rank] = id;
            positions[to + rank] = static_cast<Position>(position);
          });
}

// One seed a thread, for the order of the sums.
template <typename Id, typename W, typename Position>
__global__ void __launch_bounds__(kBlock)
    WeighKernel(LaborArgs<Id, W> args, const double* scales, const double* weight_sums,
                const std::int64_t* indptr, const Position* positions, W* weights) {
  const std::int64_t i = ThreadIndex();
  if (i >= args.num_seeds) return;
  const Rule rule = RuleOf(args, RowAt(args, i), i, scales, weight_sums);
  const std::int64_t begin = indptr[i], end = indptr[i + 1];
  double unit = 1, factor = 1;
  const auto inverse_chance = [&](std::int64_t k) {
    const auto position = static_cast<std::int64_t>(positions[k]);
    return static_cast<double>(args.weights[position]) / unit / ChanceOf(args, rule, position);
  };
  if (args.normalize && end > begin) {
    // As on the CPU: ratios are all that counts.
    unit = 0;
    for (std::int64_t k = begin; k < end; ++k) {
      const auto weight = static_cast<double>(args.weights[positions[k]]);
      unit = weight > unit ? weight : unit;
    }
    double sum = 0;
    for (std::int64_t k = begin; k < end; ++k) sum += inverse_chance(k);
    factor = static_cast<double>(end - begin) / sum;
  }
  for (std::int64_t k = begin; k < end; ++k) {
    weights[k] = static_cast<W>(inverse_chance(k) * factor);
  }
}

}  // namespace

template <typename Id, typename W>
LaborEdges SampleLabor(const LaborArgs<Id, W>& args, Workspace& work) {
  const std::int64_t num_seeds = args.num_seeds;
  LaborEdges edges;
  edges.indptr = work.KeepOf<std::int64_t>(num_seeds + 1);
  auto* const failure = work.Of<unsigned long long>(1);
  Zero(failure, sizeof *failure, work, 0xff);
  double* scales = nullptr;
  double* weight_sums = nullptr;
  if (args.weights != nullptr) {
    scales = work.Of<double>(num_seeds);
    weight_sums = work.Of<double>(num_seeds);
    Launch("scale labor rows", work, num_seeds, ScaleKernel<Id, W>, args, scales, weight_sums);
  }
  Launch("count labor edges", work, (num_seeds + 1) * kWarp, CountKernel<Id, W>, args, scales,
         weight_sums, edges.indptr, failure);
  ExclusiveSum(edges.indptr, num_seeds + 1, work);
  unsigned long long failed = 0;
  Check(cudaMemcpyAsync(&edges.num_edges, edges.indptr + num_seeds, sizeof edges.num_edges,
                        cudaMemcpyDeviceToHost, StreamOf(work.stream())),
        "copy to the host");
  ReadBack(failure, 1, &failed, work);
  if (failed != ~0ull) {
    const auto i = static_cast<std::int64_t>(failed & ((1ull << kPlaceBits) - 1));
    std::int64_t seed = 0;
    ReadBack(args.seeds + i, 1, &seed, work);
    CheckIndex(failed >> kPlaceBits != kBadSeed, "seeds[", i, "] is ", seed, ", but the graph has ",
               args.num_nodes, " nodes");
    CheckValue(false, "indptr[", seed, ":", seed + 2, "] is no range of the ", args.num_edges,
               " edges");
  }
  auto* const neighbors = work.KeepOf<Id>(edges.num_edges);
  edges.neighbors = neighbors;
  const bool is_narrow = args.num_edges <= std::numeric_limits<std::int32_t>::max();
  edges.position_type = is_narrow ? DType::kInt32 : DType::kInt64;
  DispatchIndex(edges.position_type, "positions", [&]<typename Position>(Type<Position>) {
    auto* const positions = work.KeepOf<Position>(edges.num_edges);
    edges.positions = positions;
    Launch("keep labor edges", work, num_seeds * kWarp, KeepKernel<Id, W, Position>, args, scales,
           weight_sums, edges.indptr, neighbors, positions);
    if (!GivesWeights(args)) return;
    auto* const weights = work.KeepOf<W>(edges.num_edges);
    edges.weights = weights;
    Launch("weigh labor edges", work, num_seeds, WeighKernel<Id, W, Position>, args, scales,
           weight_sums, edges.indptr, positions, weights);
  });
  return edges;
}

#define HOPFLOW_INSTANTIATE(Id, W) \
  template LaborEdges SampleLabor<Id, W>(const LaborArgs<Id, W>&, Workspace&);
HOPFLOW_INSTANTIATE(std::int32_t, float)
HOPFLOW_INSTANTIATE(std::int32_t, double)
HOPFLOW_INSTANTIATE(std::int64_t, float)
HOPFLOW_INSTANTIATE(std::int64_t, double)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cuda
