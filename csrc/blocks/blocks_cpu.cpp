#include "blocks/blocks.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "core/check.h"
#include "core/dtype.h"
#include "core/id_map.h"
#include "core/parallel.h"
#include "core/prefetch.h"
#include "sample/pick_edges.h"
#include "sample/sample.h"

namespace hopflow::cpu {
namespace {

// Seeds whose edges are picked, prefetched and read while the next group is picked: enough cache
// lines in flight to hide the memory's latency, few enough to stay in the first-level cache.
constexpr std::int64_t kGroup = 64;
// Seeds that a thread takes at a time when threads share a hop.
constexpr std::int64_t kChunk = 256;
// Edges and seeds that a thread must have to be worth waking (benchmarks/bench_loader.py).
constexpr std::int64_t kGrain = 6144;
constexpr std::int64_t kCountGrain = 4096;
constexpr std::int64_t kPrefetchSeeds = 16;
constexpr std::int64_t kMostLocal = std::numeric_limits<std::int32_t>::max();

template <typename Id>
struct ScratchOf {
  std::optional<DirectMap<Id>> direct;
  std::optional<IdTable<Id, std::int32_t>> table;
  Buffer unique;     // Id, distinct ids so far
  Buffer neighbors;  // Id, sampled and not yet numbered
  std::vector<std::int64_t> begins, degrees;
};

// A buffer of at least `count` elements that keeps its first `kept`.
template <typename T>
void Grow(Buffer& buffer, std::int64_t count, std::int64_t kept) {
  const auto bytes = static_cast<std::size_t>(count) * sizeof(T);
  if (bytes <= buffer.bytes()) return;
  Buffer grown(bytes + bytes / 4);
  if (kept > 0) std::memcpy(grown.as<T>(), buffer.as<T>(), kept * sizeof(T));
  buffer = std::move(grown);
}

void CheckNotCancelled(const std::atomic<bool>* cancelled) {
  if (cancelled != nullptr && cancelled->load(std::memory_order_relaxed)) throw Cancelled();
}

// One hop of one batch: picks edges and numbers their sources.
template <typename Id, typename Position, typename Map>
class HopSampler {
 public:
  HopSampler(const CscView& graph, const SampleOptions& options, ScratchOf<Id>& scratch, Map& map,
             IdList<Id>& unique, const std::atomic<bool>* cancelled)
      : graph_(graph),
        indices_(static_cast<const Id*>(graph.indices)),
        options_(options),
        scratch_(scratch),
        map_(map),
        unique_(unique),
        cancelled_(cancelled),
        num_dst_(unique.size) {}

  SampledHop Run() {
    SampledHop hop;
    hop.num_dst = num_dst_;
    hop.indptr = Buffer::Of<std::int64_t>(num_dst_ + 1);
    indptr_ = hop.indptr.as<std::int64_t>();
    Count();
    hop.num_edges = indptr_[num_dst_];
    const std::int64_t most = std::min(num_dst_ + hop.num_edges, graph_.num_nodes);
    CheckValue(most <= kMostLocal && hop.num_edges <= kMostLocal, "a hop of ", hop.num_edges,
               " edges: a batch has at most 2^31 - 1; take fewer seeds or smaller fanouts");
    Grow<Id>(scratch_.unique, most + 1, unique_.size);
    unique_.data = scratch_.unique.template as<Id>();
    map_.Reserve(most, unique_);
    hop.indices = Buffer::Of<std::int32_t>(hop.num_edges);
    hop.positions = Buffer::Of<Position>(hop.num_edges);
    local_ = hop.indices.as<std::int32_t>();
    positions_ = hop.positions.as<Position>();
    const int num_threads = NumParts(hop.num_edges + num_dst_, kGrain);
    if (num_threads <= 1) {
      RunAlone();
    } else {
      RunTogether(num_threads);
    }
    hop.num_src = unique_.size;
    return hop;
  }

 private:
  // Where the edges of each seed begin, how many there are and how many are kept.
  void Count() {
    scratch_.begins.resize(std::max<std::size_t>(scratch_.begins.size(), num_dst_));
    scratch_.degrees.resize(scratch_.begins.size());
    begins_ = scratch_.begins.data();
    degrees_ = scratch_.degrees.data();
    const Id* const seeds = unique_.data;
    ParallelFor(num_dst_, kCountGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        if (i + kPrefetchSeeds < end) Prefetch(graph_.indptr + seeds[i + kPrefetchSeeds]);
        const std::int64_t first = graph_.indptr[seeds[i]], last = graph_.indptr[seeds[i] + 1];
        CheckValue(0 <= first && first <= last && last <= graph_.num_edges, "indptr[", seeds[i],
                   ":", seeds[i] + 2, "] is [", first, ", ", last, "]: no range of the ",
                   graph_.num_edges, " edges");
        begins_[i] = first;
        degrees_[i] = last - first;
        indptr_[i + 1] = NumPicks(last - first, options_.fanout, options_.replace);
      }
    });
    indptr_[0] = 0;
    for (std::int64_t i = 0; i < num_dst_; ++i) indptr_[i + 1] += indptr_[i];
  }

