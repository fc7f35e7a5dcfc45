// What the bindings of the binary SpMM and SDDMM share: the operands of a message, checked.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "bindings/bind.h"
#include "messages/messages.h"

namespace hopflow {

// The operands as Python gives them.
struct MessageTensors {
  std::string_view op;        // "add", "sub", "mul", "div", "dot"
  const TensorView& lhs;      // [num_rows, outer or 1, inner or 1]
  std::string_view lhs_side;  // "u", "v", "e"
  const TensorView& rhs;
  std::string_view rhs_side;
  const TensorView& indptr;   // [num_dst + 1]
  const TensorView& indices;  // [num_edges]
  const MaybeTensor& eids;    // [num_edges]
};

inline MessageOp MessageOpOf(std::string_view name) {
  if (name == "add") return MessageOp::kAdd;
  if (name == "sub") return MessageOp::kSub;
  if (name == "mul") return MessageOp::kMul;
  if (name == "div") return MessageOp::kDiv;
  if (name == "dot") return MessageOp::kDot;
  throw std::invalid_argument(StrCat("op: expected add, sub, mul, div or dot, got ", name));
}

inline Side SideOf(std::string_view name) {
  if (name == "u") return Side::kSource;
  if (name == "v") return Side::kDestination;
  if (name == "e") return Side::kEdge;
  throw std::invalid_argument(StrCat("side: expected u, v or e, got ", name));
}

// Rows of sources must be enough for the largest id, which CheckMessageIds sees to.
inline void CheckMessageShapes(const Place& place, const MessageTensors& t) {
  const std::int64_t num_edges = t.indices.size(0);
  Operand{"indices", t.indices}.OfDim(1).Index().Contiguous().At(place);
  Operand{"indptr", t.indptr}.OfDim(1).OfType(DType::kInt64).Contiguous().At(place);
  CheckValue(t.indptr.size(0) >= 1, "indptr: expected at least one element, got none");
  if (t.eids) {
    Operand{"eids", *t.eids}.OfType(t.indices.dtype).OfSize(num_edges).Contiguous().At(place);
  }
  const auto check = [&](const char* name, const TensorView& x, Side side) {
    Operand{name, x}.OfType(t.lhs.dtype).OfDim(3).RowsContiguous().At(place);
    const std::int64_t rows = side == Side::kEdge ? num_edges : t.indptr.size(0) - 1;
    CheckValue(side == Side::kSource || x.size(0) == rows, name, ": expected ", rows, " rows, got ",
               x.size(0));
  };
  check("lhs", t.lhs, SideOf(t.lhs_side));
  check("rhs", t.rhs, SideOf(t.rhs_side));
  const bool is_dot = MessageOpOf(t.op) == MessageOp::kDot;
  for (const int d : {1, 2}) {
    const std::int64_t left = t.lhs.size(d), right = t.rhs.size(d);
    CheckValue(left == right || (!(is_dot && d == 2) && (left == 1 || right == 1)),
               "rhs: expected rows that go with lhs's ", t.lhs.ShapeString(), ", got ",
               t.rhs.ShapeString());
  }
}

inline std::int64_t MessageDim(const MessageTensors& t, int d) {
  return t.lhs.size(d) == 1 ? t.rhs.size(d) : t.lhs.size(d);
}

inline std::int64_t MessageWidth(const MessageTensors& t) {
  return MessageDim(t, 1) * (MessageOpOf(t.op) == MessageOp::kDot ? 1 : MessageDim(t, 2));
}

// The contents of the index arrays, on the CPU.
inline void CheckMessageIds(const MessageTensors& t) {
  CheckIndptr({"indptr", t.indptr}, t.indices.size(0));
  std::int64_t num_src = -1;
  for (const auto& [side, x] :
       {std::pair<std::string_view, const TensorView&>{t.lhs_side, t.lhs}, {t.rhs_side, t.rhs}}) {
    if (SideOf(side) != Side::kSource) continue;
    num_src = num_src < 0 ? x.size(0) : std::min(num_src, x.size(0));
  }
  if (num_src >= 0) CheckIds({"indices", t.indices}, num_src, "source nodes");
  if (t.eids) CheckPermutation({"eids", *t.eids});
}

template <typename T, typename Id>
Messages<T, Id> MessagesOf(const MessageTensors& t) {
  const MessageOp op = MessageOpOf(t.op);
  const std::int64_t outer = MessageDim(t, 1), inner = MessageDim(t, 2);
  const auto operand = [&](const TensorView& x, std::string_view side) {
    // An operand that is 1 wide because the message is keeps no stride: all the same.
    return MessageOperand<T>{.data = x.as<T>(),
                             .row_stride = x.stride[0],
                             .outer_stride = x.size(1) == 1 ? 0 : x.size(2),
                             .inner_stride = x.size(2) == 1 && op != MessageOp::kDot ? 0 : 1,
                             .side = SideOf(side)};
  };
  return {.op = op,
          .num_dst = t.indptr.size(0) - 1,
          .outer = outer,
          .inner = inner,
          .indptr = t.indptr.as<std::int64_t>(),
          .indices = t.indices.as<Id>(),
          .eids = DataOrNull<Id>(t.eids),
          .lhs = operand(t.lhs, t.lhs_side),
          .rhs = operand(t.rhs, t.rhs_side)};
}

}  // namespace hopflow
