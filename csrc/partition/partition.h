// Parts for the nodes of a graph, chosen one node after the other in a stream.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace hopflow::cpu {

// In-edges of the nodes of one type from those of another, in the numbering of all types together.
struct StreamedEdges {
  std::int64_t num_rows;
  const std::int64_t* indptr;  // [num_rows + 1]
  const void* indices;         // [indptr[num_rows]], int64 if `wide`, else int32
  bool wide;
  std::int64_t first_dst;  // number of the node of row 0
  std::int64_t first_src;  // number of the node that index 0 means
};

// Nodes of one class fill no part beyond the class's cap.
struct Classes {
  const std::uint8_t* of_node;     // [num_nodes]
  std::vector<std::int64_t> caps;  // of each class: nodes of it in a part, at most
};

struct StreamOptions {
  std::int64_t num_passes;
  bool only_full;  // nodes stay, but for those of classes that exceed their cap in their part
};

// Takes every node out of its part, if it has one (parts[v] >= 0), and puts it where most of its
// neighbours are, less the more that part is filled with nodes of its class; parts that are full
// for its class are left out. In-neighbours are counted; of the out-neighbours that chose since the
// node last did, the running majority is. Ties go to the part with fewest nodes of the class, then
// to the first. Nodes in rising order: the result depends on the arguments alone. num_parts * cap
// must be as large as each class. `now_and_then` may throw, which ends it.
void StreamParts(std::int64_t num_nodes, const std::vector<StreamedEdges>& edges,
                 const Classes& classes, std::int64_t num_parts, const StreamOptions& options,
                 const std::function<void()>& now_and_then,
                 std::int16_t* parts);  // [num_nodes], in and out

}  // namespace hopflow::cpu
