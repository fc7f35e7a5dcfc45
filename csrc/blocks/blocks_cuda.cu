#include "blocks/blocks.h"

#include <limits>
#include <vector>

#include "core/check.h"
#include "core/dtype.h"
#include "cuda/id_table.cuh"
#include "cuda/launch.cuh"
#include "cuda/scan_sort.cuh"
#include "sample/pick_edges.cuh"

namespace hopflow::cuda {
namespace {

constexpr std::int64_t kMostPlaces = std::numeric_limits<std::int32_t>::max();

__device__ void Fail(std::int64_t* failure, std::uint64_t what, std::int64_t at) {
  atomicMin(reinterpret_cast<unsigned long long*>(failure),
            static_cast<unsigned long long>(what << kFailureBits | at));
}

__global__ void SetSizesKernel(std::int64_t num_seeds, std::int64_t* given, std::int64_t* none,
                               std::int64_t* failure) {
  if (ThreadIndex() != 0) return;
  *given = num_seeds;
  *none = 0;
  *failure = -1;  // as unsigned, the largest there is
}

template <typename Id>
__global__ void __launch_bounds__(kBlock)
    MarkSeedsKernel(DeviceIdTable<Id> table, std::int64_t num_nodes, std::int64_t num_seeds,
                    const Id* seeds, std::uint32_t* slots, std::int64_t* failure) {
  const std::int64_t i = ThreadIndex();
  if (i >= num_seeds) return;
  const Id id = seeds[i];
  const bool ok = id >= 0 && id < num_nodes;
  if (!ok) Fail(failure, kBadSeed, i);
  slots[i] = ok ? table.Mark(id, static_cast<std::uint32_t>(i)) : 0;
}

// Numbers that ids have already, in a new table.
template <typename Id>
__global__ void __launch_bounds__(kBlock)
    ReinsertKernel(DeviceIdTable<Id> table, const std::int64_t* num_ids, const Id* ids) {
  const std::int64_t i = ThreadIndex();
  if (i < *num_ids) table.values[table.Insert(ids[i])] = static_cast<std::uint32_t>(i);
}

// counts[i] = edges that destination i keeps; 0 from *num_dst to most_dst.
template <typename Id>
__global__ void __launch_bounds__(kBlock)
    CountKernel(std::int64_t num_edges, std::int64_t most_dst, const std::int64_t* num_dst,
                const std::int64_t* indptr, const Id* ids, SampleOptions options,
                std::int64_t* counts,  // [most_dst + 1]
                std::int64_t* failure) {
  const std::int64_t i = ThreadIndex();
  if (i > most_dst) return;
  counts[i] = 0;
  if (i >= *num_dst) return;
  const std::int64_t first = indptr[ids[i]], last = indptr[ids[i] + 1];
  if (first < 0 || last < first || last > num_edges) return Fail(failure, kBadIndptr, ids[i]);
  counts[i] = NumPicks(last - first, options.fanout, options.replace);
}

// A picked edge: its position is written and its source marked.
template <typename Id, typename Position>
struct MarkEdge {
  DeviceIdTable<Id> table;
  std::int64_t num_nodes;
  const Id* indices;
  Position* positions;
  std::uint32_t* slots;
  std::int64_t* failure;
  __device__ void operator()(std::int64_t place, std::int64_t position) const {
    positions[place] = static_cast<Position>(position);
    const Id id = indices[position];
    const bool ok = id >= 0 && id < num_nodes;
    if (!ok) Fail(failure, kBadIndex, position);
    slots[place] = ok ? table.Mark(id, static_cast<std::uint32_t>(place)) : 0;
  }
};

__global__ void CopySizeKernel(const std::int64_t* from, std::int64_t* to) {
  if (ThreadIndex() == 0) *to = *from;
}

// Grows `ids` and the table with the batch. Capacities come from fanouts; the numbers themselves
// stay on the device.
template <typename Id>
class Builder {
 public:
  Builder(const CscView& graph, const BlocksOptions& options, Workspace& work)
      : graph_(graph), options_(options), work_(work) {}

  DeviceBlocks Run(std::int64_t num_seeds, const Id* seeds) {
    const auto num_hops = static_cast<std::int64_t>(options_.hops.size());
    DeviceBlocks blocks;
    blocks.position_type = graph_.num_edges <= kMostPlaces ? DType::kInt32 : DType::kInt64;
    blocks.num_sizes = 2 + 2 * num_hops;
    blocks.sizes = work_.KeepOf<std::int64_t>(blocks.num_sizes);
    failure_ = blocks.sizes + blocks.num_sizes - 1;
    auto* const given = work_.Of<std::int64_t>(2);
    Launch("sample_blocks", work_, 1, SetSizesKernel, num_seeds, given, given + 1, failure_);
    most_ids_ = std::min(num_seeds, graph_.num_nodes);
    CheckPlaces(num_seeds);
    Reserve(MostIdsFrom(0), nullptr);
    blocks.seed_inverse = work_.KeepOf<std::int64_t>(num_seeds);
    auto* const slots = work_.Of<std::uint32_t>(num_seeds);
    Launch("sample_blocks", work_, num_seeds, MarkSeedsKernel<Id>, table_, graph_.num_nodes,
           num_seeds, seeds, slots, failure_);
    NumberMarked(table_, num_seeds, given, slots, given + 1, ids_, blocks.sizes,
                 blocks.seed_inverse, work_);
    const std::int64_t* num_ids = blocks.sizes;
    for (std::int64_t h = 0; h < num_hops; ++h) {
      std::int64_t* const sizes = blocks.sizes + 1 + 2 * h;
      DispatchIndex(blocks.position_type, "positions", [&]<typename Position>(Type<Position>) {
        blocks.hops.push_back(Hop<Position>(h, num_ids, sizes));
      });
      num_ids = sizes + 1;
    }
    blocks.src_ids = ids_;
    return blocks;
  }

