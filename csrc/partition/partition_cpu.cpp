#include "partition/partition.h"

#include <algorithm>
#include <cstddef>

#include "core/prefetch.h"

namespace hopflow::cpu {
namespace {

constexpr std::int64_t kAhead = 32;  // neighbours whose parts are on their way

// Counts of a node's in-neighbours by part; only parts that were counted are cleared.
class Votes {
 public:
  explicit Votes(std::int64_t num_parts) : counts_(num_parts) {}

  void Add(std::int16_t part) {
    if (part < 0) return;
    if (counts_[part]++ == 0) touched_.push_back(part);
  }
  std::int64_t Of(std::int16_t part) const { return counts_[part]; }
  const std::vector<std::int16_t>& touched() const { return touched_; }
  void Clear() {
    for (const std::int16_t part : touched_) counts_[part] = 0;
    touched_.clear();
  }

 private:
  std::vector<std::int64_t> counts_;
  std::vector<std::int16_t> touched_;
};

template <typename Index>
void Count(const StreamedEdges& edges, std::int64_t row, const std::int16_t* parts, Votes& votes) {
  const Index* const indices = static_cast<const Index*>(edges.indices);
  const std::int64_t end = edges.indptr[row + 1];
  for (std::int64_t e = edges.indptr[row]; e < end; ++e) {
    if (e + kAhead < end) Prefetch(parts + edges.first_src + indices[e + kAhead]);
    votes.Add(parts[edges.first_src + indices[e]]);
  }
}

// How many nodes of each class are in each part, and the part with the fewest.
class Loads {
 public:
  Loads(std::int64_t num_parts, const Classes& classes)
      : num_parts_(num_parts), loads_(num_parts * classes.caps.size()) {}

  std::int64_t& At(std::uint8_t kind, std::int64_t part) {
    return loads_[kind * num_parts_ + part];
  }
  std::int16_t Emptiest(std::uint8_t kind) const {
    const auto begin = loads_.begin() + static_cast<std::ptrdiff_t>(kind * num_parts_);
    return static_cast<std::int16_t>(std::min_element(begin, begin + num_parts_) - begin);
  }

 private:
  const std::int64_t num_parts_;
  std::vector<std::int64_t> loads_;
};

}  // namespace

void StreamParts(std::int64_t num_nodes, const std::vector<StreamedEdges>& edges,
                 const Classes& classes, std::int64_t num_parts, bool only_full,
                 std::int16_t* parts) {
  Votes votes(num_parts);
  Loads loads(num_parts, classes);
  for (std::int64_t v = 0; v < num_nodes; ++v) {
    if (parts[v] >= 0) ++loads.At(classes.of_node[v], parts[v]);
  }
  for (std::int64_t v = 0; v < num_nodes; ++v) {
    const std::uint8_t kind = classes.of_node[v];
    const std::int64_t cap = classes.caps[kind];
    if (parts[v] >= 0) {
      if (only_full && loads.At(kind, parts[v]) <= cap) continue;
      --loads.At(kind, parts[v]);
    }
    for (const StreamedEdges& of : edges) {
      const std::int64_t row = v - of.first_dst;
      if (row < 0 || row >= of.num_rows) continue;
      if (of.wide) {
        Count<std::int64_t>(of, row, parts, votes);
      } else {
        Count<std::int32_t>(of, row, parts, votes);
      }
    }
    // votes * (1 - load / cap), without a division: all have the cap in common.
    std::int16_t best = loads.Emptiest(kind);
    std::int64_t most = votes.Of(best) * (cap - loads.At(kind, best));
    for (const std::int16_t part : votes.touched()) {
      const std::int64_t load = loads.At(kind, part);
      const std::int64_t score = votes.Of(part) * (cap - load);
      if (load >= cap || score < most) continue;
      const std::int64_t rival = loads.At(kind, best);
      if (score > most || load < rival || (load == rival && part < best)) {
        most = score;
        best = part;
      }
    }
    votes.Clear();
    parts[v] = best;
    ++loads.At(kind, best);
  }
}

}  // namespace hopflow::cpu
