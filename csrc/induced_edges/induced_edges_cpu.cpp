#include "induced_edges/induced_edges.h"

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "core/dtype.h"
#include "core/id_map.h"
#include "core/parallel.h"

namespace hopflow::cpu {
namespace {

constexpr std::int64_t kGrain = 16384;  // edges plus rows that are worth a thread
constexpr std::int64_t kChunk = 256;    // edges looked up at a time

// The kept sources, each with its place. Most edges come from other nodes: a bit a hash, in memory
// near the processor, turns nearly all of these away.
template <typename Id>
class KeptSources {
 public:
  KeptSources(std::int64_t num_src, const Id* src) : table_(num_src) {
    Buffer ids = Buffer::Of<Id>(num_src + 1), places = Buffer::Of<Id>(num_src);
    IdList<Id> list{ids.as<Id>(), 0};
    table_.Insert(num_src, src, list, places.as<Id>());
    CheckValue(list.size == num_src, "src: expected distinct nodes, got ", num_src - list.size,
               " more than once");
    int log_bits = 9;
    while ((std::int64_t{1} << log_bits) < kBitsANode * num_src) ++log_bits;
    shift_ = 64 - log_bits;
    bits_.resize(std::size_t{1} << (log_bits - 6));
    for (std::int64_t i = 0; i < num_src; ++i) {
      const std::uint64_t hash = Hash(src[i]);
      bits_[hash >> 6] |= std::uint64_t{1} << (hash & 63);
    }
  }

  // Writes the place of each id that is kept, and where it stands in `ids`; returns how many are.
  std::int64_t Find(std::int64_t n, const Id* ids,         // [n], n <= kChunk
                    Id* places, std::int32_t* at) const {  // [n]
    Id some[kChunk];
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const std::uint64_t hash = Hash(ids[i]);
      some[count] = ids[i];
      at[count] = static_cast<std::int32_t>(i);
      count += bits_[hash >> 6] >> (hash & 63) & 1;
    }
    table_.Find(count, some, places);
    std::int64_t found = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      places[found] = places[i];
      at[found] = at[i];
      found += places[i] >= 0;
    }
    return found;
  }

 private:
  static constexpr std::int64_t kBitsANode = 16;

  std::uint64_t Hash(Id id) const {
    return (static_cast<std::uint64_t>(id) * kGoldenGamma) >> shift_;
  }

  IdTable<Id, Id> table_;
  std::vector<std::uint64_t> bits_;
  int shift_;
};

// Calls f(row, position, count, places, at) for stretches of the in-edges of rows [begin, end):
// edge position + at[i] is kept, for i < count, and its source has place places[i].
template <typename Id, typename F>
void ForKept(const KeptSources<Id>& sources, const std::int64_t* indptr, const Id* indices,
             const std::int64_t* dst, std::int64_t begin, std::int64_t end, F&& f) {
  Id places[kChunk];
  std::int32_t at[kChunk];
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t last = indptr[dst[row] + 1];
    for (std::int64_t first = indptr[dst[row]]; first < last; first += kChunk) {
      const std::int64_t n = std::min(kChunk, last - first);
      f(row, first, sources.Find(n, indices + first, places, at), places, at);
    }
  }
}

}  // namespace

template <typename Id>
void CountInducedEdges(std::int64_t num_nodes, std::int64_t num_edges, std::int64_t num_dst,
                       std::int64_t num_src, const std::int64_t* indptr, const Id* indices,
                       const std::int64_t* dst, const Id* src, std::int64_t* out_indptr) {
  std::vector<std::int64_t> rows(num_dst + 1);
  for (std::int64_t i = 0; i < num_dst; ++i) {
    CheckIndex(dst[i] >= 0 && dst[i] < num_nodes, "dst[", i, "] is ", dst[i],
               ", but the graph has ", num_nodes, " nodes");
    const std::int64_t first = indptr[dst[i]], last = indptr[dst[i] + 1];
    CheckValue(0 <= first && first <= last && last <= num_edges, "indptr[", dst[i], ":", dst[i] + 2,
               "] is [", first, ", ", last, "]: no range of the ", num_edges, " edges");
    rows[i + 1] = rows[i] + last - first;
  }
  for (std::int64_t i = 0; i < num_src; ++i) {
    CheckIndex(src[i] >= 0, "src[", i, "] is ", src[i], ", expected ids >= 0");
  }
  const KeptSources<Id> sources(num_src, src);
  std::fill_n(out_indptr, num_dst + 1, std::int64_t{0});
  ParallelRows(rows.data(), num_dst, kGrain, [&](std::int64_t begin, std::int64_t end) {
    ForKept(sources, indptr, indices, dst, begin, end,
            [&](std::int64_t row, std::int64_t, std::int64_t count, const Id*,
                const std::int32_t*) { out_indptr[row + 1] += count; });
  });
  for (std::int64_t i = 0; i < num_dst; ++i) out_indptr[i + 1] += out_indptr[i];
}

template <typename Id>
void InducedEdges(std::int64_t num_dst, std::int64_t num_src, const std::int64_t* indptr,
                  const Id* indices, const std::int64_t* dst, const Id* src,
                  const std::int64_t* out_indptr, Id* out_indices, std::int64_t* out_positions) {
  std::vector<std::int64_t> rows(num_dst + 1);
  for (std::int64_t i = 0; i < num_dst; ++i) {
    rows[i + 1] = rows[i] + indptr[dst[i] + 1] - indptr[dst[i]];
  }
  const KeptSources<Id> sources(num_src, src);
  ParallelRows(rows.data(), num_dst, kGrain, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t to = begin < end ? out_indptr[begin] : 0;
    ForKept(sources, indptr, indices, dst, begin, end,
            [&](std::int64_t, std::int64_t position, std::int64_t count, const Id* places,
                const std::int32_t* at) {
              std::copy_n(places, count, out_indices + to);
              for (std::int64_t i = 0; i < count; ++i) out_positions[to + i] = position + at[i];
              to += count;
            });
  });
}

#define HOPFLOW_INSTANTIATE(Id)                                                               \
  template void CountInducedEdges<Id>(std::int64_t, std::int64_t, std::int64_t, std::int64_t, \
                                      const std::int64_t*, const Id*, const std::int64_t*,    \
                                      const Id*, std::int64_t*);                              \
  template void InducedEdges<Id>(std::int64_t, std::int64_t, const std::int64_t*, const Id*,  \
                                 const std::int64_t*, const Id*, const std::int64_t*, Id*,    \
                                 std::int64_t*);
HOPFLOW_FOR_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