 private:
  // Edges of hop h at most, given its destinations; -1 if fanouts do not tell.
  std::int64_t MostEdges(std::int64_t h, std::int64_t most_dst) const {
    const std::int64_t fanout = options_.hops[h].front().fanout;
    if (fanout < 0) return -1;
    const std::int64_t most = most_dst * fanout;
    return options_.replace ? most : std::min(most, graph_.num_edges);
  }

  // Ids that there will be at most before the next hop whose edges only the device can count.
  std::int64_t MostIdsFrom(std::int64_t h) const {
    std::int64_t most = most_ids_;
    for (; h < static_cast<std::int64_t>(options_.hops.size()); ++h) {
      const std::int64_t edges = MostEdges(h, most);
      if (edges < 0) break;
      CheckPlaces(edges);
      most = std::min(most + edges, graph_.num_nodes);
    }
    return most;
  }

  static void CheckPlaces(std::int64_t places) {
    CheckValue(places <= kMostPlaces, "sample_blocks: a hop of up to ", places,
               " edges; on CUDA at most 2^31 - 1. Take fewer seeds or smaller fanouts");
  }

  // Room for so many ids, with those that are there.
  void Reserve(std::int64_t most, const std::int64_t* num_ids) {
    CheckPlaces(most);
    if (ids_ != nullptr && most <= reserved_) return;
    const Id* const before = ids_;
    ids_ = work_.KeepOf<Id>(most);
    table_ = NewIdTable<Id>(most, work_);
    reserved_ = most;
    if (before == nullptr) return;
    Check(cudaMemcpyAsync(ids_, before, most_ids_ * sizeof(Id), cudaMemcpyDeviceToDevice,
                          StreamOf(work_.stream())),
          "copy ids");
    Launch("sample_blocks", work_, most_ids_, ReinsertKernel<Id>, table_, num_ids, ids_);
  }

  template <typename Position>
  DeviceHop Hop(std::int64_t h, const std::int64_t* num_dst, std::int64_t* sizes) {
    const HopOptions& only = options_.hops[h].front();
    const SampleOptions sample{.fanout = only.fanout, .replace = options_.replace, .key = only.key};
    const std::int64_t most_dst = most_ids_;
    DeviceHop hop;
    hop.indptr = work_.KeepOf<std::int64_t>(most_dst + 1);
    Launch("sample_blocks", work_, most_dst + 1, CountKernel<Id>, graph_.num_edges, most_dst,
           num_dst, graph_.indptr, ids_, sample, hop.indptr, failure_);
    ExclusiveSum(hop.indptr, most_dst + 1, work_);
    const std::int64_t* const num_edges = hop.indptr + most_dst;
    Launch("sample_blocks", work_, 1, CopySizeKernel, num_edges, sizes);
    std::int64_t most_edges = MostEdges(h, most_dst);
    if (most_edges < 0) {
      // The one case in which the host has to wait: all edges are kept, and it must make room.
      ReadBack(num_edges, 1, &most_edges, work_);
      CheckPlaces(most_edges);
      most_ids_ = std::min(most_dst + most_edges, graph_.num_nodes);
      const std::int64_t reserve = MostIdsFrom(h + 1);
      most_ids_ = most_dst;  // so many may be there to be kept
      Reserve(reserve, num_dst);
    }
    hop.indices = work_.KeepOf<std::int32_t>(most_edges);
    auto* const positions = work_.KeepOf<Position>(most_edges);
    hop.positions = positions;
    auto* const slots = work_.Of<std::uint32_t>(most_edges);
    const PickArgs<Id> args{{num_dst, 0}, graph_.indptr, ids_, ids_, hop.indptr, sample};
    const MarkEdge<Id, Position> mark{
        table_, graph_.num_nodes, static_cast<const Id*>(graph_.indices), positions,
        slots,  failure_};
    PickEdges(args, most_dst, graph_.num_edges, mark, work_);
    NumberMarked(table_, most_edges, num_edges, slots, num_dst, ids_, sizes + 1, hop.indices,
                 work_);
    most_ids_ = std::min(most_dst + most_edges, graph_.num_nodes);
    return hop;
  }

  const CscView& graph_;
  const BlocksOptions& options_;
  Workspace& work_;
  DeviceIdTable<Id> table_{};
  Id* ids_ = nullptr;  // [reserved]
  std::int64_t reserved_ = 0;
  std::int64_t most_ids_ = 0;  // ids at most so far
  std::int64_t* failure_ = nullptr;
};

}  // namespace

DeviceBlocks SampleBlocks(const CscView& graph, std::int64_t num_seeds, const void* seeds,
                          const BlocksOptions& options, Workspace& work) {
  DeviceBlocks blocks;
  DispatchIndex(graph.id_type, "indices", [&]<typename Id>(Type<Id>) {
    blocks = Builder<Id>(graph, options, work).Run(num_seeds, static_cast<const Id*>(seeds));
  });
  return blocks;
}

}  // namespace hopflow::cuda
