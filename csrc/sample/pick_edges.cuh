// The picks of many seeds on the device: picks.h with the draws of a seed made side by side.
#pragma once

#include <cstdint>

#include "core/rng.h"
#include "cuda/launch.cuh"
#include "sample/picks.h"
#include "sample/sample.h"

namespace hopflow::cuda {

// A number that the host knows, or that an earlier kernel leaves on the device.
struct Count {
  const std::int64_t* on_device;  // null: value
  std::int64_t value;
  __device__ std::int64_t Get() const { return on_device != nullptr ? *on_device : value; }
};

template <typename SeedId>
struct PickArgs {
  Count num_seeds;
  const std::int64_t* indptr;      // of the graph
  const SeedId* seeds;             // [num_seeds]
  const SeedId* node_ids;          // [num_seeds], whose draws
  const std::int64_t* out_indptr;  // [num_seeds + 1], sums of NumPicks
  SampleOptions options;
};

// The edges of one seed.
struct Picked {
  std::int64_t begin;  // position of the first in-edge in the graph
  std::int64_t degree;
  std::int64_t to;  // where the picks go
  std::int64_t num_picks;
  NodeRng rng;
};

template <typename SeedId>
__device__ Picked PickedAt(const PickArgs<SeedId>& a, std::int64_t seed) {
  const std::int64_t to = a.out_indptr[seed], num_picks = a.out_indptr[seed + 1] - to;
  const auto node = static_cast<std::int64_t>(a.seeds[seed]);
  const NodeRng rng(a.options.key, static_cast<std::uint64_t>(a.node_ids[seed]));
  if (num_picks == 0) return {0, 0, to, 0, rng};  // such a node may be none of the graph's
  const std::int64_t begin = a.indptr[node];
  return {begin, a.indptr[node + 1] - begin, to, num_picks, rng};
}

// Whether all edges are kept, in the graph's order.
__device__ inline bool KeepsAll(const Picked& at, const SampleOptions& options) {
  return options.fanout < 0 || (!options.replace && at.num_picks == at.degree);
}

// One team a seed, one draw a lane; without replacement num_picks <= kLanes. Calls
// sink(place, position) for every pick, `place` counting from out_indptr[0].
template <int kLanes, typename SeedId, typename Sink>
__global__ void __launch_bounds__(kBlock) PickKernel(PickArgs<SeedId> a, Sink sink) {
  const std::int64_t seed = ThreadIndex() / kLanes;
  if (seed >= a.num_seeds.Get()) return;
  const int lane = threadIdx.x % kLanes;
  const Picked at = PickedAt(a, seed);
  if (KeepsAll(at, a.options) || a.options.replace) {
    const bool all = KeepsAll(at, a.options);
    for (std::int64_t i = lane; i < at.num_picks; i += kLanes) {
      sink(at.to + i, at.begin + (all ? i : at.rng.Below(i, at.degree)));
    }
    return;
  }
  const unsigned team = TeamMask<kLanes>();
  const int first_lane = threadIdx.x % kWarp / kLanes * kLanes;
  const bool draws = lane < at.num_picks;
  const std::int64_t last = at.degree - at.num_picks + lane;
  // Lanes without a draw bring numbers that no draw can be equal to.
  const std::int64_t t = draws ? at.rng.Below(lane, last + 1) : -1 - lane;
  const unsigned equal = __match_any_sync(team, t);
  bool is_taken = __ffs(static_cast<int>(equal)) - 1 - first_lane < lane;
  const std::int64_t rival = draws ? FloydRival(at.degree, at.num_picks, lane, t) : -1;
  bool is_known = is_taken || rival < 0;
  while (__any_sync(team, !is_known)) {
    const int from = rival < 0 ? lane : static_cast<int>(rival);
    const bool rival_known = __shfl_sync(team, static_cast<int>(is_known), from, kLanes) != 0;
    const bool rival_taken = __shfl_sync(team, static_cast<int>(is_taken), from, kLanes) != 0;
    if (!is_known && rival_known) {
      is_known = true;
      is_taken = rival_taken;
    }
  }
  if (draws) sink(at.to + lane, at.begin + (is_taken ? last : t));
}

// A warp's draws for one seed, and a hash table from a draw's value to the first step that drew it.
struct DrawTable {
  std::int64_t* draws;  // [num_picks]
  std::int32_t* slots;  // [capacity], a step, or -1
  std::int64_t mask;    // capacity - 1

