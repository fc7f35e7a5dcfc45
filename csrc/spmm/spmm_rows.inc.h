// The row loops of SpMM, compiled by foreach_isa.h: no include guard, no includes.

namespace hopflow::cpu {
namespace HOPFLOW_ISA {
namespace {

// Edges ahead of the sum whose rows are asked for.
constexpr std::int64_t kPrefetchEdges = 12;

// How an edge scales the row it brings. Unit costs nothing.
struct Unit {
  template <typename V>
  V operator()(std::int64_t, std::int64_t, std::int64_t, V value) const {
    return value;
  }
};
template <typename Acc>
struct RowScale {
  const Acc* row_scale;
  template <typename V>
  V operator()(std::int64_t, std::int64_t row, std::int64_t, V value) const {
    return value * row_scale[row];
  }
};
template <typename Acc, typename Id>
struct EdgeWeight {
  const Acc* weight;
  const Id* weight_ids;
  const Acc* row_scale;
  std::int64_t num_heads;
  template <typename V>
  V operator()(std::int64_t position, std::int64_t row, std::int64_t head, V value) const {
    const std::int64_t id = weight_ids != nullptr ? weight_ids[position] : position;
    Acc scale = weight[id * num_heads + head];
    if (row_scale != nullptr) scale *= row_scale[row];
    return value * scale;
  }
};

template <typename T, typename Id>
[[gnu::always_inline]] inline std::int64_t RowAt(const SpmmArgs<T, Id>& a, std::int64_t position) {
  return a.rows != nullptr ? static_cast<std::int64_t>(a.rows[position]) : position;
}

// Asks for the part of a row that `num` elements from `x` span.
template <typename T>
[[gnu::always_inline]] inline void PrefetchRow(const T* x, std::int64_t num) {
  const char* bytes = reinterpret_cast<const char*>(x);
  for (std::int64_t b = 0; b < num * static_cast<std::int64_t>(sizeof(T)); b += 64) {
    Prefetch(bytes + b);
  }
}

template <int kVecs, typename T, typename Id, typename Scale>
void SumBlock(const SpmmArgs<T, Id>& a, const Scale& scale, std::int64_t v, std::int64_t head,
              std::int64_t column, Accumulator<T> divisor) {
  std::int64_t offset[kVecs];
  VecOffsets<kVecs, T>(column, a.width, offset);
  const T* x = a.x + head * a.width;
  VecFor<T> sum[kVecs];
  for (int i = 0; i < kVecs; ++i) sum[i] = VecFor<T>{};
  const std::int64_t begin = a.indptr[v], end = a.indptr[v + 1];
  for (std::int64_t p = begin; p < end; ++p) {
    // May reach into the next destinations' edges: they come next.
    if (p + kPrefetchEdges < a.indptr[a.num_dst]) {
      PrefetchRow(x + RowAt(a, p + kPrefetchEdges) * a.x_stride + column, kVecs * kLanes<T>);
    }
    const std::int64_t row = RowAt(a, p);
    const T* from = x + row * a.x_stride;
#pragma GCC unroll 8
    for (int i = 0; i < kVecs; ++i) sum[i] += scale(p, row, head, LoadVec(from + offset[i]));
  }
  T* out = a.out + (v * a.num_heads + head) * a.width;
#pragma GCC unroll 8
  for (int i = 0; i < kVecs; ++i) StoreVec(out + offset[i], sum[i] / divisor);
}

// Heads narrower than a vector.
template <typename T, typename Id, typename Scale>
void SumNarrow(const SpmmArgs<T, Id>& a, const Scale& scale, std::int64_t v, std::int64_t head,
               Accumulator<T> divisor) {
  Accumulator<T> sum[kLanes<T>] = {};
  const T* x = a.x + head * a.width;
  for (std::int64_t p = a.indptr[v]; p < a.indptr[v + 1]; ++p) {
    if (p + kPrefetchEdges < a.indptr[a.num_dst]) {
      Prefetch(x + RowAt(a, p + kPrefetchEdges) * a.x_stride);
    }
    const std::int64_t row = RowAt(a, p);
    const T* from = x + row * a.x_stride;
    for (std::int64_t d = 0; d < a.width; ++d) sum[d] += scale(p, row, head, Widen(from[d]));
  }
  T* out = a.out + (v * a.num_heads + head) * a.width;
  for (std::int64_t d = 0; d < a.width; ++d) out[d] = Narrow<T>(sum[d] / divisor);
}

template <typename T, typename Id, typename Scale>
void SumRows(const SpmmArgs<T, Id>& a, const Scale& scale, Reduce reduce, std::int64_t begin,
             std::int64_t end) {
  for (std::int64_t v = begin; v < end; ++v) {
    const std::int64_t degree = a.indptr[v + 1] - a.indptr[v];
    const auto divisor =
        static_cast<Accumulator<T>>(reduce == Reduce::kMean && degree > 0 ? degree : 1);
    for (std::int64_t head = 0; head < a.num_heads; ++head) {
      if (a.width < kLanes<T>) {
        SumNarrow(a, scale, v, head, divisor);
        continue;
      }
      ForVecColumns<T>(a.width, [&]<int kVecs>(std::int64_t column) {
        SumBlock<kVecs>(a, scale, v, head, column, divisor);
      });
    }
  }
}

// Whether the running best stands against x. A NaN, once met, stands: as in torch's amax and amin.
struct KeepMax {
  template <typename V>
  auto operator()(V best, V x) const {
    return (x <= best) | (best != best);
  }
};
struct KeepMin {
  template <typename V>
  auto operator()(V best, V x) const {
    return (x >= best) | (best != best);
  }
};

template <typename T, typename Id, typename Keep>
void ExtremeVec(const SpmmArgs<T, Id>& a, const Keep& keep, std::int64_t v, std::int64_t at) {
  using Lane = typename VectorOf<Accumulator<T>>::IntLane;
  const std::int64_t begin = a.indptr[v], end = a.indptr[v + 1];
  VecFor<T> best = LoadVec(a.x + RowAt(a, begin) * a.x_stride + at);
  IntFor<T> winner{};
  for (std::int64_t p = begin + 1; p < end; ++p) {
    if (p + kPrefetchEdges < a.indptr[a.num_dst]) {
      Prefetch(a.x + RowAt(a, p + kPrefetchEdges) * a.x_stride + at);
    }
    const VecFor<T> x = LoadVec(a.x + RowAt(a, p) * a.x_stride + at);
    const IntFor<T> stands = keep(best, x);
    best = stands ? best : x;
    const IntFor<T> edge = IntFor<T>{} + static_cast<Lane>(p - begin);
    winner = stands ? winner : edge;
  }
  const std::int64_t to = v * a.num_heads * a.width + at;
  StoreVec(a.out + to, best);
  if (a.arg == nullptr) return;
  for (std::int64_t i = 0; i < kLanes<T>; ++i) a.arg[to + i] = static_cast<std::int32_t>(winner[i]);
}

template <typename T, typename Id, typename Keep>
void ExtremeScalar(const SpmmArgs<T, Id>& a, const Keep& keep, std::int64_t v, std::int64_t at) {
  const std::int64_t begin = a.indptr[v], end = a.indptr[v + 1];
  Accumulator<T> best = Widen(a.x[RowAt(a, begin) * a.x_stride + at]);
  std::int32_t winner = 0;
  for (std::int64_t p = begin + 1; p < end; ++p) {
    const Accumulator<T> x = Widen(a.x[RowAt(a, p) * a.x_stride + at]);
    if (keep(best, x)) continue;
    best = x;
    winner = static_cast<std::int32_t>(p - begin);
  }
  const std::int64_t to = v * a.num_heads * a.width + at;
  a.out[to] = Narrow<T>(best);
  if (a.arg != nullptr) a.arg[to] = winner;
}

template <typename T, typename Id, typename Keep>
void ExtremeRows(const SpmmArgs<T, Id>& a, const Keep& keep, std::int64_t begin, std::int64_t end) {
  const std::int64_t width = a.num_heads * a.width;
  for (std::int64_t v = begin; v < end; ++v) {
    if (a.indptr[v] == a.indptr[v + 1]) {
      for (std::int64_t d = 0; d < width; ++d) {
        a.out[v * width + d] = Narrow<T>(0);
        if (a.arg != nullptr) a.arg[v * width + d] = -1;
      }
    } else if (width < kLanes<T>) {
      for (std::int64_t d = 0; d < width; ++d) ExtremeScalar(a, keep, v, d);
    } else {
      for (std::int64_t d = 0; d < width; d += kLanes<T>) {
        ExtremeVec(a, keep, v, d + kLanes<T> <= width ? d : width - kLanes<T>);
      }
    }
  }
}

}  // namespace

template <typename T, typename Id>
void SpmmRows(const SpmmArgs<T, Id>& a, Reduce reduce, std::int64_t begin, std::int64_t end) {
  using Acc = Accumulator<T>;
  if (reduce == Reduce::kMax) return ExtremeRows(a, KeepMax{}, begin, end);
  if (reduce == Reduce::kMin) return ExtremeRows(a, KeepMin{}, begin, end);
  if (a.weight != nullptr) {
    const EdgeWeight<Acc, Id> scale{a.weight, a.weight_ids, a.row_scale, a.num_heads};
    return SumRows(a, scale, reduce, begin, end);
  }
  if (a.row_scale != nullptr) {
    return SumRows(a, RowScale<Acc>{a.row_scale}, reduce, begin, end);
  }
  SumRows(a, Unit{}, reduce, begin, end);
}

// Columns are taken in blocks that stay in registers; the inner loops vectorise by themselves.
template <typename T, typename Id>
void SpmmArgBackwardRows(const SpmmArgBackwardArgs<T, Id>& a, std::int64_t begin,
                         std::int64_t end) {
  constexpr std::int64_t kBlock = 64;
  for (std::int64_t u = begin; u < end; ++u) {
    for (std::int64_t column = 0; column < a.width; column += kBlock) {
      const std::int64_t n = a.width - column < kBlock ? a.width - column : kBlock;
      Accumulator<T> sum[kBlock] = {};
      for (std::int64_t p = a.t_indptr[u]; p < a.t_indptr[u + 1]; ++p) {
        const std::int64_t v = a.t_rows[p];
        const auto edge = static_cast<std::int32_t>(a.t_positions[p] - a.indptr[v]);
        const T* grad = a.grad + v * a.width + column;
        const std::int32_t* arg = a.arg + v * a.width + column;
        for (std::int64_t d = 0; d < n; ++d) {
          sum[d] += arg[d] == edge ? Widen(grad[d]) : Accumulator<T>(0);
        }
      }
      for (std::int64_t d = 0; d < n; ++d) a.out[u * a.width + column + d] = Narrow<T>(sum[d]);
    }
  }
}

}  // namespace HOPFLOW_ISA
}  // namespace hopflow::cpu
