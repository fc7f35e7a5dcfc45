// One edge's message, compiled by foreach_isa.h after dot_rows.inc.h: no include guard, no
// includes.

namespace hopflow::cpu {
namespace HOPFLOW_ISA {
namespace {

// Edges ahead of the one at work whose rows are asked for.
constexpr std::int64_t kPrefetchMessages = 8;

// For heads narrower than a vector. Plain loops, which the compiler turns into what suits them.
template <typename T, typename Op>
void CombineRow(const Op& op, const T* __restrict lhs, bool lhs_varies, const T* __restrict rhs,
                bool rhs_varies, std::int64_t n, Accumulator<T>* __restrict out) {
  if (lhs_varies && rhs_varies) {
    for (std::int64_t d = 0; d < n; ++d) out[d] = op(Widen(lhs[d]), Widen(rhs[d]));
  } else if (lhs_varies) {
    const Accumulator<T> right = Widen(*rhs);
    for (std::int64_t d = 0; d < n; ++d) out[d] = op(Widen(lhs[d]), right);
  } else if (rhs_varies) {
    const Accumulator<T> left = Widen(*lhs);
    for (std::int64_t d = 0; d < n; ++d) out[d] = op(left, Widen(rhs[d]));
  } else {
    const Accumulator<T> both = op(Widen(*lhs), Widen(*rhs));
    for (std::int64_t d = 0; d < n; ++d) out[d] = both;
  }
}

template <typename T, typename Id, typename Op>
void CombineRows(const Messages<T, Id>& m, const Op& op, const T* lhs, const T* rhs,
                 Accumulator<T>* out) {
  for (std::int64_t i = 0; i < m.outer; ++i) {
    CombineRow(op, lhs + i * m.lhs.outer_stride, m.lhs.inner_stride != 0,
               rhs + i * m.rhs.outer_stride, m.rhs.inner_stride != 0, m.inner, out + i * m.inner);
  }
}

// Writes the message of the edge at `position`, whose destination is `v`.
template <typename T, typename Id>
void WriteMessage(const Messages<T, Id>& m, std::int64_t position, std::int64_t v,
                  Accumulator<T>* out) {  // [width]
  const T* lhs = m.RowOf(m.lhs, position, v);
  const T* rhs = m.RowOf(m.rhs, position, v);
  switch (m.op) {
    case MessageOp::kAdd:
      return CombineRows(m, [](auto a, auto b) { return a + b; }, lhs, rhs, out);
    case MessageOp::kSub:
      return CombineRows(m, [](auto a, auto b) { return a - b; }, lhs, rhs, out);
    case MessageOp::kMul:
      return CombineRows(m, [](auto a, auto b) { return a * b; }, lhs, rhs, out);
    case MessageOp::kDiv:
      return CombineRows(m, [](auto a, auto b) { return a / b; }, lhs, rhs, out);
    case MessageOp::kDot:
      for (std::int64_t i = 0; i < m.outer; ++i) {
        out[i] = Dot(lhs + i * m.lhs.outer_stride, rhs + i * m.rhs.outer_stride, m.inner);
      }
  }
}

template <int kVecs, typename T, typename Op>
[[gnu::always_inline]] inline void CombineVecs(const Op& op, const T* lhs, bool lhs_varies,
                                               const T* rhs, bool rhs_varies,
                                               const std::int64_t* offset,  // [kVecs]
                                               VecFor<T>* out) {            // [kVecs]
  const VecFor<T> left = VecFor<T>{} + Widen(*lhs), right = VecFor<T>{} + Widen(*rhs);
  if (lhs_varies && rhs_varies) {
#pragma GCC unroll 8
    for (int i = 0; i < kVecs; ++i) out[i] = op(LoadVec(lhs + offset[i]), LoadVec(rhs + offset[i]));
  } else if (lhs_varies) {
#pragma GCC unroll 8
    for (int i = 0; i < kVecs; ++i) out[i] = op(LoadVec(lhs + offset[i]), right);
  } else {  // rhs varies: of a head wider than a vector, one of them does
#pragma GCC unroll 8
    for (int i = 0; i < kVecs; ++i) out[i] = op(left, LoadVec(rhs + offset[i]));
  }
}

// kVecs vectors of one head of the message of the edge at `position`; not of a dot product.
template <int kVecs, typename T, typename Id>
[[gnu::always_inline]] inline void MessageVecs(const Messages<T, Id>& m, std::int64_t position,
                                               std::int64_t v, std::int64_t head,
                                               const std::int64_t* offset,  // [kVecs]
                                               VecFor<T>* out) {            // [kVecs]
  const T* lhs = m.RowOf(m.lhs, position, v) + head * m.lhs.outer_stride;
  const T* rhs = m.RowOf(m.rhs, position, v) + head * m.rhs.outer_stride;
  const bool l = m.lhs.inner_stride != 0, r = m.rhs.inner_stride != 0;
  switch (m.op) {
    case MessageOp::kAdd:
      return CombineVecs<kVecs>([](auto a, auto b) { return a + b; }, lhs, l, rhs, r, offset, out);
    case MessageOp::kSub:
      return CombineVecs<kVecs>([](auto a, auto b) { return a - b; }, lhs, l, rhs, r, offset, out);
    case MessageOp::kMul:
      return CombineVecs<kVecs>([](auto a, auto b) { return a * b; }, lhs, l, rhs, r, offset, out);
    default:
      return CombineVecs<kVecs>([](auto a, auto b) { return a / b; }, lhs, l, rhs, r, offset, out);
  }
}

// Whether messages are computed by whole vectors: a head is at least one wide.
template <typename T, typename Id>
bool HasVecs(const Messages<T, Id>& m) {
  return m.op != MessageOp::kDot && m.inner >= kLanes<T>;
}

// What messages of edges to come will read of one operand. Worked out before the loop over a row's
// edges: there the same tests cost a third of the time.
struct RowAhead {
  const char* from;     // of row 0
  std::int64_t stride;  // bytes from row to row
  std::int64_t bytes;   // -1: nothing to ask for
};

// Of an operand, `num` elements of a head from `column` on.
template <typename T, typename Id>
RowAhead AheadOf(const Messages<T, Id>& m, const MessageOperand<T>& operand, std::int64_t head,
                 std::int64_t column, std::int64_t num) {
  const bool is_shared = operand.outer_stride == 0;
  // Edges' and destinations' rows come in order; heads that share a row read what the first has
  // asked for.
  if (operand.side != Side::kSource || (is_shared && head > 0)) return {nullptr, 0, -1};
  constexpr auto kBytes = static_cast<std::int64_t>(sizeof(T));
  const T* const from = operand.data + head * operand.outer_stride + column * operand.inner_stride;
  // At most what a row has: a prefetch behind its end would only cost.
  const std::int64_t elements = is_shared && num > m.inner - column ? m.inner - column : num;
  return {reinterpret_cast<const char*>(from), operand.row_stride * kBytes,
          elements * operand.inner_stride * kBytes};
}

// Asks for what the message of an edge to come will read from its source.
template <typename T, typename Id>
[[gnu::always_inline]] inline void PrefetchMessage(const Messages<T, Id>& m, std::int64_t position,
                                                   const RowAhead& lhs, const RowAhead& rhs) {
  if (lhs.bytes < 0 && rhs.bytes < 0) return;
  if (position + kPrefetchMessages >= m.indptr[m.num_dst]) return;
  const std::int64_t row = m.indices[position + kPrefetchMessages];
  for (std::int64_t b = 0; b <= lhs.bytes; b += 64) Prefetch(lhs.from + row * lhs.stride + b);
  for (std::int64_t b = 0; b <= rhs.bytes; b += 64) Prefetch(rhs.from + row * rhs.stride + b);
}

}  // namespace
}  // namespace HOPFLOW_ISA
}  // namespace hopflow::cpu
