#include "induced_edges/induced_edges.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/dtype.h"
#include "core/id_map.h"
#include "core/parallel.h"
#include "core/prefetch.h"
#include "csc/csc.h"

namespace hopflow::cpu {
namespace {

constexpr std::int64_t kGrain = 16384;  // edges plus rows that are worth a thread
constexpr std::int64_t kChunk = 256;    // edges looked up at a time

void CheckDistinct(std::int64_t num_src, std::int64_t num_distinct) {
  CheckValue(num_src == num_distinct, "src: expected distinct nodes, got ", num_src - num_distinct,
             " more than once");
}

// The kept sources, each with its place, in a table of slots for all ids below `range`. A bit an
// id, in memory near the processor, says which slots hold one: the others are never written.
template <typename Id>
class DirectSources {
 public:
  DirectSources(std::int64_t num_src, const std::int64_t* src, std::int64_t range)
      : range_(range), bits_(range / 64 + 1), places_(Buffer::Of<Id>(range)) {
    Id* const places = places_.as<Id>();
    std::int64_t num_distinct = 0;
    for (std::int64_t i = 0; i < num_src; ++i) {
      std::uint64_t& word = bits_[src[i] >> 6];
      const std::uint64_t bit = std::uint64_t{1} << (src[i] & 63);
      num_distinct += (word & bit) == 0;
      word |= bit;
      places[src[i]] = static_cast<Id>(i);
    }
    CheckDistinct(num_src, num_distinct);
  }

  // Of the edges from position `first` on those whose source is kept: their positions, and what
  // Finish() makes their places. Returns how many there are.
  std::int64_t Find(std::int64_t n, const Id* ids, std::int64_t first,  // [n]
                    Id* places, std::int64_t* positions) const {        // [n]
    const std::uint64_t* const bits = bits_.data();
    const auto range = static_cast<std::uint64_t>(range_);
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const auto id = static_cast<std::uint64_t>(ids[i]);
      const bool is_within = id < range;
      const std::uint64_t word = bits[is_within ? id >> 6 : 0];
      places[count] = ids[i];
      positions[count] = first + i;
      count += static_cast<std::int64_t>(is_within & (word >> (id & 63)));
    }
    return count;
  }

  // Rows are short; all at once have more slots on their way.
  void Finish(std::int64_t n, Id* places) const {
    const Id* const of_id = places_.as<Id>();
    for (std::int64_t i = 0; i < n; ++i) places[i] = of_id[places[i]];
  }

 private:
  std::int64_t range_;
  std::vector<std::uint64_t> bits_;
  Buffer places_;  // [range]
};

// The same in memory that follows the number of sources. Most edges come from other nodes: a bit a
// hash turns nearly all of these away.
template <typename Id>
class HashedSources {
 public:
  HashedSources(std::int64_t num_src, const std::int64_t* src) : table_(num_src) {
    Buffer given = Buffer::Of<Id>(num_src), ids = Buffer::Of<Id>(num_src + 1);
    Buffer places = Buffer::Of<Id>(num_src);
    std::copy_n(src, num_src, given.as<Id>());
    IdList<Id> list{ids.as<Id>(), 0};
    table_.Insert(num_src, given.as<Id>(), list, places.as<Id>());
    CheckDistinct(num_src, list.size);
    int log_bits = 9;
    while ((std::int64_t{1} << log_bits) < kBitsANode * num_src) ++log_bits;
    shift_ = 64 - log_bits;
    bits_.resize(std::size_t{1} << (log_bits - 6));
    for (std::int64_t i = 0; i < num_src; ++i) {
      const std::uint64_t hash = Hash(given.as<Id>()[i]);
      bits_[hash >> 6] |= std::uint64_t{1} << (hash & 63);
    }
  }

  std::int64_t Find(std::int64_t n, const Id* ids, std::int64_t first, Id* places,
                    std::int64_t* positions) const {
    Id some[kChunk];
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const std::uint64_t hash = Hash(ids[i]);
      some[count] = ids[i];
      positions[count] = first + i;
      count += bits_[hash >> 6] >> (hash & 63) & 1;
    }
    table_.Find(count, some, places);
    std::int64_t found = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      places[found] = places[i];
      positions[found] = positions[i];
      found += places[i] >= 0;
    }
    return found;
  }

  void Finish(std::int64_t, Id*) const {}

 private:
  static constexpr std::int64_t kBitsANode = 16;

  std::uint64_t Hash(Id id) const {
    return (static_cast<std::uint64_t>(id) * kGoldenGamma) >> shift_;
  }

  IdTable<Id, Id> table_;
  std::vector<std::uint64_t> bits_;
  int shift_;
};

