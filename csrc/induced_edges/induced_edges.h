// The edges among some nodes: of the in-edges of the kept destinations those whose source is kept.
#pragma once

#include <cstdint>

#include "core/device.h"

namespace hopflow {
namespace cpu {

// Sizes the result. Checks the destinations and every row it reads; throws std::out_of_range for
// one outside the graph and std::invalid_argument for an indptr that is no CSC index there.
// O(in-edges of the destinations), of which each is looked up in a table of the sources.
template <typename Id>
void CountInducedEdges(std::int64_t num_nodes, std::int64_t num_edges, std::int64_t num_dst,
                       std::int64_t num_src,
                       const std::int64_t* indptr,  // [num_nodes + 1]
                       const Id* indices,           // [num_edges]
                       const std::int64_t* dst,     // [num_dst]
                       const Id* src,               // [num_src], distinct, not negative
                       std::int64_t* out_indptr);   // [num_dst + 1]

// Writes the edges that CountInducedEdges sized: row after row, each in the graph's order.
template <typename Id>
void InducedEdges(std::int64_t num_dst, std::int64_t num_src,
                  const std::int64_t* indptr,      // [num_nodes + 1]
                  const Id* indices,               // [num_edges]
                  const std::int64_t* dst,         // [num_dst]
                  const Id* src,                   // [num_src]
                  const std::int64_t* out_indptr,  // [num_dst + 1]
                  Id* out_indices,                 // [out_indptr[num_dst]], places in src
                  std::int64_t* out_positions);    // [out_indptr[num_dst]], in the graph

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
