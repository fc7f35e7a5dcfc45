#include "ppr_neighbors/ppr_neighbors.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <limits>
#include <vector>

#include "core/check.h"
#include "core/dtype.h"
#include "core/parallel.h"
#include "core/prefetch.h"
#include "core/rng.h"

namespace hopflow::cpu {
namespace {

// Seeds that a thread takes at a time: their work differs too much to be dealt out beforehand.
constexpr std::int64_t kSeedsATurn = 4;
// Edges whose sources' memory is asked for at once.
constexpr std::int64_t kGroup = 64;

// The pushes from one seed after another, in memory that is kept.
template <typename Id, typename W>
class Push {
 public:
  explicit Push(const PprArgs<Id, W>& args) : args_(args) { Rehash(256); }

  // Finds the neighbours of seed number s and writes them.
  void Run(std::int64_t s) {
    Forget();
    const auto seed = static_cast<Id>(args_.seeds[s]);
    Reserve(1);
    nodes_[PlaceOf(seed)].residual = 1;
    const Row row = RowOf(seed);
    if (ThresholdOf(row.degree) > 1) {
      rows_.push_back(row);
      rows_[0].score = args_.alpha;
    } else {
      Enqueue(0);
    }
    // A round pushes what the one before has put in line: first in, first out.
    while (!next_.empty()) {
      std::swap(now_, next_);
      next_.clear();
      for (const std::uint32_t place : now_) PushNode(place);
    }
    Write(s);
  }

 private:
  // Instead of a row's place.
  static constexpr std::uint32_t kUnread = std::numeric_limits<std::uint32_t>::max();
  static constexpr std::uint32_t kNeverPushed = kUnread - 1;

  struct Node {
    double residual;
    // Of the residual, for the node to be put in line: epsilon, the least that it can be, until its
    // row is read; infinite while it is in line.
    double threshold;
    Id id;
    std::uint32_t row;  // in rows_
  };
  // What only nodes that are pushed need.
  struct Row {
    std::int64_t first, last;
    std::int64_t degree;  // edges that are not excluded
    double score;
    Id id;
  };
  struct Bucket {
    std::uint32_t stamp;  // of the seed that wrote it; another's is empty
    std::uint32_t place;  // in nodes_
  };
  struct Found {
    double score;
    Id id;
    // By falling score, then by id.
    bool operator<(const Found& other) const {
      return score != other.score ? score > other.score : id < other.id;
    }
  };

  void Forget() {
    size_ = 0;
    rows_.clear();
    if (++stamp_ == 0) {
      std::fill(table_.begin(), table_.end(), Bucket{0, 0});
      stamp_ = 1;
    }
  }

  // Makes room for so many more nodes: the table stays at most half full.
  void Reserve(std::int64_t more) {
    const auto wanted = static_cast<std::size_t>(std::min(size_ + more, args_.num_nodes));
    if (wanted <= table_.size() / 2) return;
    CheckValue(wanted < kNeverPushed, "epsilon: ", args_.epsilon, " reaches more nodes than 2^32");
    Rehash(std::bit_ceil(2 * wanted));
  }

  void Rehash(std::size_t capacity) {
    table_.assign(capacity, Bucket{0, 0});
    nodes_.resize(capacity / 2);
    shift_ = 64 - (std::bit_width(capacity) - 1);
    stamp_ = 1;
    for (std::int64_t i = 0; i < size_; ++i) {
      std::size_t at = Home(nodes_[i].id);
      while (table_[at].stamp == stamp_) at = (at + 1) & (capacity - 1);
      table_[at] = {stamp_, static_cast<std::uint32_t>(i)};
    }
  }

  std::size_t Home(Id id) const {
    return (static_cast<std::uint64_t>(id) * kGoldenGamma) >> shift_;
  }

  // The node's place, which is a new one if it has none yet. There must be room.
  std::uint32_t PlaceOf(Id id) {
    for (std::size_t at = Home(id);; at = (at + 1) & (table_.size() - 1)) {
      Bucket& bucket = table_[at];
      if (bucket.stamp != stamp_) {
        CheckIndex(0 <= id && id < args_.num_nodes, "indices: an edge comes from ", id,
                   ", expected 0 <= id < ", args_.num_nodes, " (number of nodes)");
        const auto place = static_cast<std::uint32_t>(size_++);
        bucket = {stamp_, place};
        nodes_[place] = {0, args_.epsilon, id, kUnread};
        return place;
      }
      if (nodes_[bucket.place].id == id) return bucket.place;
    }
  }

  // The first excluded edge that is not before `position`.
  const std::int64_t* ExcludedFrom(std::int64_t position) const {
    return std::lower_bound(args_.excluded, args_.excluded + args_.num_excluded, position);
  }

  Row RowOf(Id node) const {
    const auto id = static_cast<std::int64_t>(node);
    const std::int64_t first = args_.indptr[id], last = args_.indptr[id + 1];
    CheckValue(0 <= first && first <= last && last <= args_.num_edges, "indptr[", id, ":", id + 2,
               "] is [", first, ", ", last, "]: no range of the ", args_.num_edges, " edges");
    std::int64_t degree = last - first;
    if (args_.num_excluded > 0) degree -= ExcludedFrom(last) - ExcludedFrom(first);
    return {first, last, degree, 0, node};
  }

