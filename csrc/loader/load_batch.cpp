#include "loader/load_batch.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "core/dtype.h"
#include "core/rng.h"
#include "csc/csc.h"
#include "gather/gather.h"

namespace hopflow {

namespace {

// Seeds of a batch by type. Those of a graph of one type stay where they are.
class SplitSeeds {
 public:
  SplitSeeds(const GraphView& graph, const SeedsView& seeds) {
    if (graph.num_nodes.size() == 1) {
      views_.push_back(seeds);
      return;
    }
    std::vector<std::int64_t> ends(graph.num_nodes.size());  // where the ids of each type end
    std::partial_sum(graph.num_nodes.begin(), graph.num_nodes.end(), ends.begin());
    ids_.resize(ends.size());
    DispatchIndex(seeds.id_type, "seeds", [&]<typename Id>(Type<Id>) {
      const Id* const all = static_cast<const Id*>(seeds.ids);
      for (std::int64_t i = 0; i < seeds.count; ++i) {
        const std::int64_t id = all[i];
        const auto t = std::upper_bound(ends.begin(), ends.end(), id) - ends.begin();
        // Checked at the epoch's start, but the array is the caller's.
        CheckIndex(id < ends.back(), "seeds: got id ", id, ", expected ids below ", ends.back());
        ids_[t].push_back(t == 0 ? id : id - ends[t - 1]);
      }
    });
    for (const std::vector<std::int64_t>& ids : ids_) {
      views_.push_back({.count = static_cast<std::int64_t>(ids.size()),
                        .ids = ids.data(),
                        .id_type = DType::kInt64});
    }
  }

  const std::vector<SeedsView>& views() const { return views_; }

 private:
  std::vector<std::vector<std::int64_t>> ids_;
  std::vector<SeedsView> views_;
};

SeedsView SeedsOf(const LoaderPlan& plan, std::int64_t batch) {
  const std::int64_t begin = batch * plan.batch_size;
  SeedsView seeds = plan.seeds;
  seeds.count = std::min(plan.batch_size, plan.seeds.count - begin);
  const std::int64_t bytes = seeds.id_type == DType::kInt32 ? 4 : 8;
  seeds.ids = static_cast<const char*>(seeds.ids) + begin * bytes;
  return seeds;
}

// Adds the time since it last did, or since it was made.
class Stopwatch {
 public:
  void Add(std::int64_t& nanoseconds) {
    const auto now = std::chrono::steady_clock::now();
    nanoseconds += (now - last_) / std::chrono::nanoseconds(1);
    last_ = now;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// Decodes rows of `x`, or those that `ids` name.
template <typename Id>
Buffer Decode(const Decoding& decoding, std::int64_t num_rows, std::int64_t row_stride_bytes,
              const void* x, const Id* ids) {
  const std::int64_t numbers = num_rows * decoding.width;
  Buffer out(static_cast<std::size_t>(numbers * (decoding.out_type == DType::kFloat32 ? 4 : 2)));
  cpu::GatherDecoded(GatherDecodedArgs<Id>{.num_ids = num_rows,
                                           .width = decoding.width,
                                           .row_stride_bytes = row_stride_bytes,
                                           .encoding = decoding.encoding,
                                           .x = x,
                                           .ids = ids,
                                           .out_type = decoding.out_type,
                                           .out = out.as<void>()});
  return out;
}

Buffer GatherColumn(const ColumnRequest& column, DType id_type, const Blocks& blocks,
                    const std::atomic<bool>* cancelled) {
  const SampledNodes& nodes = blocks.nodes[column.type];
  const std::int64_t rows =
      column.level == 0 ? nodes.num_seeds : blocks.hops[column.level - 1].num_src[column.type];
  return DispatchIndex(id_type, "indices", [&]<typename Id>(Type<Id>) {
    const Id* const ids = nodes.src_ids.as<Id>();
    if (column.decoding && column.on_disk == nullptr) {
      return Decode(*column.decoding, rows, column.row_stride_bytes, column.data, ids);
    }
    Buffer out(static_cast<std::size_t>(rows * column.row_bytes));
    if (column.on_disk == nullptr) {
      cpu::GatherRows(rows, column.row_bytes, column.row_stride_bytes, column.data, ids,
                      out.as<void>());
      return out;
    }
    column.on_disk->Read(rows, ids, out.as<void>(), cancelled);
    if (!column.decoding) return out;
    return Decode<Id>(*column.decoding, rows, column.row_bytes, out.as<void>(), nullptr);
  });
}

TransposedEdges Transpose(const SampledEdges& edges, std::int64_t num_src) {
  TransposedEdges to{Buffer::Of<std::int64_t>(num_src + 1),
                     Buffer::Of<std::int32_t>(edges.num_edges),
                     Buffer::Of<std::int32_t>(edges.num_edges)};
  cpu::TransposeCsc(num_src, edges.num_dst, edges.indptr.as<std::int64_t>(),
                    edges.indices.as<std::int32_t>(), to.indptr.as<std::int64_t>(),
                    to.rows.as<std::int32_t>(), to.positions.as<std::int32_t>());
  return to;
}

// The fanouts of a plan with the keys of one batch. A hop that keeps all edges of every relation
// draws nothing and counts for nothing.
std::vector<std::vector<HopOptions>> HopsOf(const std::vector<std::vector<std::int64_t>>& fanouts,
                                            std::uint64_t seed, std::uint64_t epoch,
                                            std::uint64_t batch) {
  std::vector<std::vector<HopOptions>> hops;
  std::uint64_t hop = 0;
  for (const std::vector<std::int64_t>& relations : fanouts) {
    const bool draws = std::any_of(relations.begin(), relations.end(),
                                   [](std::int64_t fanout) { return fanout >= 0; });
    const std::uint64_t key = draws ? StreamKey(seed, epoch, batch, hop++) : 0;
    std::vector<HopOptions>& options = hops.emplace_back();
    for (std::size_t r = 0; r < relations.size(); ++r) {
      options.push_back({relations[r], RelationKey(key, r)});
    }
  }
  return hops;
}

}  // namespace

LoadedBatch LoadBatch(const LoaderPlan& plan, std::int64_t batch, const Requests& requests,
                      cpu::BlocksScratch& scratch, const std::atomic<bool>* cancelled) {
  const SplitSeeds seeds(plan.graph, SeedsOf(plan, batch));
  const BlocksOptions options{
      .hops = HopsOf(plan.fanouts, plan.seed, plan.epoch, static_cast<std::uint64_t>(batch)),
      .replace = plan.replace,
      .output_type = plan.output_type};
  LoadedBatch loaded;
  Stopwatch watch;
  loaded.blocks = cpu::SampleBlocks(plan.graph, seeds.views(), options, scratch, cancelled);
  watch.Add(loaded.times.sampling);
  for (const ColumnRequest& column : requests.columns) {
    loaded.columns.push_back(GatherColumn(column, plan.graph.id_type, loaded.blocks, cancelled));
    watch.Add(column.on_disk == nullptr ? loaded.times.gathering : loaded.times.reading);
  }
  loaded.request_number = requests.number;
  for (const TransposeRequest& wanted : requests.transposes) {
    const SampledHop& hop = loaded.blocks.hops[wanted.hop];
    const int src_type = plan.graph.relations[wanted.relation].src_type;
    loaded.transposes.push_back(Transpose(hop.relations[wanted.relation], hop.num_src[src_type]));
  }
  watch.Add(loaded.times.transposing);
  return loaded;
}

}  // namespace hopflow
