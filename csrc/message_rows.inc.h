// One edge's message, compiled by foreach_isa.h after dot_rows.inc.h: no include guard, no
// includes.

namespace hopflow::cpu {
namespace HOPFLOW_ISA {
namespace {

// Edges ahead of the one at work whose rows are asked for.
constexpr std::int64_t kPrefetchMessages = 8;

// Plain loops, which the compiler turns into vectors of HOPFLOW_ISA.
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

// Asks for the rows that the messages of edges to come will read from the sources.
template <typename T, typename Id>
void PrefetchMessage(const Messages<T, Id>& m, std::int64_t position) {
  if (position + kPrefetchMessages >= m.indptr[m.num_dst]) return;
  for (const MessageOperand<T>* operand : {&m.lhs, &m.rhs}) {
    if (operand->side != Side::kSource) continue;
    const T* row = m.RowOf(*operand, position + kPrefetchMessages, 0);
    const std::int64_t last =
        (m.outer - 1) * operand->outer_stride + m.inner * operand->inner_stride;
    for (std::int64_t d = 0; d <= last; d += 64 / static_cast<std::int64_t>(sizeof(T))) {
      Prefetch(row + d);
    }
  }
}

}  // namespace
}  // namespace HOPFLOW_ISA
}  // namespace hopflow::cpu