  double ThresholdOf(std::int64_t degree) const {
    return args_.epsilon * static_cast<double>(std::max<std::int64_t>(1, degree));
  }

  void Enqueue(std::uint32_t place) {
    Node& node = nodes_[place];
    if (node.row == kUnread) {
      node.row = kNeverPushed;
      node.threshold = ThresholdOf(RowOf(node.id).degree);
      if (node.residual < node.threshold) return;
    }
    if (node.row == kNeverPushed) {
      node.row = static_cast<std::uint32_t>(rows_.size());
      rows_.push_back(RowOf(node.id));
    }
    node.threshold = std::numeric_limits<double>::infinity();
    Prefetch(args_.indices + rows_[node.row].first);
    next_.push_back(place);
  }

  void PushNode(std::uint32_t place) {
    Node& node = nodes_[place];
    const Row row = rows_[node.row];
    const double mass = node.residual;
    node.residual = 0;
    node.threshold = ThresholdOf(row.degree);
    rows_[node.row].score = row.score + (row.degree == 0 ? mass : args_.alpha * mass);
    const double rest = (1 - args_.alpha) * mass;
    if (row.degree == 0 || !(rest > 0)) return;
    Reserve(row.degree);
    const double share = rest / static_cast<double>(row.degree);
    if (args_.weights == nullptr) {
      ForEdges(row, [&](std::int64_t e) { Add(args_.indices[e], share); });
      return;
    }
    double total = 0;
    ForEdges(row, [&](std::int64_t e) { total += static_cast<double>(args_.weights[e]); });
    ForEdges(row, [&](std::int64_t e) {
      Add(args_.indices[e], rest * (static_cast<double>(args_.weights[e]) / total));
    });
  }

  // Calls f(e) for the edges of a row that are not excluded, in groups: what f reads for their
  // sources is asked for before it is first needed, in short rows too.
  template <typename F>
  void ForEdges(const Row& row, F&& f) {
    const std::int64_t* gone = args_.excluded + args_.num_excluded;
    const std::int64_t* const end = gone;
    if (row.degree != row.last - row.first) gone = ExcludedFrom(row.first);
    for (std::int64_t group = row.first; group < row.last; group += kGroup) {
      const std::int64_t group_end = std::min(group + kGroup, row.last);
      for (std::int64_t e = group; e < group_end; ++e) {
        const Id id = args_.indices[e];
        Prefetch(table_.data() + Home(id));
        if (0 <= id && id < args_.num_nodes) Prefetch(args_.indptr + id);
      }
      for (std::int64_t e = group; e < group_end; ++e) {
        if (gone != end && *gone == e) {
          ++gone;
        } else {
          f(e);
        }
      }
    }
  }

  void Add(Id id, double mass) {
    const std::uint32_t place = PlaceOf(id);
    Node& node = nodes_[place];
    node.residual += mass;
    if (node.residual >= node.threshold) Enqueue(place);
  }

  void Write(std::int64_t s) {
    found_.clear();
    for (const Row& row : rows_) {
      if (row.score > 0) found_.push_back({row.score, row.id});
    }
    const auto count = std::min(args_.k, static_cast<std::int64_t>(found_.size()));
    const auto last = found_.begin() + count;
    if (last != found_.end()) std::nth_element(found_.begin(), last, found_.end());
    std::sort(found_.begin(), last);
    Id* const neighbors = args_.neighbors + s * args_.k;
    double* const scores = args_.scores + s * args_.k;
    for (std::int64_t i = 0; i < count; ++i) {
      neighbors[i] = found_[i].id;
      scores[i] = found_[i].score;
    }
    std::fill_n(neighbors + count, args_.k - count, Id{-1});
    std::fill_n(scores + count, args_.k - count, 0.0);
    args_.counts[s] = count;
  }

  const PprArgs<Id, W>& args_;
  std::vector<Bucket> table_;  // open addressing with linear probing; a power of two
  std::vector<Node> nodes_;    // the first size_ are of this seed
  std::int64_t size_ = 0;
  std::vector<Row> rows_;
  std::vector<std::uint32_t> now_, next_;  // places of nodes in line
  std::vector<Found> found_;
  std::uint32_t stamp_ = 1;
  int shift_ = 0;
};

}  // namespace

template <typename Id, typename W>
void PprNeighbors(const PprArgs<Id, W>& args) {
  std::atomic<std::int64_t> next{0};
  ParallelParts(NumParts(args.num_seeds, kSeedsATurn), [&](int) {
    Push<Id, W> push(args);
    for (;;) {
      const std::int64_t begin = next.fetch_add(kSeedsATurn, std::memory_order_relaxed);
      if (begin >= args.num_seeds) return;
      const std::int64_t end = std::min(begin + kSeedsATurn, args.num_seeds);
      for (std::int64_t s = begin; s < end; ++s) push.Run(s);
    }
  });
}

#define HOPFLOW_INSTANTIATE(Id)                                     \
  template void PprNeighbors<Id, float>(const PprArgs<Id, float>&); \
  template void PprNeighbors<Id, double>(const PprArgs<Id, double>&);
HOPFLOW_FOR_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
