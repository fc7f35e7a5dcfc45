#include "core/dtype.h"
#include "cuda/launch.cuh"
#include "random_walk/random_walk.h"
#include "random_walk/walk_steps.h"

namespace hopflow::cuda {
namespace {

__device__ WalkRow RowOf(const std::int64_t* indptr, std::int64_t node) {
  return {indptr[node], indptr[node + 1] - indptr[node]};
}

// Writes a step of a walk; position -1: it has ended. Returns where the walk is then, or -1.
template <typename Id>
__device__ std::int64_t Write(const WalkArgs<Id>& args, const WalkEdges& edges, std::int64_t walk,
                              std::int64_t step, std::int64_t position) {
  const std::int64_t node = position < 0 ? -1 : edges.indices.Get(position);
  args.traces[walk * (args.num_steps + 1) + step + 1] = static_cast<Id>(node);
  if (args.eids != nullptr) {
    const bool is_own = position < 0 || edges.eids.data == nullptr;
    args.eids[walk * args.num_steps + step] =
        static_cast<Id>(is_own ? position : edges.eids.Get(position));
  }
  return node;
}

template <typename Id>
__global__ void __launch_bounds__(kBlock) BeginKernel(WalkArgs<Id> args) {
  const std::int64_t walk = ThreadIndex();
  if (walk >= args.num_walks) return;
  args.traces[walk * (args.num_steps + 1)] = args.seeds[walk];
}

// Steps [begin, end) of one walk a thread, along one relation; the walk goes on where its trace is.
template <typename Id>
__global__ void __launch_bounds__(kBlock)
    WalkKernel(WalkArgs<Id> args, WalkEdges edges, double restart, std::int64_t begin,
               std::int64_t end) {
  const std::int64_t walk = ThreadIndex();
  if (walk >= args.num_walks) return;
  const NodeRng rng(args.key, static_cast<std::uint64_t>(walk));
  std::int64_t node = args.traces[walk * (args.num_steps + 1) + begin];
  for (std::int64_t step = begin; step < end; ++step) {
    std::int64_t position = -1;
    if (node >= 0 && !EndsBefore(rng, step, restart)) {
      const WalkRow row = RowOf(edges.indptr, node);
      if (row.degree > 0) position = DrawEdge(edges.sums, row, EdgeBits(rng, step));
    }
    node = Write(args, edges, walk, step, position);
  }
}

// What Node2vecEdge reads.
struct Rows {
  const std::int64_t* all_indptr;
  __device__ WalkRow AllOf(std::int64_t node) const { return RowOf(all_indptr, node); }
};

template <typename Id>
__global__ void __launch_bounds__(kBlock) Node2vecKernel(WalkArgs<Id> args, Node2vecLaw law) {
  const std::int64_t walk = ThreadIndex();
  if (walk >= args.num_walks) return;
  const std::uint64_t key = FoldKey(args.key, static_cast<std::uint64_t>(walk));
  const Rows all{law.all_indptr};
  std::int64_t node = args.seeds[walk], before = -1;
  for (std::int64_t step = 0; step < args.num_steps; ++step) {
    std::int64_t position = -1;
    const WalkRow row = node < 0 ? WalkRow{0, 0} : RowOf(law.edges.indptr, node);
    if (row.degree > 0) {
      const NodeRng rng(key, static_cast<std::uint64_t>(step));
      position = step > 0 ? Node2vecEdge(law, all, row, before, rng)
                          : DrawEdge(law.edges.sums, row, rng.Bits(0));
    }
    before = node;
    node = Write(args, law.edges, walk, step, position);
  }
}

}  // namespace

template <typename Id>
void RandomWalk(const WalkArgs<Id>& args, const WalkPath& path, Workspace& work) {
  Launch("random walk", work, args.num_walks, BeginKernel<Id>, args);
  for (std::int64_t begin = 0, end = 0; begin < args.num_steps; begin = end) {
    // One launch for steps that are alike.
    while (end < args.num_steps && path.path[end] == path.path[begin] &&
           path.restart[end] == path.restart[begin]) {
      ++end;
    }
    Launch("random walk", work, args.num_walks, WalkKernel<Id>, args,
           path.relations[path.path[begin]], path.restart[begin], begin, end);
  }
}

template <typename Id>
void Node2vecWalk(const WalkArgs<Id>& args, const Node2vecLaw& law, Workspace& work) {
  Launch("random walk", work, args.num_walks, BeginKernel<Id>, args);
  Launch("node2vec walk", work, args.num_walks, Node2vecKernel<Id>, args, law);
}

#define HOPFLOW_INSTANTIATE(Id)                                                   \
  template void RandomWalk<Id>(const WalkArgs<Id>&, const WalkPath&, Workspace&); \
  template void Node2vecWalk<Id>(const WalkArgs<Id>&, const Node2vecLaw&, Workspace&);
HOPFLOW_FOR_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cuda
