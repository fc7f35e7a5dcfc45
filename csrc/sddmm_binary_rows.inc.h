// The row loop of the binary SDDMM, compiled by foreach_isa.h: no include guard, no includes.

namespace hopflow::cpu {
namespace HOPFLOW_ISA {

// `message` is room for one.
template <typename T, typename Id>
void SddmmBinaryRows(const SddmmBinaryArgs<T, Id>& a, std::int64_t begin, std::int64_t end,
                     Accumulator<T>* message) {
  const Messages<T, Id>& m = a.messages;
  const std::int64_t width = m.width();
  for (std::int64_t v = begin; v < end; ++v) {
    for (std::int64_t p = m.indptr[v]; p < m.indptr[v + 1]; ++p) {
      PrefetchMessage(m, p);
      WriteMessage(m, p, v, message);
      T* out = a.out + m.EdgeAt(p) * width;
      for (std::int64_t d = 0; d < width; ++d) out[d] = Narrow<T>(message[d]);
    }
  }
}

}  // namespace HOPFLOW_ISA
}  // namespace hopflow::cpu