  __device__ std::int64_t Home(std::int64_t t) const {
    return static_cast<std::int64_t>(Mix64(static_cast<std::uint64_t>(t))) & mask;
  }
  __device__ void Insert(std::int32_t step) const {
    for (std::int64_t slot = Home(draws[step]);; slot = (slot + 1) & mask) {
      const std::int32_t there = atomicCAS(slots + slot, -1, step);
      if (there == -1) return;
      if (draws[there] == draws[step]) {
        atomicMin(slots + slot, step);
        return;
      }
    }
  }
  __device__ std::int32_t FirstStepOf(std::int64_t t) const {
    std::int64_t slot = Home(t);
    while (draws[slots[slot]] != t) slot = (slot + 1) & mask;
    return slots[slot];
  }
};

// For more draws than a warp has lanes. Warps take seeds in turn and keep their tables.
template <typename SeedId, typename Sink>
__global__ void __launch_bounds__(kBlock)
    PickManyKernel(PickArgs<SeedId> a, std::int64_t most_picks, std::int64_t capacity,
                   std::int64_t num_warps,
                   std::int64_t* draws,  // [num_warps, most_picks]
                   std::int32_t* slots,  // [num_warps, capacity]
                   Sink sink) {
  const std::int64_t warp = ThreadIndex() / kWarp;
  if (warp >= num_warps) return;
  const int lane = threadIdx.x % kWarp;
  const DrawTable table{draws + warp * most_picks, slots + warp * capacity, capacity - 1};
  for (std::int64_t seed = warp; seed < a.num_seeds.Get(); seed += num_warps) {
    const Picked at = PickedAt(a, seed);
    if (KeepsAll(at, a.options)) {
      for (std::int64_t i = lane; i < at.num_picks; i += kWarp) sink(at.to + i, at.begin + i);
      continue;
    }
    const std::int64_t first_last = at.degree - at.num_picks;
    for (std::int64_t i = lane; i < capacity; i += kWarp) table.slots[i] = -1;
    for (std::int64_t i = lane; i < at.num_picks; i += kWarp) {
      table.draws[i] = at.rng.Below(i, first_last + i + 1);
    }
    __syncwarp();
    for (std::int64_t i = lane; i < at.num_picks; i += kWarp) {
      table.Insert(static_cast<std::int32_t>(i));
    }
    __syncwarp();
    for (std::int64_t i = lane; i < at.num_picks; i += kWarp) {
      bool is_taken = false;
      for (std::int64_t step = i; step >= 0 && !is_taken;) {
        is_taken = table.FirstStepOf(table.draws[step]) < step;
        step = FloydRival(at.degree, at.num_picks, step, table.draws[step]);
      }
      sink(at.to + i, at.begin + (is_taken ? first_last + i : table.draws[i]));
    }
    __syncwarp();  // the tables are needed for the next seed
  }
}

// Picks the edges of at most `most_seeds` seeds of a graph of `num_edges` edges.
template <typename SeedId, typename Sink>
void PickEdges(const PickArgs<SeedId>& args, std::int64_t most_seeds, std::int64_t num_edges,
               const Sink& sink, Workspace& work) {
  const SampleOptions& options = args.options;
  const std::int64_t fanout = options.fanout < 0 ? kWarp : options.fanout;
  if (options.fanout < 0 || options.replace || fanout <= kWarp || fanout >= num_edges) {
    DispatchTeam(fanout, [&]<int kLanes>(std::integral_constant<int, kLanes>) {
      Launch("sample_neighbors", work, most_seeds * kLanes, PickKernel<kLanes, SeedId, Sink>, args,
             sink);
    });
    return;
  }
  std::int64_t capacity = 64;
  while (capacity < 2 * fanout) capacity *= 2;
  // As many warps as a large device runs at a time, fewer if their tables are large.
  constexpr std::int64_t kMostWarps = 2048, kMostBytes = 64 << 20;
  const std::int64_t bytes = capacity * 4 + fanout * 8;
  const std::int64_t num_warps =
      std::max<std::int64_t>(1, std::min({kMostBytes / bytes, kMostWarps, most_seeds}));
  auto* const draws = work.Of<std::int64_t>(num_warps * fanout);
  auto* const slots = work.Of<std::int32_t>(num_warps * capacity);
  Launch("sample_neighbors", work, num_warps * kWarp, PickManyKernel<SeedId, Sink>, args, fanout,
         capacity, num_warps, draws, slots, sink);
}

}  // namespace hopflow::cuda
