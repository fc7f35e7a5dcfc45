#include "core/dtype.h"
#include "cuda/launch.cuh"
#include "cuda/scan_sort.cuh"
#include "sample/pick_edges.cuh"
#include "sample/sample.h"

namespace hopflow::cuda {
namespace {

// What went wrong first, as one word: which check, then the place. The smallest word wins.
constexpr int kPlaceBits = 60;
enum Failure : std::uint64_t { kBadSeed = 0, kBadIndptr = 1 };

template <typename SeedId>
__global__ void __launch_bounds__(kBlock)
    CountKernel(std::int64_t num_nodes, std::int64_t num_edges, std::int64_t num_seeds,
                const std::int64_t* indptr, const SeedId* seeds, SampleOptions options,
                std::int64_t* out_counts, unsigned long long* failure) {
  const std::int64_t i = ThreadIndex();
  if (i > num_seeds) return;
  out_counts[i] = 0;
  if (i == num_seeds) return;
  const auto fail = [&](std::uint64_t what) {
    atomicMin(failure, static_cast<unsigned long long>(what << kPlaceBits | i));
  };
  const auto node = static_cast<std::int64_t>(seeds[i]);
  if (node < 0 || node >= num_nodes) return fail(kBadSeed);
  const std::int64_t first = indptr[node], last = indptr[node + 1];
  if (first < 0 || last < first || last > num_edges) return fail(kBadIndptr);
  out_counts[i] = NumPicks(last - first, options.fanout, options.replace);
}

template <typename Id, typename EdgeId>
struct WriteEdge {
  const Id* indices;
  const EdgeId* eids;
  Id* out_neighbors;
  EdgeId* out_eids;
  __device__ void operator()(std::int64_t place, std::int64_t position) const {
    out_neighbors[place] = indices[position];
    out_eids[place] = eids != nullptr ? eids[position] : static_cast<EdgeId>(position);
  }
};

}  // namespace

template <typename SeedId>
std::int64_t CountSampledNeighbors(std::int64_t num_nodes, std::int64_t num_edges,
                                   std::int64_t num_seeds, const std::int64_t* indptr,
                                   const SeedId* seeds, const SampleOptions& options,
                                   std::int64_t* out_indptr, Workspace& work) {
  auto* const failure = work.Of<unsigned long long>(1);
  Zero(failure, sizeof *failure, work, 0xff);
  Launch("count_sampled_neighbors", work, num_seeds + 1, CountKernel<SeedId>, num_nodes, num_edges,
         num_seeds, indptr, seeds, options, out_indptr, failure);
  ExclusiveSum(out_indptr, num_seeds + 1, work);
  unsigned long long failed = 0;
  std::int64_t total = 0;
  work.Unlocked([&] {
    const cudaStream_t stream = StreamOf(work.stream());
    Check(cudaMemcpyAsync(&total, out_indptr + num_seeds, sizeof total, cudaMemcpyDeviceToHost,
                          stream),
          "copy to the host");
    Check(cudaMemcpyAsync(&failed, failure, sizeof failed, cudaMemcpyDeviceToHost, stream),
          "copy to the host");
    Check(cudaStreamSynchronize(stream), "wait for the stream");
  });
  if (failed != ~0ull) {
    const auto i = static_cast<std::int64_t>(failed & ((1ull << kPlaceBits) - 1));
    SeedId seed;
    ReadBack(seeds + i, 1, &seed, work);
    CheckIndex(failed >> kPlaceBits != kBadSeed, "seeds[", i, "] is ", seed, ", but the graph has ",
               num_nodes, " nodes");
    CheckValue(false, "indptr[", seed, ":", seed + 2, "] is no range of the ", num_edges, " edges");
  }
  return total;
}

template <typename Id, typename SeedId, typename EdgeId>
void SampleNeighbors(std::int64_t num_seeds, std::int64_t num_edges, const std::int64_t* indptr,
                     const Id* indices, const EdgeId* eids, const SeedId* seeds,
                     const SeedId* node_ids, const std::int64_t* out_indptr,
                     const SampleOptions& options, Id* out_neighbors, EdgeId* out_eids,
                     Workspace& work) {
  if (node_ids == nullptr) node_ids = seeds;
  const PickArgs<SeedId> args{{nullptr, num_seeds}, indptr, seeds, node_ids, out_indptr, options};
  PickEdges(args, num_seeds, num_edges,
            WriteEdge<Id, EdgeId>{indices, eids, out_neighbors, out_eids}, work);
}

#define HOPFLOW_INSTANTIATE_SEED(SeedId)                                            \
  template std::int64_t CountSampledNeighbors<SeedId>(                              \
      std::int64_t, std::int64_t, std::int64_t, const std::int64_t*, const SeedId*, \
      const SampleOptions&, std::int64_t*, Workspace&);
#define HOPFLOW_INSTANTIATE(Id, SeedId, EdgeId)                                                 \
  template void SampleNeighbors<Id, SeedId, EdgeId>(                                            \
      std::int64_t, std::int64_t, const std::int64_t*, const Id*, const EdgeId*, const SeedId*, \
      const SeedId*, const std::int64_t*, const SampleOptions&, Id*, EdgeId*, Workspace&);
HOPFLOW_FOR_ID(HOPFLOW_INSTANTIATE_SEED)
HOPFLOW_FOR_IDS3(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE
#undef HOPFLOW_INSTANTIATE_SEED

}  // namespace hopflow::cuda