  // Chooses the edges of seeds [begin, end) and asks for their cache lines.
  void Pick(std::int64_t begin, std::int64_t end, const Id* seeds, PickSet& set) {
    for (std::int64_t i = begin; i < end; ++i) {
      Position* const to = positions_ + indptr_[i];
      const std::int64_t num_picks = indptr_[i + 1] - indptr_[i];
      PickEdges(begins_[i], degrees_[i], num_picks, static_cast<std::uint64_t>(seeds[i]), options_,
                set, to);
      for (std::int64_t k = 0; k < num_picks; ++k) Prefetch(indices_ + to[k]);
    }
  }

  // Reads the sources of edges [begin, end).
  void Read(std::int64_t begin, std::int64_t end, Id* neighbors) {  // [end - begin]
    bool ok = true;
    for (std::int64_t e = begin; e < end; ++e) {
      const Id id = indices_[positions_[e]];
      neighbors[e - begin] = id;
      ok &= static_cast<std::uint64_t>(id) < static_cast<std::uint64_t>(graph_.num_nodes);
    }
    if (ok) return;
    for (std::int64_t e = begin; e < end; ++e) {
      const Id id = neighbors[e - begin];
      CheckValue(id >= 0 && id < graph_.num_nodes, "indices[", positions_[e], "] is ", id,
                 ", but the graph has ", graph_.num_nodes, " nodes");
    }
  }

  // Picks and reads the edges of seeds [begin, end), a group ahead of the reads. `done` is told
  // after each group.
  template <typename Done>
  void Produce(std::int64_t begin, std::int64_t end, const Id* seeds, PickSet& set, Done&& done) {
    std::int64_t group_end = std::min(begin + kGroup, end);
    Pick(begin, group_end, seeds, set);
    for (std::int64_t group = begin; group < end;) {
      const std::int64_t next_end = std::min(group_end + kGroup, end);
      Pick(group_end, next_end, seeds, set);
      done(indptr_[group], indptr_[group_end]);
      group = group_end;
      group_end = next_end;
    }
  }

  // Picks, reads and numbers group by group.
  void RunAlone() {
    PickSet set;
    std::int64_t most = 0;
    for (std::int64_t i = 0; i < num_dst_; i += kGroup) {
      most = std::max(most, indptr_[std::min(i + kGroup, num_dst_)] - indptr_[i]);
    }
    Grow<Id>(scratch_.neighbors, most, 0);
    Id* const neighbors = scratch_.neighbors.template as<Id>();
    Produce(0, num_dst_, unique_.data, set, [&](std::int64_t begin, std::int64_t end) {
      CheckNotCancelled(cancelled_);
      Read(begin, end, neighbors);
      map_.Insert(end - begin, neighbors, unique_, local_ + begin);
    });
  }

  // Threads take chunks of seeds and read their neighbours; the first thread numbers chunks that
  // are read, in order, and reads one itself when none is. Nobody waits for a thread that the
  // system has put aside, except at the end.
  void RunTogether(int num_threads) {
    const std::int64_t num_chunks = (num_dst_ + kChunk - 1) / kChunk;
    Grow<Id>(scratch_.neighbors, indptr_[num_dst_], 0);
    Id* const neighbors = scratch_.neighbors.template as<Id>();
    const Id* const seeds = unique_.data;
    std::vector<std::atomic<bool>> is_read(num_chunks);
    std::atomic<std::int64_t> next{0};
    std::int64_t numbered = 0;
    const auto edge_begin = [&](std::int64_t chunk) {
      return indptr_[std::min(chunk * kChunk, num_dst_)];
    };
    const auto number_chunks = [&] {
      for (; numbered < num_chunks && is_read[numbered].load(std::memory_order_acquire);
           ++numbered) {
        const std::int64_t begin = edge_begin(numbered), end = edge_begin(numbered + 1);
        map_.Insert(end - begin, neighbors + begin, unique_, local_ + begin);
      }
    };
    ParallelParts(num_threads, [&](int part) {
      PickSet set;
      for (;;) {
        CheckNotCancelled(cancelled_);
        if (part == 0) number_chunks();
        const std::int64_t chunk = next.fetch_add(1, std::memory_order_relaxed);
        if (chunk >= num_chunks) return;
        Produce(chunk * kChunk, std::min((chunk + 1) * kChunk, num_dst_), seeds, set,
                [&](std::int64_t begin, std::int64_t end) { Read(begin, end, neighbors + begin); });
        is_read[chunk].store(true, std::memory_order_release);
      }
    });
    number_chunks();
  }

