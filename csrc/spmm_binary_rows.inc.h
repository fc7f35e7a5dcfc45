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

}  // namespace

// `message` and `total` are room for a row each, `winner` for a row of edges.
template <typename T, typename Id>
void SpmmBinaryRows(const SpmmBinaryArgs<T, Id>& a, Reduce reduce, std::int64_t begin,
                    std::int64_t end, Accumulator<T>* message, Accumulator<T>* total,
                    std::int32_t* winner) {
  const Messages<T, Id>& m = a.messages;
  const std::int64_t width = m.width();
  const bool is_sum = reduce == Reduce::kSum || reduce == Reduce::kMean;
  for (std::int64_t v = begin; v < end; ++v) {
    const std::int64_t first = m.indptr[v], last = m.indptr[v + 1];
    for (std::int64_t d = 0; d < width; ++d) total[d] = 0;
    for (std::int64_t d = 0; d < width && !is_sum; ++d) winner[d] = last > first ? 0 : -1;
    for (std::int64_t p = first; p < last; ++p) {
      PrefetchMessage(m, p);
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
