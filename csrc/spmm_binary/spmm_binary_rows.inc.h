// The row loops of the binary SpMM, compiled by foreach_isa.h: no include guard, no includes.

namespace hopflow::cpu {
namespace HOPFLOW_ISA {
namespace {

template <typename Acc>
void AddRow(const Acc* __restrict message, std::int64_t n, Acc* __restrict sum) {
  for (std::int64_t d = 0; d < n; ++d) sum[d] += message[d];
}

// Keeps what stands: a NaN, once met, does; of equals the first.
template <typename Acc>
void KeepRow(const Acc* __restrict message, std::int64_t n, bool is_max, std::int32_t edge,
             Acc* __restrict best, std::int32_t* __restrict winner) {
  for (std::int64_t d = 0; d < n; ++d) {
    const bool beats = is_max ? message[d] > best[d] : message[d] < best[d];
    const bool is_nan = message[d] != message[d];
    const bool wins = (beats | is_nan) & (best[d] == best[d]);
    best[d] = wins ? message[d] : best[d];
    winner[d] = wins ? edge : winner[d];
  }
}

// The sums of some columns of one head stay in registers.
template <int kVecs, typename T, typename Id>
void SumVecs(const SpmmBinaryArgs<T, Id>& a, std::int64_t v, std::int64_t head, std::int64_t column,
             Accumulator<T> divisor) {
  const Messages<T, Id>& m = a.messages;
  std::int64_t offset[kVecs];
  VecOffsets<kVecs, T>(column, m.inner, offset);
  VecFor<T> sum[kVecs];
  for (int i = 0; i < kVecs; ++i) sum[i] = VecFor<T>{};
  const RowAhead lhs = AheadOf(m, m.lhs, head, column, kVecs * kLanes<T>);
  const RowAhead rhs = AheadOf(m, m.rhs, head, column, kVecs * kLanes<T>);
  for (std::int64_t p = m.indptr[v]; p < m.indptr[v + 1]; ++p) {
    PrefetchMessage(m, p, lhs, rhs);
    VecFor<T> message[kVecs];
    MessageVecs<kVecs>(m, p, v, head, offset, message);
#pragma GCC unroll 8
    for (int i = 0; i < kVecs; ++i) sum[i] += message[i];
  }
  T* out = a.out + (v * m.outer + head) * m.inner;
#pragma GCC unroll 8
  for (int i = 0; i < kVecs; ++i) StoreVec(out + offset[i], sum[i] / divisor);
}

template <int kVecs, typename T, typename Id>
void ExtremeVecs(const SpmmBinaryArgs<T, Id>& a, bool is_max, std::int64_t v, std::int64_t head,
                 std::int64_t column) {
  using Lane = typename VectorOf<Accumulator<T>>::IntLane;
  const Messages<T, Id>& m = a.messages;
  std::int64_t offset[kVecs];
  VecOffsets<kVecs, T>(column, m.inner, offset);
  const std::int64_t first = m.indptr[v], last = m.indptr[v + 1];
  VecFor<T> best[kVecs];
  IntFor<T> winner[kVecs];
  for (int i = 0; i < kVecs; ++i) {
    best[i] = VecFor<T>{};
    winner[i] = IntFor<T>{} + static_cast<Lane>(first < last ? 0 : -1);
  }
  if (first < last) MessageVecs<kVecs>(m, first, v, head, offset, best);
  const RowAhead lhs = AheadOf(m, m.lhs, head, column, kVecs * kLanes<T>);
  const RowAhead rhs = AheadOf(m, m.rhs, head, column, kVecs * kLanes<T>);
  for (std::int64_t p = first + 1; p < last; ++p) {
    PrefetchMessage(m, p, lhs, rhs);
    VecFor<T> message[kVecs];
    MessageVecs<kVecs>(m, p, v, head, offset, message);
    const IntFor<T> edge = IntFor<T>{} + static_cast<Lane>(p - first);
#pragma GCC unroll 8
    for (int i = 0; i < kVecs; ++i) {
      // A NaN, once met, stands; of equals the first.
      const IntFor<T> stands =
          (is_max ? message[i] <= best[i] : message[i] >= best[i]) | (best[i] != best[i]);
      best[i] = stands ? best[i] : message[i];
      winner[i] = stands ? winner[i] : edge;
    }
  }
  const std::int64_t to = (v * m.outer + head) * m.inner;
  for (int i = 0; i < kVecs; ++i) {
    StoreVec(a.out + to + offset[i], best[i]);
    if (a.arg == nullptr) continue;
    std::int32_t* arg = a.arg + to + offset[i];
    for (std::int64_t d = 0; d < kLanes<T>; ++d) arg[d] = static_cast<std::int32_t>(winner[i][d]);
  }
}

template <typename T, typename Id>
void WideRows(const SpmmBinaryArgs<T, Id>& a, Reduce reduce, std::int64_t begin, std::int64_t end) {
  const Messages<T, Id>& m = a.messages;
  for (std::int64_t v = begin; v < end; ++v) {
    const std::int64_t degree = m.indptr[v + 1] - m.indptr[v];
    const auto divisor =
        static_cast<Accumulator<T>>(reduce == Reduce::kMean && degree > 0 ? degree : 1);
    for (std::int64_t head = 0; head < m.outer; ++head) {
      ForVecColumns<T>(m.inner, [&]<int kVecs>(std::int64_t column) {
        if (reduce == Reduce::kSum || reduce == Reduce::kMean) {
          return SumVecs<kVecs>(a, v, head, column, divisor);
        }
        // Two vectors a column: half as many columns at a time.
        constexpr int kHalf = kVecs > 1 ? kVecs / 2 : 1;
        ExtremeVecs<kHalf>(a, reduce == Reduce::kMax, v, head, column);
        if constexpr (kVecs > 1) {
          ExtremeVecs<kHalf>(a, reduce == Reduce::kMax, v, head, column + kHalf * kLanes<T>);
        }
      });
    }
  }
}

}  // namespace

// `message` and `total` are room for a row each, `winner` for a row of edges.
template <typename T, typename Id>
void SpmmBinaryRows(const SpmmBinaryArgs<T, Id>& a, Reduce reduce, std::int64_t begin,
                    std::int64_t end, Accumulator<T>* message, Accumulator<T>* total,
                    std::int32_t* winner) {
  const Messages<T, Id>& m = a.messages;
  if (HasVecs(m)) return WideRows(a, reduce, begin, end);
  const std::int64_t width = m.width();
  const bool is_sum = reduce == Reduce::kSum || reduce == Reduce::kMean;
  const RowAhead lhs = AheadOf(m, m.lhs, 0, 0, width), rhs = AheadOf(m, m.rhs, 0, 0, width);
  for (std::int64_t v = begin; v < end; ++v) {
    const std::int64_t first = m.indptr[v], last = m.indptr[v + 1];
    for (std::int64_t d = 0; d < width; ++d) total[d] = 0;
    for (std::int64_t d = 0; d < width && !is_sum; ++d) winner[d] = last > first ? 0 : -1;
    for (std::int64_t p = first; p < last; ++p) {
      PrefetchMessage(m, p, lhs, rhs);
      const bool starts = !is_sum && p == first;
      WriteMessage(m, p, v, starts ? total : message);
      if (is_sum) {
        AddRow(message, width, total);
      } else if (!starts) {
        KeepRow(message, width, reduce == Reduce::kMax, static_cast<std::int32_t>(p - first), total,
                winner);
      }
    }
    const auto divisor =
        static_cast<Accumulator<T>>(reduce == Reduce::kMean && last > first ? last - first : 1);
    T* out = a.out + v * width;
    for (std::int64_t d = 0; d < width; ++d) out[d] = Narrow<T>(total[d] / divisor);
    if (a.arg == nullptr) continue;
    __builtin_memcpy(a.arg + v * width, winner, width * sizeof(std::int32_t));
  }
}

}  // namespace HOPFLOW_ISA
}  // namespace hopflow::cpu