  const CscView& graph_;
  const Id* const indices_;  // [num_edges]
  const SampleOptions& options_;
  ScratchOf<Id>& scratch_;
  Map& map_;
  IdList<Id>& unique_;
  const std::atomic<bool>* const cancelled_;
  const std::int64_t num_dst_;
  std::int64_t* begins_ = nullptr;   // [num_dst]
  std::int64_t* degrees_ = nullptr;  // [num_dst]
  std::int64_t* indptr_ = nullptr;   // [num_dst + 1]
  std::int32_t* local_ = nullptr;    // [num_edges of the hop]
  Position* positions_ = nullptr;    // [num_edges of the hop]
};

template <typename Id>
Buffer CopyAs(DType type, std::int64_t n, const Id* ids) {
  Buffer out;
  DispatchIndex(type, "output", [&]<typename Out>(Type<Out>) {
    out = Buffer::Of<Out>(n);
    std::copy_n(ids, n, out.template as<Out>());
  });
  return out;
}

template <typename Id, typename Map>
Blocks SampleWith(const CscView& graph, std::int64_t num_seeds, const Id* seeds,
                  const BlocksOptions& options, ScratchOf<Id>& scratch, Map& map,
                  const std::atomic<bool>* cancelled) {
  map.Clear();
  Grow<Id>(scratch.unique, num_seeds + 1, 0);
  IdList<Id> unique{scratch.unique.template as<Id>(), 0};
  for (std::int64_t i = 0; i < num_seeds; ++i) {
    CheckIndex(seeds[i] >= 0 && seeds[i] < graph.num_nodes, "seeds[", i, "] is ", seeds[i],
               ", but the graph has ", graph.num_nodes, " nodes");
  }
  CheckValue(num_seeds <= kMostLocal, "a batch of ", num_seeds, " seeds: at most 2^31 - 1");
  map.Reserve(num_seeds, unique);
  std::vector<std::int32_t> numbers(num_seeds);
  map.Insert(num_seeds, seeds, unique, numbers.data());

  Blocks blocks;
  blocks.num_given = num_seeds;
  blocks.num_seeds = unique.size;
  blocks.position_type = graph.num_edges <= kMostLocal ? DType::kInt32 : DType::kInt64;
  if (unique.size < num_seeds) {
    blocks.seed_inverse = Buffer::Of<std::int64_t>(num_seeds);
    std::copy(numbers.begin(), numbers.end(), blocks.seed_inverse.as<std::int64_t>());
  }
  for (const HopOptions& hop : options.hops) {
    const SampleOptions sample{.fanout = hop.fanout, .replace = options.replace, .key = hop.key};
    DispatchIndex(blocks.position_type, "positions", [&]<typename Position>(Type<Position>) {
      blocks.hops.push_back(
          HopSampler<Id, Position, Map>(graph, sample, scratch, map, unique, cancelled).Run());
    });
  }
  blocks.num_nodes = unique.size;
  blocks.src_ids = CopyAs(graph.id_type, unique.size, unique.data);
  blocks.input_nodes = CopyAs(options.output_type, unique.size, unique.data);
  blocks.output_nodes = CopyAs(options.output_type, blocks.num_seeds, unique.data);
  return blocks;
}

}  // namespace

struct BlocksScratch::State {
  std::variant<ScratchOf<std::int32_t>, ScratchOf<std::int64_t>> of;
};

BlocksScratch::BlocksScratch(const CscView& graph, Numbering numbering)
    : state_(std::make_unique<State>()) {
  DispatchIndex(graph.id_type, "indices", [&]<typename Id>(Type<Id>) {
    auto& scratch = state_->of.template emplace<ScratchOf<Id>>();
    if (numbering == Numbering::kDirect && graph.num_nodes <= kMostDirectNodes) {
      scratch.direct.emplace(graph.num_nodes);
    } else {
      scratch.table.emplace(0);
    }
  });
}

BlocksScratch::~BlocksScratch() = default;

Blocks SampleBlocks(const CscView& graph, std::int64_t num_seeds, const void* seeds,
                    const BlocksOptions& options, BlocksScratch& scratch,
                    const std::atomic<bool>* cancelled) {
  Blocks blocks;
  DispatchIndex(graph.id_type, "indices", [&]<typename Id>(Type<Id>) {
    auto& of = std::get<ScratchOf<Id>>(scratch.state().of);
    const Id* const ids = static_cast<const Id*>(seeds);
    blocks = of.direct ? SampleWith(graph, num_seeds, ids, options, of, *of.direct, cancelled)
                       : SampleWith(graph, num_seeds, ids, options, of, *of.table, cancelled);
  });
  return blocks;
}

}  // namespace hopflow::cpu
