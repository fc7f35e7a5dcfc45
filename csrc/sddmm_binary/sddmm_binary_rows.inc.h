// The row loop of the binary SDDMM, compiled by foreach_isa.h: no include guard, no includes.

namespace hopflow::cpu {
namespace HOPFLOW_ISA {

// `message` is room for one.
template <typename T, typename Id>
void SddmmBinaryRows(const SddmmBinaryArgs<T, Id>& a, std::int64_t begin, std::int64_t end,
                     Accumulator<T>* message) {
  const Messages<T, Id>& m = a.messages;
  const std::int64_t width = m.width();
  const bool has_vecs = HasVecs(m);
  const RowAhead lhs = AheadOf(m, m.lhs, 0, 0, width), rhs = AheadOf(m, m.rhs, 0, 0, width);
  for (std::int64_t v = begin; v < end; ++v) {
    for (std::int64_t p = m.indptr[v]; p < m.indptr[v + 1]; ++p) {
      PrefetchMessage(m, p, lhs, rhs);
      T* out = a.out + m.EdgeAt(p) * width;
      if (has_vecs) {
        for (std::int64_t head = 0; head < m.outer; ++head) {
          ForVecColumns<T>(m.inner, [&]<int kVecs>(std::int64_t column) {
            std::int64_t offset[kVecs];
            VecOffsets<kVecs, T>(column, m.inner, offset);
            VecFor<T> vecs[kVecs];
            MessageVecs<kVecs>(m, p, v, head, offset, vecs);
#pragma GCC unroll 8
            for (int i = 0; i < kVecs; ++i) StoreVec(out + head * m.inner + offset[i], vecs[i]);
          });
        }
        continue;
      }
      WriteMessage(m, p, v, message);
      for (std::int64_t d = 0; d < width; ++d) out[d] = Narrow<T>(message[d]);
    }
  }
}

}  // namespace HOPFLOW_ISA
}  // namespace hopflow::cpu
