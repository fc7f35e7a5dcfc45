// One relation in one hop of one batch on the CPU, and the memory that batches work on.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "blocks/blocks.h"
#include "core/buffer_pool.h"
#include "core/check.h"
#include "core/id_map.h"
#include "sample/sample.h"

namespace hopflow::cpu {

// Nodes of a type and edges of a relation that a batch may have: their numbers are int32.
constexpr std::int64_t kMostLocal = std::numeric_limits<std::int32_t>::max();

// The nodes of one type that a batch has met.
template <typename Id>
struct NodesOf {
  std::variant<IdTable<Id, std::int32_t>, DirectMap<Id>> map;
  Buffer memory{};  // Id, of the list
  IdList<Id> unique{nullptr, 0};
};

template <typename Id>
struct ScratchOf {
  std::vector<NodesOf<Id>> nodes;  // of each type
  Buffer neighbors;                // Id, sampled and not yet numbered
  std::vector<std::int64_t> begins, degrees;
};

// A buffer of at least `count` elements that keeps its first `kept`.
template <typename T>
void Grow(Buffer& buffer, std::int64_t count, std::int64_t kept) {
  const auto bytes = static_cast<std::size_t>(count) * sizeof(T);
  if (bytes <= buffer.bytes()) return;
  Buffer grown(bytes + bytes / 4);
  if (kept > 0) std::memcpy(grown.as<T>(), buffer.as<T>(), kept * sizeof(T));
  buffer = std::move(grown);
}

// A list with room for `most` ids, and for the one that maps write before they know if it is new.
template <typename Id>
void Grow(NodesOf<Id>& nodes, std::int64_t most) {
  Grow<Id>(nodes.memory, most + 1, nodes.unique.size);
  nodes.unique.data = nodes.memory.template as<Id>();
}

// How a message ends. Types are named where there are several.
inline std::string NodesOfType(const GraphView& graph, std::size_t type) {
  const std::string whose =
      graph.num_nodes.size() > 1 ? StrCat("type ", type) : std::string("the graph");
  return StrCat(", but ", whose, " has ", graph.num_nodes[type], " nodes");
}

// Samples a relation's in-edges of the first `num_dst` nodes of its destination type, and numbers
// their sources among the nodes of theirs. Throws as SampleBlocks does.
template <typename Id>
SampledEdges SampleEdges(const GraphView& graph, std::size_t relation, const SampleOptions& options,
                         std::int64_t num_dst, ScratchOf<Id>& scratch,
                         const std::atomic<bool>* cancelled);

}  // namespace hopflow::cpu
