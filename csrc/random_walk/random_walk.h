// Random walks along out-edges: one trace for every seed, over a path of relations or by the law of
// node2vec.
#pragma once

#include <cstdint>
#include <vector>

#include "core/device.h"
#include "core/host_device.h"

namespace hopflow {

// Ids of either width: relations of one walk may differ in theirs.
struct IdArray {
  const void* data;  // int32 or int64; null: there are none
  bool is_wide;      // int64

  HOPFLOW_HOST_DEVICE std::int64_t Get(std::int64_t i) const {
    return is_wide ? static_cast<const std::int64_t*>(data)[i]
                   : static_cast<const std::int32_t*>(data)[i];
  }
};

// The out-edges of one relation, by source.
struct WalkEdges {
  std::int64_t num_rows;  // nodes of the sources' type
  std::int64_t num_edges;
  const std::int64_t* indptr;  // [num_rows + 1]
  IdArray indices;             // [num_edges]: destinations
  IdArray eids;                // [num_edges]; without: edge e is at e
  const double* sums;          // [num_edges], what SumRows gives; or null: all edges alike
};

template <typename Id>
struct WalkArgs {
  std::int64_t num_walks;
  std::int64_t num_steps;
  const Id* seeds;    // [num_walks]
  std::uint64_t key;  // with the walk's number and the step's: what a draw depends on
  Id* traces;         // [num_walks, num_steps + 1]; -1 from where a walk ended
  Id* eids;           // [num_walks, num_steps], likewise; or null
};

// Step t goes along relations[path[t]], unless the walk ends before it, with probability
// restart[t].
struct WalkPath {
  std::vector<WalkEdges> relations;
  std::vector<std::int64_t> path;  // [num_steps]
  std::vector<double> restart;     // [num_steps]
};

// An edge from v to x, for a walk that came to v from t, is taken with probability proportional to
// its weight times return_weight if x is t, times 1 if an edge leads from x to t, times far_weight
// otherwise.
struct Node2vecLaw {
  WalkEdges edges;                 // what is drawn; destinations rise within a row
  std::int64_t num_all;            // edges that are searched
  const std::int64_t* all_indptr;  // [num_rows + 1]: all edges, those of weight 0 too
  IdArray all_indices;             // [num_all], rising within a row
  double return_weight;            // 1 / p
  double far_weight;               // 1 / q
};

namespace cpu {

// Throws std::out_of_range for a node outside the next relation, std::invalid_argument for an
// indptr that is no CSC index where it is read. The seeds are checked before.
template <typename Id>
void RandomWalk(const WalkArgs<Id>& args, const WalkPath& path);

template <typename Id>
void Node2vecWalk(const WalkArgs<Id>& args, const Node2vecLaw& law);

}  // namespace cpu

// The same on CUDA, with the same traces. The graph's arrays, which may be page-locked host memory,
// are checked before.
namespace cuda {

template <typename Id>
void RandomWalk(const WalkArgs<Id>& args, const WalkPath& path, Workspace& work);

template <typename Id>
void Node2vecWalk(const WalkArgs<Id>& args, const Node2vecLaw& law, Workspace& work);

}  // namespace cuda
}  // namespace hopflow
