#include "blocks/edge_sampler.h"

#include <algorithm>
#include <type_traits>

#include "core/dtype.h"
#include "core/parallel.h"
#include "core/prefetch.h"
#include "sample/pick_edges.h"

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

// How a message begins. Relations are named where there are several.
std::string NameOfRelation(const GraphView& graph, std::size_t relation) {
  return graph.relations.size() > 1 ? StrCat("relation ", relation, ": ") : "";
}

void CheckNotCancelled(const std::atomic<bool>* cancelled) {
  if (cancelled != nullptr && cancelled->load(std::memory_order_relaxed)) throw Cancelled();
}

// One relation in one hop of one batch: picks edges and numbers their sources. Destinations and
// sources may be nodes of one type, then `dst` and `src` are one.
template <typename Id, typename Index, typename Position, typename Map>
class EdgeSampler {
 public:
  EdgeSampler(const GraphView& graph, std::size_t relation, const SampleOptions& options,
              std::int64_t num_dst, const NodesOf<Id>& dst, NodesOf<Id>& src, Map& map,
              ScratchOf<Id>& scratch, const std::atomic<bool>* cancelled)
      : graph_(graph),
        relation_(relation),
        csc_(graph.relations[relation].edges),
        indices_(static_cast<const Index*>(csc_.indices)),
        num_src_nodes_(graph.num_nodes[graph.relations[relation].src_type]),
        options_(options),
        num_dst_(num_dst),
        dst_(dst),
        src_(src),
        map_(map),
        scratch_(scratch),
        cancelled_(cancelled) {}

  void Run(SampledEdges& to) {
    indptr_ = to.indptr.as<std::int64_t>();
    Count();
    to.num_edges = indptr_[num_dst_];
    const std::int64_t most = std::min(src_.unique.size + to.num_edges, num_src_nodes_);
    if (most > kMostLocal || to.num_edges > kMostLocal) {
      CheckValue(false, NameOfRelation(graph_, relation_), "a hop of ", to.num_edges,
                 " edges: a batch has at most 2^31 - 1; take fewer seeds or smaller fanouts");
    }
    Grow(src_, most);
    map_.Reserve(most, src_.unique);
    to.indices = Buffer::Of<std::int32_t>(to.num_edges);
    to.positions = Buffer::Of<Position>(to.num_edges);
    local_ = to.indices.as<std::int32_t>();
    positions_ = to.positions.as<Position>();
    const int num_threads = NumParts(to.num_edges + num_dst_, kGrain);
    if (num_threads <= 1) {
      RunAlone();
    } else {
      RunTogether(num_threads);
    }
  }

