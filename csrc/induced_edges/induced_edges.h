// The edges among some nodes: of the in-edges of the kept destinations those whose source is kept.
#pragma once

#include <cstdint>

#include "core/buffer_pool.h"
#include "core/device.h"

namespace hopflow {
namespace cpu {

// Row after row, each in the graph's order.
struct InducedRows {
  Buffer indptr;     // [num_dst + 1] std::int64_t
  Buffer indices;    // [num_edges] Id, places in src
  Buffer positions;  // [num_edges] std::int64_t, in the graph
  std::int64_t num_edges = 0;
};

// Checks the destinations, the sources and every row it reads; throws std::out_of_range for a node
// outside the graph, and std::invalid_argument for a source that is there twice and for an indptr
// that is no CSC index. O(in-edges of the destinations), each of which is looked up among the
// sources.
template <typename Id>
InducedRows InducedEdges(std::int64_t num_nodes, std::int64_t num_edges, std::int64_t num_dst,
                         std::int64_t num_src,
                         const std::int64_t* indptr,  // [num_nodes + 1]
                         const Id* indices,           // [num_edges]
                         const std::int64_t* dst,     // [num_dst]
                         const std::int64_t* src);    // [num_src], distinct

// The edges of a CSC, numbered by source and, of one source, by rising id.
struct NumberedEdges {
  Buffer indices;         // [num_edges] Id: the sources, each row by rising number
  Buffer numbers;         // [num_edges] EdgeId: of the edge at each position
  Buffer eids;            // [num_edges] std::int64_t: the old id of each number
  bool is_sorted = true;  // every position is its edge's number
};

// Ids are checked by the caller. EdgeId counts the edges, Id the destinations too.
template <typename Id, typename EdgeId>
NumberedEdges NumberBySource(std::int64_t num_dst, std::int64_t num_src, std::int64_t num_edges,
                             const std::int64_t* indptr,  // [num_dst + 1]
                             const Id* indices,           // [num_edges]
                             const std::int64_t* eids);   // [num_edges], distinct

}  // namespace cpu

// The same on CUDA. Where the rows begin is known by then: `rows` are the sums of the degrees of
// the destinations, as CountSampledNeighbors gives them for all edges.
namespace cuda {

// Returns out_indptr[num_dst], for which it waits.
template <typename Id>
std::int64_t CountInducedEdges(std::int64_t num_dst, std::int64_t num_src,
                               std::int64_t num_row_edges, std::int64_t num_edges,
                               const std::int64_t* indptr,  // [num_nodes + 1]
                               const Id* indices,           // [num_edges]
                               const std::int64_t* dst,     // [num_dst]
                               const Id* src,               // [num_src]
                               const std::int64_t* rows,    // [num_dst + 1]
                               std::int64_t* kept,          // [num_row_edges + 1], kept ones before
                               std::int64_t* out_indptr,    // [num_dst + 1]
                               Workspace& work);

template <typename Id>
void InducedEdges(std::int64_t num_dst, std::int64_t num_src, std::int64_t num_edges,
                  const std::int64_t* indptr,   // [num_nodes + 1]
                  const Id* indices,            // [num_edges]
                  const std::int64_t* dst,      // [num_dst]
                  const Id* src,                // [num_src]
                  const std::int64_t* rows,     // [num_dst + 1]
                  const std::int64_t* kept,     // [num_row_edges + 1]
                  Id* out_indices,              // [out_indptr[num_dst]]
                  std::int64_t* out_positions,  // [out_indptr[num_dst]]
                  Workspace& work);

}  // namespace cuda
}  // namespace hopflow
