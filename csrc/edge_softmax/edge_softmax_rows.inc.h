// The row loops of the edge softmax, compiled by foreach_isa.h: no include guard, no includes.

namespace hopflow::cpu {
namespace HOPFLOW_ISA {
namespace {

// A row's edges, one after the other, in the wider type: [degree, width].
template <typename T, typename Id>
void ReadRow(const EdgeSoftmaxArgs<T, Id>& a, const T* from, std::int64_t first, std::int64_t last,
             Accumulator<T>* __restrict to) {
  if (a.eids == nullptr) {
    const T* x = from + first * a.width;
    for (std::int64_t i = 0; i < (last - first) * a.width; ++i) to[i] = Widen(x[i]);
    return;
  }
  for (std::int64_t p = first; p < last; ++p) {
    const T* x = from + a.eids[p] * a.width;
    for (std::int64_t h = 0; h < a.width; ++h) *to++ = Widen(x[h]);
  }
}

template <typename T, typename Id>
void WriteRow(const EdgeSoftmaxArgs<T, Id>& a, const Accumulator<T>* __restrict from,
              std::int64_t first, std::int64_t last) {
  if (a.eids == nullptr) {
    T* out = a.out + first * a.width;
    for (std::int64_t i = 0; i < (last - first) * a.width; ++i) out[i] = Narrow<T>(from[i]);
    return;
  }
  for (std::int64_t p = first; p < last; ++p) {
    T* out = a.out + a.eids[p] * a.width;
    for (std::int64_t h = 0; h < a.width; ++h) out[h] = Narrow<T>(*from++);
  }
}

// Plain loops over whole rows, which the compiler turns into vectors.
template <typename Acc>
void ExpAll(Acc* x, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) x[i] = ExpOfNonPositive(x[i]);
}

}  // namespace

// `row` is room for the longest row and `total` for one edge.
template <typename T, typename Id>
void EdgeSoftmaxRows(const EdgeSoftmaxArgs<T, Id>& a, std::int64_t begin, std::int64_t end,
                     Accumulator<T>* row, Accumulator<T>* total) {
  using Acc = Accumulator<T>;
  const std::int64_t width = a.width;
  for (std::int64_t v = begin; v < end; ++v) {
    const std::int64_t first = a.indptr[v], last = a.indptr[v + 1];
    if (first == last) continue;
    const std::int64_t n = (last - first) * width;
    ReadRow(a, a.x, first, last, row);
    for (std::int64_t h = 0; h < width; ++h) total[h] = row[h];
    for (std::int64_t i = width; i < n; i += width) {
      for (std::int64_t h = 0; h < width; ++h) {
        const Acc x = row[i + h];
        // A NaN, once met, stands.
        total[h] = (x <= total[h]) | (total[h] != total[h]) ? total[h] : x;
      }
    }
    for (std::int64_t i = 0; i < n; i += width) {
      for (std::int64_t h = 0; h < width; ++h) row[i + h] -= total[h];
    }
    ExpAll(row, n);
    for (std::int64_t h = 0; h < width; ++h) total[h] = 0;
    for (std::int64_t i = 0; i < n; i += width) {
      for (std::int64_t h = 0; h < width; ++h) total[h] += row[i + h];
    }
    for (std::int64_t i = 0; i < n; i += width) {
      for (std::int64_t h = 0; h < width; ++h) row[i + h] /= total[h];
    }
    WriteRow(a, row, first, last);
  }
}

// `row` is room for the longest row twice.
template <typename T, typename Id>
void EdgeSoftmaxBackwardRows(const EdgeSoftmaxArgs<T, Id>& a, std::int64_t begin, std::int64_t end,
                             Accumulator<T>* row, Accumulator<T>* total) {
  const std::int64_t width = a.width;
  for (std::int64_t v = begin; v < end; ++v) {
    const std::int64_t first = a.indptr[v], last = a.indptr[v + 1];
    const std::int64_t n = (last - first) * width;
    Accumulator<T>* const grad = row + n;
    ReadRow(a, a.x, first, last, row);
    ReadRow(a, a.grad, first, last, grad);
    for (std::int64_t h = 0; h < width; ++h) total[h] = 0;
    for (std::int64_t i = 0; i < n; i += width) {
      for (std::int64_t h = 0; h < width; ++h) total[h] += row[i + h] * grad[i + h];
    }
    for (std::int64_t i = 0; i < n; i += width) {
      for (std::int64_t h = 0; h < width; ++h) row[i + h] *= grad[i + h] - total[h];
    }
    WriteRow(a, row, first, last);
  }
}

}  // namespace HOPFLOW_ISA
}  // namespace hopflow::cpu
