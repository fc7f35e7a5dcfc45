// The row loops of the GATv2 scores, compiled by foreach_isa.h: no include guard, no includes.

namespace hopflow::cpu {
namespace HOPFLOW_ISA {
namespace {

// As Dot in dot_rows.inc.h: element d goes to lane d % 16, and the lanes are added pairwise.
template <typename T>
Accumulator<T> Score(const T* __restrict u, const T* __restrict v, const T* __restrict attn,
                     std::int64_t n, Accumulator<T> slope) {
  using Acc = Accumulator<T>;
  Acc lanes[kDotLanes] = {};
  const auto term = [&](std::int64_t d) {
    const Acc s = Widen(u[d]) + Widen(v[d]);
    return Widen(attn[d]) * (s > 0 ? s : slope * s);
  };
  std::int64_t d = 0;
  for (; d + kDotLanes <= n; d += kDotLanes) {
    for (std::int64_t i = 0; i < kDotLanes; ++i) lanes[i] += term(d + i);
  }
  for (std::int64_t i = 0; d < n; ++d, ++i) lanes[i] += term(d);
  for (std::int64_t half = kDotLanes / 2; half > 0; half /= 2) {
    for (std::int64_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

template <typename T>
void AddGradients(const T* __restrict u, const T* __restrict v, const T* __restrict attn,
                  std::int64_t n, Accumulator<T> slope, Accumulator<T> grad,
                  Accumulator<T>* __restrict sum, Accumulator<T>* __restrict attn_sum) {
  using Acc = Accumulator<T>;
  for (std::int64_t d = 0; d < n; ++d) {
    const Acc s = Widen(u[d]) + Widen(v[d]);
    const Acc weight = grad * Widen(attn[d]);
    sum[d] += s > 0 ? weight : slope * weight;
    attn_sum[d] += grad * (s > 0 ? s : slope * s);
  }
}

constexpr std::int64_t kPrefetchScores = 6;

template <typename T, typename Id>
void PrefetchSource(const Gatv2Args<T, Id>& a, std::int64_t position) {
  if (position + kPrefetchScores >= a.indptr[a.num_dst]) return;
  const T* row = a.u + a.indices[position + kPrefetchScores] * a.u_stride;
  for (std::int64_t d = 0; d < a.num_heads * a.width; d += 64 / sizeof(T)) Prefetch(row + d);
}

template <typename T, typename Id>
std::int64_t EdgeAt(const Gatv2Args<T, Id>& a, std::int64_t position) {
  return a.eids != nullptr ? static_cast<std::int64_t>(a.eids[position]) : position;
}

}  // namespace

template <typename T, typename Id>
void Gatv2ScoresRows(const Gatv2Args<T, Id>& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t row = begin; row < end; ++row) {
    const T* v = a.v + row * a.v_stride;
    for (std::int64_t p = a.indptr[row]; p < a.indptr[row + 1]; ++p) {
      PrefetchSource(a, p);
      const T* u = a.u + a.indices[p] * a.u_stride;
      T* out = a.out + EdgeAt(a, p) * a.num_heads;
      for (std::int64_t h = 0; h < a.num_heads; ++h) {
        const std::int64_t at = h * a.width;
        out[h] = Narrow<T>(Score(u + at, v + at, a.attn + at, a.width, a.slope));
      }
    }
  }
}

// `sum` and `attn_sum` are room for a row each.
template <typename T, typename Id>
void Gatv2ScoresBackwardRows(const Gatv2Args<T, Id>& a, std::int64_t begin, std::int64_t end,
                             Accumulator<T>* sum, Accumulator<T>* attn_sum) {
  const std::int64_t width = a.num_heads * a.width;
  for (std::int64_t row = begin; row < end; ++row) {
    const T* v = a.v + row * a.v_stride;
    for (std::int64_t d = 0; d < width; ++d) sum[d] = attn_sum[d] = 0;
    for (std::int64_t p = a.indptr[row]; p < a.indptr[row + 1]; ++p) {
      PrefetchSource(a, p);
      const T* u = a.u + a.indices[p] * a.u_stride;
      const T* grad = a.grad + EdgeAt(a, p) * a.num_heads;
      for (std::int64_t h = 0; h < a.num_heads; ++h) {
        const std::int64_t at = h * a.width;
        AddGradients(u + at, v + at, a.attn + at, a.width, a.slope, Widen(grad[h]), sum + at,
                     attn_sum + at);
      }
    }
    T* out = a.out + row * width;
    for (std::int64_t d = 0; d < width; ++d) out[d] = Narrow<T>(sum[d]);
    if (a.out_attn == nullptr) continue;
    __builtin_memcpy(a.out_attn + row * width, attn_sum, width * sizeof(Accumulator<T>));
  }
}

}  // namespace HOPFLOW_ISA
}  // namespace hopflow::cpu
