// The row loop of SDDMM, compiled by foreach_isa.h: no include guard, no includes.

namespace hopflow::cpu {
namespace HOPFLOW_ISA {
namespace {

constexpr std::int64_t kDotLanes = 16;
constexpr std::int64_t kDotVecs(std::int64_t lanes) { return kDotLanes / lanes; }

// Lane i sums elements i, i + 16, i + 32, ...; the tail goes to the lanes it would have had.
template <typename T>
[[gnu::always_inline]] inline Accumulator<T> Dot(const T* a, const T* b, std::int64_t n) {
  constexpr int kVecs = static_cast<int>(kDotVecs(kLanes<T>));
  VecFor<T> sum[kVecs];
  for (int i = 0; i < kVecs; ++i) sum[i] = VecFor<T>{};
  std::int64_t d = 0;
  for (; d + kDotLanes <= n; d += kDotLanes) {
#pragma GCC unroll 8
    for (int i = 0; i < kVecs; ++i) {
      sum[i] += LoadVec(a + d + i * kLanes<T>) * LoadVec(b + d + i * kLanes<T>);
    }
  }
  Accumulator<T> lanes[kDotLanes];
  __builtin_memcpy(lanes, sum, sizeof lanes);
  for (std::int64_t i = 0; d < n; ++d, ++i) lanes[i] += Widen(a[d]) * Widen(b[d]);
  for (std::int64_t half = kDotLanes / 2; half > 0; half /= 2) {
    for (std::int64_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

}  // namespace

template <typename T, typename Id>
void SddmmDotRows(const SddmmArgs<T, Id>& a, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kPrefetchEdges = 8;
  for (std::int64_t row = begin; row < end; ++row) {
    const T* v = a.v + row * a.v_stride;
    for (std::int64_t p = a.indptr[row]; p < a.indptr[row + 1]; ++p) {
      if (p + kPrefetchEdges < a.indptr[a.num_dst]) {
        const T* next = a.u + a.indices[p + kPrefetchEdges] * a.u_stride;
        for (std::int64_t d = 0; d < a.num_heads * a.width; d += 64 / sizeof(T)) {
          Prefetch(next + d);
        }
      }
      const T* u = a.u + a.indices[p] * a.u_stride;
      T* out = a.out + (a.eids != nullptr ? static_cast<std::int64_t>(a.eids[p]) : p) * a.num_heads;
      for (std::int64_t h = 0; h < a.num_heads; ++h) {
        out[h] = Narrow<T>(Dot(u + h * a.width, v + h * a.width, a.width));
      }
    }
  }
}

}  // namespace HOPFLOW_ISA
}  // namespace hopflow::cpu
