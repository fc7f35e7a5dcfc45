#include "partition/partition.h"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "core/prefetch.h"

namespace hopflow::cpu {
namespace {

constexpr std::int64_t kAhead = 32;              // neighbours that are on their way from memory
constexpr std::int64_t kNodesBetween = 1 << 18;  // from one now_and_then() to the next

// Votes of a node's neighbours by part; only parts that were counted are cleared.
class Votes {
 public:
  explicit Votes(std::int64_t num_parts) : counts_(num_parts) {}

  void Add(std::int16_t part, std::int64_t votes) {
    if (part < 0 || votes == 0) return;
    if (counts_[part] == 0) touched_.push_back(part);
    counts_[part] += votes;
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

// The running majority of the parts that a node's out-neighbours chose (Boyer, Moore 1981): edges
// are stored by their destination, and a node has no list of those that it leads to.
struct Majority {
  std::int16_t part = 0;
  std::uint16_t votes = 0;

  void Vote(std::int16_t vote) {
    if (votes == 0) part = vote;
    if (part != vote) {
      --votes;
    } else if (votes < std::numeric_limits<std::uint16_t>::max()) {
      ++votes;
    }
  }
};

template <typename Index, typename Item, typename Visit>
void VisitSources(const StreamedEdges& edges, std::int64_t row, const Item* items, Visit visit) {
  const Index* const indices = static_cast<const Index*>(edges.indices);
  const std::int64_t end = edges.indptr[row + 1];
  for (std::int64_t e = edges.indptr[row]; e < end; ++e) {
    if (e + kAhead < end) Prefetch(items + edges.first_src + indices[e + kAhead]);
    visit(edges.first_src + indices[e]);
  }
}

// Calls visit(u) for each in-edge u -> v; it reads items[u].
template <typename Item, typename Visit>
void VisitSources(const std::vector<StreamedEdges>& edges, std::int64_t v, const Item* items,
                  Visit visit) {
  for (const StreamedEdges& of : edges) {
    const std::int64_t row = v - of.first_dst;
    if (row < 0 || row >= of.num_rows) continue;
    if (of.wide) {
      VisitSources<std::int64_t>(of, row, items, visit);
    } else {
      VisitSources<std::int32_t>(of, row, items, visit);
    }
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
  std::int64_t At(std::uint8_t kind, std::int64_t part) const {
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

// votes * (1 - load / cap), without a division: all have the cap in common.
std::int16_t Best(const Votes& votes, const Loads& loads, std::uint8_t kind, std::int64_t cap) {
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
  return best;
}

}  // namespace

void StreamParts(std::int64_t num_nodes, const std::vector<StreamedEdges>& edges,
                 const Classes& classes, std::int64_t num_parts, const StreamOptions& options,
                 const std::function<void()>& now_and_then, std::int16_t* parts) {
  Votes votes(num_parts);
  Loads loads(num_parts, classes);
  std::vector<Majority> majorities(num_nodes);
  for (std::int64_t v = 0; v < num_nodes; ++v) {
    if (parts[v] >= 0) ++loads.At(classes.of_node[v], parts[v]);
  }
  for (std::int64_t i = 0; i < options.num_passes * num_nodes; ++i) {
    const std::int64_t v = i % num_nodes;
    if (i % kNodesBetween == 0) now_and_then();
    const std::uint8_t kind = classes.of_node[v];
    const std::int64_t cap = classes.caps[kind];
    if (parts[v] >= 0) {
      if (options.only_full && loads.At(kind, parts[v]) <= cap) continue;
      --loads.At(kind, parts[v]);
    }
    VisitSources(edges, v, parts, [&](std::int64_t u) { votes.Add(parts[u], 1); });
    votes.Add(majorities[v].part, majorities[v].votes);
    majorities[v] = {};
    const std::int16_t best = Best(votes, loads, kind, cap);
    votes.Clear();
    parts[v] = best;
    ++loads.At(kind, best);
    VisitSources(edges, v, majorities.data(), [&](std::int64_t u) {
      if (u != v) majorities[u].Vote(best);
    });
  }
}

}  // namespace hopflow::cpu
