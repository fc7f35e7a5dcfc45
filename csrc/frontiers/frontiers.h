// Traversals of a graph, a node after the other: breadth first, depth first, topological. Edges
// lead on from a row to `indices`, in the order of their positions; edge p is eids[p], or p without
// eids.
#pragma once

#include <cstdint>
#include <vector>

namespace hopflow::cpu {

template <typename Id, typename EdgeId>
struct EdgesOn {
  std::int64_t num_nodes;
  const std::int64_t* indptr;  // [num_nodes + 1]
  const Id* indices;           // [indptr[num_nodes]], in [0, num_nodes)
  const EdgeId* eids;          // [indptr[num_nodes]] or null

  std::int64_t eid(std::int64_t position) const {
    return eids == nullptr ? position : static_cast<std::int64_t>(eids[position]);
  }
};

// Writes the nodes reached in the order of a queue, the sources first, and for each of the others
// the edge over which it is met. Throws std::invalid_argument for a source that is there twice.
// Returns where each frontier begins in the nodes and the last one ends; none is empty. O(num_nodes
// bytes + edges of the nodes reached).
template <typename Id, typename EdgeId>
std::vector<std::int64_t> BreadthFirst(const EdgesOn<Id, EdgeId>& graph, std::int64_t num_sources,
                                       const std::int64_t* sources,  // [num_sources], distinct
                                       std::int64_t* nodes,          // [num_nodes]
                                       std::int64_t* eids);          // [num_nodes]

// The same for Kahn's algorithm: a node comes once all edges to it have come, in the order of the
// last of them, and first those without. What is in a cycle, or behind one, does not come.
template <typename Id, typename EdgeId>
std::vector<std::int64_t> Topological(const EdgesOn<Id, EdgeId>& graph,
                                      std::int64_t* nodes);  // [num_nodes]

// Labels of the steps of a depth-first search.
enum SearchStep : std::int8_t { kForward, kReverse, kNontree };

struct SearchSteps {
  std::vector<std::int64_t> eids;
  std::vector<std::int64_t> labels;   // SearchStep
  std::vector<std::int64_t> offsets;  // where the steps of each source begin, and the last end
};

// One search from each source, each of its own: `reverse` says whether the way back over an edge is
// a step, `nontree` whether an edge to a node met before is. Without recursion.
template <typename Id, typename EdgeId>
SearchSteps DepthFirst(const EdgesOn<Id, EdgeId>& graph, std::int64_t num_sources,
                       const std::int64_t* sources, bool reverse, bool nontree);

}  // namespace hopflow::cpu
