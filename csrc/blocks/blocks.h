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

// In-edges of a graph; not owned.
struct CscView {
  std::int64_t num_nodes;
  std::int64_t num_edges;
  const std::int64_t* indptr;  // [num_nodes + 1]
  const void* indices;         // [num_edges], of id_type
  DType id_type;               // int32 or int64
};

struct HopOptions {
  std::int64_t fanout;  // in-edges kept a node; -1 keeps all
  std::uint64_t key;    // StreamKey of this hop
};

struct BlocksOptions {
  std::vector<HopOptions> hops;  // from the seeds outwards
  bool replace;                  // draw with replacement
  DType output_type;             // of input_nodes and output_nodes
};

// One hop. Nodes are numbered as in Blocks::src_ids.
struct SampledHop {
  std::int64_t num_dst = 0;
  std::int64_t num_src = 0;
  std::int64_t num_edges = 0;
  Buffer indptr;     // int64 [num_dst + 1]
  Buffer indices;    // int32 [num_edges], number of the source
  Buffer positions;  // [num_edges], where the edge is in the graph's CSC; PositionType()
};

struct Blocks {
  std::int64_t num_given = 0;  // seeds, some perhaps more than once
  std::int64_t num_seeds = 0;  // distinct seeds
  std::int64_t num_nodes = 0;  // distinct nodes of the whole batch
  DType position_type = DType::kInt32;
  std::vector<SampledHop> hops;  // from the seeds outwards
  Buffer src_ids;                // id_type [num_nodes]; the sources of hop h are the first num_src
  Buffer input_nodes;            // the same ids as output_type [num_nodes]
  Buffer output_nodes;           // output_type [num_seeds]
  Buffer seed_inverse;           // int64 [number of seeds given]; only if some were given twice
};

namespace cpu {

// How ids are numbered: through a hash table of the batch's size, or through a map with a slot for
// every node, worth its 4 bytes a node if many batches share it. Beyond kMostDirectNodes (256 MB of
// slots, a miss of every cache for each id) the hash table serves both.
enum class Numbering { kHash, kDirect };
constexpr std::int64_t kMostDirectNodes = std::int64_t{1} << 26;

// Memory that batches of one graph reuse, one batch at a time.
class BlocksScratch {
 public:
  BlocksScratch(const CscView& graph, Numbering numbering);
  ~BlocksScratch();
  struct State;
  State& state() const { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// Thrown where a batch was given up.
class Cancelled : public std::exception {};

// Samples the blocks of the seeds, which may repeat. Same ids for any number of threads. Throws
// std::out_of_range for a seed outside the graph, std::invalid_argument for arrays that are no CSC
// index where they are read, and Cancelled soon after *cancelled is set.
Blocks SampleBlocks(const CscView& graph, std::int64_t num_seeds,
                    const void* seeds,  // [num_seeds], of id_type
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

// cpu::SampleBlocks on the device, with the same ids and edges. The host waits only for a hop that
// keeps all edges, whose size it cannot know. The graph's arrays may be page-locked host memory.
DeviceBlocks SampleBlocks(const CscView& graph, std::int64_t num_seeds,
                          const void* seeds,  // [num_seeds], of id_type
                          const BlocksOptions& options, Workspace& work);

}  // namespace cuda
}  // namespace hopflow
