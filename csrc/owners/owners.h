// Ids of a graph in parts: which part owns each, and rows from several places put together again.
#pragma once

#include <cstdint>
#include <vector>

namespace hopflow::cpu {

// Where the nodes of one type are kept.
template <typename Place>
struct OwnersView {
  std::int64_t num_nodes;
  const Place* place;  // [num_nodes], the node's number in the order of the parts
  std::int64_t num_parts;
  const std::int64_t* starts;  // [num_parts + 1], part p owns the numbers from starts[p] on
  const std::int32_t* cached;  // [num_nodes], the node's row in a cache, or -1; null: no cache
};

// Sorts ids into groups: one for each part and, where there is a cache, a last one for what it
// holds. Within a group they keep their order. Ids are checked by the caller; throws
// std::invalid_argument for a place that no part owns.
template <typename Id, typename Place, typename Row>
void SplitByOwner(std::int64_t num_ids, const OwnersView<Place>& owners,
                  const Id* ids,          // [num_ids]
                  std::int64_t* offsets,  // [groups + 1], where each group begins
                  Row* rows,              // [num_ids], by group: the row at the owner, or cached
                  std::int32_t* slots);   // [num_ids], where each id is in that order

// Some of the rows to put together.
struct RowsView {
  std::int64_t count;
  const void* x;  // [.., row_bytes], rows row_stride_bytes apart
  std::int64_t row_stride_bytes;
  const void* ids;  // [count] of Id: which rows of x; null: the first `count`
};

// out[i] = row slots[i] of all pieces, one after the other. Slots are checked by the caller, and so
// are ids.
template <typename Id>
void JoinRows(std::int64_t num_rows, std::int64_t row_bytes, const std::vector<RowsView>& pieces,
              const std::int32_t* slots,  // [num_rows]
              void* out);                 // [num_rows, row_bytes], contiguous

}  // namespace hopflow::cpu
