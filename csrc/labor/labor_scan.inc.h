// The scan of a row for the edges whose source's variate is below a threshold, compiled by
// foreach_isa.h: no include guard, no includes.

namespace hopflow::cpu {
namespace HOPFLOW_ISA {
namespace {

typedef std::uint64_t UInt64Vec __attribute__((vector_size(HOPFLOW_VECTOR_BYTES)));
typedef std::int64_t CompareVec __attribute__((vector_size(HOPFLOW_VECTOR_BYTES)));
constexpr int kScanLanes = HOPFLOW_VECTOR_BYTES / 8;

[[gnu::always_inline]] inline UInt64Vec LoadIds(const std::int64_t* ids) {
  UInt64Vec v;
  __builtin_memcpy(&v, ids, sizeof v);
  return v;
}
[[gnu::always_inline]] inline UInt64Vec LoadIds(const std::int32_t* ids) {
  typedef std::uint32_t Narrow __attribute__((vector_size(HOPFLOW_VECTOR_BYTES / 2)));
  Narrow v;
  __builtin_memcpy(&v, ids, sizeof v);
  return __builtin_convertvector(v, UInt64Vec);
}

// Variates::Of with Mix64(key + kGoldenGamma) made before.
[[gnu::always_inline]] inline CompareVec VariatesOf(std::uint64_t mixed_key, UInt64Vec node) {
  UInt64Vec x = mixed_key ^ (node * 0xd6e8feb86659fd93ULL + kGoldenGamma);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return reinterpret_cast<CompareVec>((x ^ (x >> 31)) >> 11);
}

// Writes the ids and the numbers of those of the edges [0, n) that are kept; returns how many.
// `readable` ids may be read, n or more; the outputs have room for n.
template <bool kTwoKeys, typename Id, typename Position>
std::int64_t KeepBelow(const Id* ids, std::int64_t n, std::int64_t readable, const Variates& of,
                       std::uint64_t threshold, Id* out_ids, Position* out_edges) {
  constexpr int kBlock = 64;  // edges, a bit each
  const std::uint64_t mixed = Mix64(of.key + kGoldenGamma);
  const std::uint64_t second = Mix64(of.second_key + kGoldenGamma);
  const std::uint64_t choice = Mix64(of.ChoiceKey() + kGoldenGamma);
  const CompareVec below = CompareVec{} + static_cast<std::int64_t>(threshold);
  const CompareVec share = CompareVec{} + static_cast<std::int64_t>(of.share);
  UInt64Vec lane_bits;
  for (int lane = 0; lane < kScanLanes; ++lane) lane_bits[lane] = std::uint64_t{1} << lane;
  std::int64_t kept = 0;
  Id padded[kBlock];
  for (std::int64_t block = 0; block < n; block += kBlock) {
    const std::int64_t count = n - block < kBlock ? n - block : kBlock;
    const std::int64_t num_vecs = (count + kScanLanes - 1) / kScanLanes;
    const Id* from = ids + block;
    if (block + num_vecs * kScanLanes > readable) {
      for (int i = 0; i < kBlock; ++i) padded[i] = i < count ? from[i] : Id{0};
      from = padded;
    }
    UInt64Vec bits = UInt64Vec{};
    for (std::int64_t v = 0; v < num_vecs; ++v) {
      const UInt64Vec node = LoadIds(from + v * kScanLanes);
      CompareVec r = VariatesOf(mixed, node);
      if constexpr (kTwoKeys) {
        const CompareVec is_second = VariatesOf(choice, node) < share;
        r = is_second ? VariatesOf(second, node) : r;
      }
      bits |= reinterpret_cast<UInt64Vec>(r < below) & (lane_bits << (v * kScanLanes));
    }
    std::uint64_t mask = 0;
    for (int lane = 0; lane < kScanLanes; ++lane) mask |= bits[lane];
    if (count < kBlock) mask &= (std::uint64_t{1} << count) - 1;
    for (; mask != 0; mask &= mask - 1) {
      const int i = __builtin_ctzll(mask);
      out_ids[kept] = ids[block + i];
      out_edges[kept] = static_cast<Position>(block + i);
      ++kept;
    }
  }
  return kept;
}

}  // namespace
}  // namespace HOPFLOW_ISA
}  // namespace hopflow::cpu