 private:
  // Where the edges of each seed begin, how many there are and how many are kept.
  void Count() {
    scratch_.begins.resize(std::max<std::size_t>(scratch_.begins.size(), num_dst_));
    scratch_.degrees.resize(scratch_.begins.size());
    begins_ = scratch_.begins.data();
    degrees_ = scratch_.degrees.data();
    const Id* const seeds = dst_.unique.data;
    ParallelFor(num_dst_, kCountGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        if (i + kPrefetchSeeds < end) Prefetch(csc_.indptr + seeds[i + kPrefetchSeeds]);
        const std::int64_t first = csc_.indptr[seeds[i]], last = csc_.indptr[seeds[i] + 1];
        if (first < 0 || last < first || last > csc_.num_edges) {
          CheckValue(false, NameOfRelation(graph_, relation_), "indptr[", seeds[i], ":",
                     seeds[i] + 2, "] is [", first, ", ", last, "]: no range of the ",
                     csc_.num_edges, " edges");
        }
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
      ok &= static_cast<std::uint64_t>(id) < static_cast<std::uint64_t>(num_src_nodes_);
    }
    if (ok) return;
    for (std::int64_t e = begin; e < end; ++e) {
      const Id id = neighbors[e - begin];
      if (id >= 0 && id < num_src_nodes_) continue;
      CheckValue(false, NameOfRelation(graph_, relation_), "indices[", positions_[e], "] is ", id,
                 NodesOfType(graph_, graph_.relations[relation_].src_type));
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
    Produce(0, num_dst_, dst_.unique.data, set, [&](std::int64_t begin, std::int64_t end) {
      CheckNotCancelled(cancelled_);
      Read(begin, end, neighbors);
      map_.Insert(end - begin, neighbors, src_.unique, local_ + begin);
    });
  }

  // Threads take chunks of seeds and read their neighbours; the first thread numbers chunks that
  // are read, in order, and reads one itself when none is. Nobody waits for a thread that the
  // system has put aside, except at the end.
  void RunTogether(int num_threads) {
    const std::int64_t num_chunks = (num_dst_ + kChunk - 1) / kChunk;
    Grow<Id>(scratch_.neighbors, indptr_[num_dst_], 0);
    Id* const neighbors = scratch_.neighbors.template as<Id>();
    const Id* const seeds = dst_.unique.data;
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
        map_.Insert(end - begin, neighbors + begin, src_.unique, local_ + begin);
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

  const GraphView& graph_;
  const std::size_t relation_;
  const CscView& csc_;
  const Index* const indices_;  // [num_edges]
  const std::int64_t num_src_nodes_;
  const SampleOptions& options_;
  const std::int64_t num_dst_;
  const NodesOf<Id>& dst_;
  NodesOf<Id>& src_;
  Map& map_;
  ScratchOf<Id>& scratch_;
  const std::atomic<bool>* const cancelled_;
  std::int64_t* begins_ = nullptr;   // [num_dst]
  std::int64_t* degrees_ = nullptr;  // [num_dst]
  std::int64_t* indptr_ = nullptr;   // [num_dst + 1]
  std::int32_t* local_ = nullptr;    // [num_edges of the hop]
  Position* positions_ = nullptr;    // [num_edges of the hop]
};

}  // namespace

template <typename Id>
SampledEdges SampleEdges(const GraphView& graph, std::size_t relation, const SampleOptions& options,
                         std::int64_t num_dst, ScratchOf<Id>& scratch,
                         const std::atomic<bool>* cancelled) {
  const RelationView& view = graph.relations[relation];
  const NodesOf<Id>& dst = scratch.nodes[view.dst_type];
  NodesOf<Id>& src = scratch.nodes[view.src_type];
  SampledEdges sampled;
  sampled.num_dst = num_dst;
  sampled.position_type = view.edges.num_edges <= kMostLocal ? DType::kInt32 : DType::kInt64;
  sampled.indptr = Buffer::Of<std::int64_t>(num_dst + 1);
  if (options.fanout == 0) {
    // Not even the degrees are asked for: a layer that leaves a relation out pays nothing for it.
    std::fill_n(sampled.indptr.as<std::int64_t>(), num_dst + 1, 0);
    sampled.indices = Buffer::Of<std::int32_t>(0);
    sampled.positions = Buffer::Of<std::int64_t>(0);
    return sampled;
  }
  const auto run = [&]<typename Index>(Type<Index>) {
    DispatchIndex(sampled.position_type, "positions", [&]<typename Position>(Type<Position>) {
      std::visit(
          [&]<typename Map>(Map& map) {
            EdgeSampler<Id, Index, Position, Map>(graph, relation, options, num_dst, dst, src, map,
                                                  scratch, cancelled)
                .Run(sampled);
          },
          src.map);
    });
  };
  if constexpr (std::is_same_v<Id, std::int32_t>) {
    run(Type<std::int32_t>{});
  } else {
    DispatchIndex(view.edges.id_type, "indices", run);
  }
  return sampled;
}

#define HOPFLOW_INSTANTIATE(Id)                                                          \
  template SampledEdges SampleEdges(const GraphView&, std::size_t, const SampleOptions&, \
                                    std::int64_t, ScratchOf<Id>&, const std::atomic<bool>*);
HOPFLOW_FOR_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
