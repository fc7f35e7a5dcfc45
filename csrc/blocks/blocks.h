// The blocks of one mini-batch: every hop sampled and renumbered in one pass, so that ids, edges
// and slots are still near the processor when they are needed again.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <vector>

#include "core/buffer_pool.h"
#include "core/device.h"
#include "core/tensor_view.h"

namespace hopflow {

// In-edges of the nodes of a graph, or of those of one type; not owned.
struct CscView {
  std::int64_t num_nodes;  // that the edges lead to
  std::int64_t num_edges;
  const std::int64_t* indptr;  // [num_nodes + 1]
  const void* indices;         // [num_edges], of id_type
  DType id_type;               // int32 or int64
};

// Edges from nodes of one type to nodes of one type, perhaps the same.
struct RelationView {
  CscView edges;
  int src_type;
  int dst_type;
};

// A graph of several node types and relations; not owned. Without types there is one of each.
struct GraphView {
  std::vector<std::int64_t> num_nodes;  // of each type
  std::vector<RelationView> relations;
  // Of all types' ids: int32 where every relation has them so and every type's nodes fit, or int64.
  DType id_type;
};

// Nodes of one type, some perhaps more than once; not owned.
struct SeedsView {
  std::int64_t count;
  const void* ids;  // [count], of id_type
  DType id_type;    // int32 or int64
};

struct HopOptions {
  std::int64_t fanout;  // in-edges kept a node; -1 keeps all
  std::uint64_t key;    // RelationKey of this hop and relation
};

struct BlocksOptions {
  // From the seeds outwards; of each hop one for each relation.
  std::vector<std::vector<HopOptions>> hops;
  bool replace;       // draw with replacement
  DType output_type;  // of input_nodes and output_nodes
};

// The edges of one relation in one hop. Nodes are numbered as in SampledNodes::src_ids of their
// type.
struct SampledEdges {
  std::int64_t num_dst = 0;
  std::int64_t num_edges = 0;
  DType position_type = DType::kInt32;
  Buffer indptr;     // int64 [num_dst + 1]
  Buffer indices;    // int32 [num_edges], number of the source
  Buffer positions;  // position_type [num_edges], where the edge is in the relation's CSC
};

struct SampledHop {
  std::vector<SampledEdges> relations;
  std::vector<std::int64_t> num_src;  // of each type, the nodes known at the end of the hop
};

// The nodes of one type in the whole batch.
struct SampledNodes {
  std::int64_t num_given = 0;  // seeds, some perhaps more than once
  std::int64_t num_seeds = 0;  // distinct seeds
  std::int64_t num_nodes = 0;  // distinct nodes
  Buffer src_ids;              // GraphView::id_type [num_nodes]; a hop's sources are its first
  Buffer input_nodes;          // the same ids as output_type [num_nodes]
  Buffer output_nodes;         // output_type [num_seeds]
  Buffer seed_inverse;         // int64 [num_given]; only if some were given twice
};

struct Blocks {
  std::vector<SampledNodes> nodes;  // of each type
  std::vector<SampledHop> hops;     // from the seeds outwards
};

namespace cpu {

// How ids are numbered: through a hash table of the batch's size, or through a map with a slot for
// every node, worth its 4 bytes a node if many batches share it. Beyond kMostDirectNodes in all
// types (256 MB of slots, a miss of every cache for each id) the hash table serves both.
enum class Numbering { kHash, kDirect };
constexpr std::int64_t kMostDirectNodes = std::int64_t{1} << 26;

// Memory that batches of one graph reuse, one batch at a time.
class BlocksScratch {
 public:
  BlocksScratch(const GraphView& graph, Numbering numbering);
  ~BlocksScratch();
  struct State;
  State& state() const { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// Samples the blocks of the seeds of each type, which may repeat. In a hop every relation leads to
// the nodes known at its start; new sources are numbered by type in order of first appearance, one
// relation after the other. Same ids for any number of threads. Throws std::out_of_range for a seed
// outside the graph, std::invalid_argument for arrays that are no CSC index where they are read,
// and Cancelled soon after *cancelled is set.
Blocks SampleBlocks(const GraphView& graph,
                    const std::vector<SeedsView>& seeds,  // of each type
                    const BlocksOptions& options, BlocksScratch& scratch,
                    const std::atomic<bool>* cancelled = nullptr);

}  // namespace cpu

namespace cuda {

// One hop on the device. Arrays are as long as fanouts allow; how much of them is used stands in
// DeviceBlocks::sizes.
struct DeviceHop {
  std::int64_t* indptr = nullptr;   // [most destinations + 1]
  std::int32_t* indices = nullptr;  // [most edges]
  void* positions = nullptr;        // [most edges], of position_type
};

// What SampleBlocks leaves on the device, in memory that the workspace keeps.
struct DeviceBlocks {
  DType position_type = DType::kInt32;
  std::int64_t num_sizes = 0;
  std::int64_t* sizes = nullptr;  // distinct seeds; of each hop its edges and all nodes so far;
                                  // what went wrong (Failure), or -1
  std::int64_t* seed_inverse = nullptr;  // [number of seeds given]
  void* src_ids = nullptr;               // of the graph's id_type
  std::vector<DeviceHop> hops;           // from the seeds outwards
};

// What went wrong first: the check in the highest bits, then the place in the array.
constexpr int kFailureBits = 60;
enum Failure : std::uint64_t { kBadSeed = 0, kBadIndptr = 1, kBadIndex = 2 };

// cpu::SampleBlocks of a graph without types on the device, with the same ids and edges. The host
// waits only for a hop that keeps all edges, whose size it cannot know. The graph's arrays may be
// page-locked host memory.
DeviceBlocks SampleBlocks(const CscView& graph, std::int64_t num_seeds,
                          const void* seeds,  // [num_seeds], of id_type
                          const BlocksOptions& options, Workspace& work);

}  // namespace cuda
}  // namespace hopflow