// Kept edges as a thread finds them, in memory that doubles.
template <typename Id>
class FoundEdges {
 public:
  // Of up to kChunk edges from `first` on those that are kept; returns how many are.
  template <typename Sources>
  std::int64_t Add(const Sources& sources, std::int64_t n, const Id* ids, std::int64_t first) {
    if (size_ + n > capacity_) Grow();
    const std::int64_t count = sources.Find(n, ids, first, places_.template as<Id>() + size_,
                                            positions_.template as<std::int64_t>() + size_);
    size_ += count;
    return count;
  }

  template <typename Sources>
  void Finish(const Sources& sources) {
    sources.Finish(size_, places_.template as<Id>());
  }

  void CopyTo(Id* places, std::int64_t* positions) const {
    std::copy_n(places_.template as<Id>(), size_, places);
    std::copy_n(positions_.template as<std::int64_t>(), size_, positions);
  }

  std::int64_t size() const { return size_; }

 private:
  void Grow() {
    capacity_ = std::max(2 * capacity_, 4 * kChunk);
    Buffer places = Buffer::Of<Id>(capacity_), positions = Buffer::Of<std::int64_t>(capacity_);
    CopyTo(places.as<Id>(), positions.as<std::int64_t>());
    places_ = std::move(places);
    positions_ = std::move(positions);
  }

  Buffer places_, positions_;  // [capacity]
  std::int64_t size_ = 0, capacity_ = 0;
};

// In-edges of the destinations: row i has those from position first[i] on, and if all were kept
// they would begin at before[i].
struct Rows {
  std::int64_t count;
  std::int64_t* first;   // [count]
  std::int64_t* before;  // [count + 1]
};

// The edges of rows [begin, end) whose source is kept; counts[row] gets their number.
template <typename Id, typename Sources>
void FindInRows(const Sources& sources, const Rows& rows, const Id* indices, std::int64_t begin,
                std::int64_t end, std::int64_t* counts, FoundEdges<Id>& found) {
  constexpr std::int64_t kAhead = 12;  // rows are anywhere in the graph, and most are short
  for (std::int64_t row = begin; row < end; ++row) {
    if (row + kAhead < end) {
      const std::int64_t size = rows.before[row + kAhead + 1] - rows.before[row + kAhead];
      Prefetch(indices + rows.first[row + kAhead]);
      Prefetch(indices + rows.first[row + kAhead] + size - 1);
    }
    const std::int64_t last = rows.first[row] + rows.before[row + 1] - rows.before[row];
    std::int64_t count = 0;
    for (std::int64_t first = rows.first[row]; first < last; first += kChunk) {
      count += found.Add(sources, std::min(kChunk, last - first), indices + first, first);
    }
    counts[row] = count;
  }
  found.Finish(sources);
}

template <typename Id, typename Sources>
InducedRows FindInduced(const Sources& sources, const Rows& rows, const Id* indices) {
  const std::int64_t num_dst = rows.count;
  const int num_parts = NumParts(rows.before[num_dst] + num_dst, kGrain);
  InducedRows out;
  out.indptr = Buffer::Of<std::int64_t>(num_dst + 1);
  auto* const begins = out.indptr.as<std::int64_t>();
  begins[0] = 0;
  std::vector<FoundEdges<Id>> found(num_parts);
  std::vector<std::int64_t> offsets(num_parts + 1);
  ParallelParts(num_parts, [&](int part) {
    FindInRows(sources, rows, indices, BalancedRow(rows.before, num_dst, part, num_parts),
               BalancedRow(rows.before, num_dst, part + 1, num_parts), begins + 1, found[part]);
  });
  for (std::int64_t i = 0; i < num_dst; ++i) begins[i + 1] += begins[i];
  for (int part = 0; part < num_parts; ++part) {
    offsets[part + 1] = offsets[part] + found[part].size();
  }
  out.num_edges = offsets.back();
  out.indices = Buffer::Of<Id>(out.num_edges);
  out.positions = Buffer::Of<std::int64_t>(out.num_edges);
  const int num_copies = std::min(num_parts, NumParts(out.num_edges, kGrain));
  ParallelParts(num_copies, [&](int copy) {
    const auto last = static_cast<int>(PartBegin(num_parts, copy + 1, num_copies));
    for (auto part = static_cast<int>(PartBegin(num_parts, copy, num_copies)); part < last;
         ++part) {
      found[part].CopyTo(out.indices.as<Id>() + offsets[part],
                         out.positions.as<std::int64_t>() + offsets[part]);
    }
  });
  return out;
}

}  // namespace

