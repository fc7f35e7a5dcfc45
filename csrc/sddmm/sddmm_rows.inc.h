// The row loop of SDDMM, compiled by foreach_isa.h: no include guard, no includes.

namespace hopflow::cpu {
namespace HOPFLOW_ISA {
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
