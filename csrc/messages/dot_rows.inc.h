// The dot product, compiled by foreach_isa.h after vectors.inc.h: no include guard, no includes.

namespace hopflow::cpu {
namespace HOPFLOW_ISA {
namespace {

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
}  // namespace HOPFLOW_ISA
}  // namespace hopflow::cpu