template <typename Id>
InducedRows InducedEdges(std::int64_t num_nodes, std::int64_t num_edges, std::int64_t num_dst,
                         std::int64_t num_src, const std::int64_t* indptr, const Id* indices,
                         const std::int64_t* dst, const std::int64_t* src) {
  const Buffer memory = Buffer::Of<std::int64_t>(2 * num_dst + 1);
  const Rows rows{.count = num_dst,
                  .first = memory.as<std::int64_t>(),
                  .before = memory.as<std::int64_t>() + num_dst};
  rows.before[0] = 0;
  for (std::int64_t i = 0; i < num_dst; ++i) {
    CheckIndex(dst[i] >= 0 && dst[i] < num_nodes, "dst[", i, "] is ", dst[i],
               ", but the graph has ", num_nodes, " nodes");
    const std::int64_t first = indptr[dst[i]], last = indptr[dst[i] + 1];
    CheckValue(0 <= first && first <= last && last <= num_edges, "indptr[", dst[i], ":", dst[i] + 2,
               "] is [", first, ", ", last, "]: no range of the ", num_edges, " edges");
    rows.first[i] = first;
    rows.before[i + 1] = rows.before[i] + last - first;
  }
  constexpr std::int64_t kMost = std::numeric_limits<Id>::max();
  std::int64_t most = -1;
  for (std::int64_t i = 0; i < num_src; ++i) {
    // Cut to 32 bits it could be that of another node.
    CheckIndex(src[i] >= 0 && src[i] <= kMost, "src[", i, "] is ", src[i],
               ", expected 0 <= id <= ", kMost);
    most = std::max(most, src[i]);
  }
  // A slot for every id that there may be costs no more than the edges, or else too much memory.
  constexpr std::int64_t kIdsAnEdge = 16;
  if (most / kIdsAnEdge < rows.before[num_dst] + num_src) {
    const DirectSources<Id> sources(num_src, src, most + 1);
    return FindInduced(sources, rows, indices);
  }
  const HashedSources<Id> sources(num_src, src);
  return FindInduced(sources, rows, indices);
}

template <typename Id, typename EdgeId>
NumberedEdges NumberBySource(std::int64_t num_dst, std::int64_t num_src, std::int64_t num_edges,
                             const std::int64_t* indptr, const Id* indices,
                             const std::int64_t* eids) {
  const Buffer t_indptr = Buffer::Of<std::int64_t>(num_src + 1);
  const Buffer t_rows = Buffer::Of<Id>(num_edges);
  const Buffer t_positions = Buffer::Of<EdgeId>(num_edges);
  const Buffer out_indptr = Buffer::Of<std::int64_t>(num_dst + 1);
  auto* const begins = t_indptr.as<std::int64_t>();
  Id* const rows = t_rows.as<Id>();
  const EdgeId* const positions = t_positions.as<EdgeId>();
  NumberedEdges out;
  out.indices = Buffer::Of<Id>(num_edges);
  out.numbers = Buffer::Of<EdgeId>(num_edges);
  out.eids = Buffer::Of<std::int64_t>(num_edges);
  auto* const ids = out.eids.as<std::int64_t>();
  TransposeCsc(num_src, num_dst, indptr, indices, begins, rows, t_positions.as<EdgeId>());
  ParallelRows(begins, num_src, kGrain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::pair<std::int64_t, Id>> edges;
    for (std::int64_t i = begins[begin]; i < begins[end]; ++i) ids[i] = eids[positions[i]];
    for (std::int64_t source = begin; source < end; ++source) {
      const std::int64_t first = begins[source], last = begins[source + 1];
      // They are by destination; where ids rise with it, as in a graph made by it, that is all.
      if (std::is_sorted(ids + first, ids + last)) continue;
      edges.clear();
      for (std::int64_t i = first; i < last; ++i) edges.emplace_back(ids[i], rows[i]);
      std::sort(edges.begin(), edges.end());
      for (std::int64_t i = first; i < last; ++i) std::tie(ids[i], rows[i]) = edges[i - first];
    }
  });
  auto* const numbers = out.numbers.as<EdgeId>();
  TransposeCsc(num_dst, num_src, begins, rows, out_indptr.as<std::int64_t>(), out.indices.as<Id>(),
               numbers);
  out.is_sorted = std::is_sorted(numbers, numbers + num_edges);
  return out;
}

#define HOPFLOW_INSTANTIATE(Id)                                                                 \
  template InducedRows InducedEdges<Id>(std::int64_t, std::int64_t, std::int64_t, std::int64_t, \
                                        const std::int64_t*, const Id*, const std::int64_t*,    \
                                        const std::int64_t*);
#define HOPFLOW_INSTANTIATE_NUMBER(Id, EdgeId)                                                \
  template NumberedEdges NumberBySource<Id, EdgeId>(std::int64_t, std::int64_t, std::int64_t, \
                                                    const std::int64_t*, const Id*,           \
                                                    const std::int64_t*);
HOPFLOW_FOR_ID(HOPFLOW_INSTANTIATE)
HOPFLOW_FOR_IDS2(HOPFLOW_INSTANTIATE_NUMBER)
#undef HOPFLOW_INSTANTIATE_NUMBER
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
