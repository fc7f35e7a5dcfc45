// What travels along an edge: two operands, each on a side of the edge, and how they combine.
//
//   message[p, k] = op(lhs[row of lhs at p, k], rhs[row of rhs at p, k])
//
// for every position p of a CSC and every element k of a row. A row is [outer, inner]; an operand
// may be 1 in either, and is then the same along it. `dot` sums over inner, which a message lacks.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/host_device.h"

namespace hopflow {

enum class MessageOp { kAdd, kSub, kMul, kDiv, kDot };

// Where an operand lives.
enum class Side { kSource, kDestination, kEdge };

template <typename T>
struct MessageOperand {
  const T* data;              // [num_rows, outer or 1, inner or 1]
  std::int64_t row_stride;    // elements from one row to the next
  std::int64_t outer_stride;  // 0 where there is one for all
  std::int64_t inner_stride;  // 1, or 0 where there is one for all; dot: 1
  Side side;
};

template <typename T, typename Id>
struct Messages {
  MessageOp op;
  // sizes
  std::int64_t num_dst;
  std::int64_t outer;
  std::int64_t inner;
  // inputs
  const std::int64_t* indptr;  // [num_dst + 1]
  const Id* indices;           // [num_edges], source of each position
  const Id* eids;              // [num_edges], edge of each position; null: the position
  MessageOperand<T> lhs;
  MessageOperand<T> rhs;

  // Elements of a message.
  HOPFLOW_HOST_DEVICE std::int64_t width() const {
    return op == MessageOp::kDot ? outer : outer * inner;
  }
  HOPFLOW_HOST_DEVICE std::int64_t EdgeAt(std::int64_t position) const {
    return eids != nullptr ? static_cast<std::int64_t>(eids[position]) : position;
  }
  // The row of an operand for the edge at `position`, whose destination is `v`.
  HOPFLOW_HOST_DEVICE const T* RowOf(const MessageOperand<T>& operand, std::int64_t position,
                                     std::int64_t v) const {
    const std::int64_t row = operand.side == Side::kSource
                                 ? static_cast<std::int64_t>(indices[position])
                             : operand.side == Side::kEdge ? EdgeAt(position)
                                                           : v;
    return operand.data + row * operand.row_stride;
  }
};

// Sums of a dot product run over this many interleaved lanes, which are then added pairwise,
// whatever the vector width: the same bits everywhere.
constexpr std::int64_t kDotLanes = 16;

}  // namespace hopflow
