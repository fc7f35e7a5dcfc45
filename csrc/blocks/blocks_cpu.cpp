#include "blocks/blocks.h"

#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "blocks/edge_sampler.h"
#include "core/check.h"
#include "core/dtype.h"

namespace hopflow::cpu {
namespace {

template <typename Id>
Buffer CopyAs(DType type, std::int64_t n, const Id* ids) {
  Buffer out;
  DispatchIndex(type, "output", [&]<typename Out>(Type<Out>) {
    out = Buffer::Of<Out>(n);
    std::copy_n(ids, n, out.template as<Out>());
  });
  return out;
}

// Begins a batch: numbers the seeds of one type.
template <typename Id>
SampledNodes NumberSeeds(const GraphView& graph, std::size_t type, const SeedsView& seeds,
                         NodesOf<Id>& nodes) {
  SampledNodes sampled;
  sampled.num_given = seeds.count;
  nodes.unique.size = 0;
  std::visit([](auto& map) { map.Clear(); }, nodes.map);
  DispatchIndex(seeds.id_type, "seeds", [&]<typename SeedId>(Type<SeedId>) {
    const SeedId* const given = static_cast<const SeedId*>(seeds.ids);
    for (std::int64_t i = 0; i < seeds.count; ++i) {
      if (given[i] >= 0 && given[i] < graph.num_nodes[type]) continue;
      const std::string name =
          graph.num_nodes.size() > 1 ? StrCat("seeds of type ", type, ": ") : std::string();
      CheckIndex(false, name, "seeds[", i, "] is ", given[i], NodesOfType(graph, type));
    }
    CheckValue(seeds.count <= kMostLocal, "a batch of ", seeds.count, " seeds: at most 2^31 - 1");
    Grow(nodes, seeds.count);
    std::vector<Id> narrowed;
    const Id* ids = nullptr;
    if constexpr (std::is_same_v<Id, SeedId>) {
      ids = given;
    } else {
      narrowed.assign(given, given + seeds.count);
      ids = narrowed.data();
    }
    std::vector<std::int32_t> numbers(seeds.count);
    std::visit(
        [&](auto& map) {
          map.Reserve(seeds.count, nodes.unique);
          map.Insert(seeds.count, ids, nodes.unique, numbers.data());
        },
        nodes.map);
    if (nodes.unique.size < seeds.count) {
      sampled.seed_inverse = Buffer::Of<std::int64_t>(seeds.count);
      std::copy(numbers.begin(), numbers.end(), sampled.seed_inverse.template as<std::int64_t>());
    }
  });
  sampled.num_seeds = nodes.unique.size;
  return sampled;
}

template <typename Id>
std::vector<std::int64_t> SizesOf(const ScratchOf<Id>& scratch) {
  std::vector<std::int64_t> sizes;
  for (const NodesOf<Id>& nodes : scratch.nodes) sizes.push_back(nodes.unique.size);
  return sizes;
}

template <typename Id>
Blocks SampleWith(const GraphView& graph, const std::vector<SeedsView>& seeds,
                  const BlocksOptions& options, ScratchOf<Id>& scratch,
                  const std::atomic<bool>* cancelled) {
  Blocks blocks;
  for (std::size_t t = 0; t < seeds.size(); ++t) {
    blocks.nodes.push_back(NumberSeeds(graph, t, seeds[t], scratch.nodes[t]));
  }
  std::vector<std::int64_t> num_dst = SizesOf(scratch);
  for (const std::vector<HopOptions>& relations : options.hops) {
    SampledHop hop;
    for (std::size_t r = 0; r < relations.size(); ++r) {
      const SampleOptions sample{
          .fanout = relations[r].fanout, .replace = options.replace, .key = relations[r].key};
      hop.relations.push_back(
          SampleEdges(graph, r, sample, num_dst[graph.relations[r].dst_type], scratch, cancelled));
    }
    hop.num_src = num_dst = SizesOf(scratch);
    blocks.hops.push_back(std::move(hop));
  }
  for (std::size_t t = 0; t < seeds.size(); ++t) {
    SampledNodes& nodes = blocks.nodes[t];
    const IdList<Id>& unique = scratch.nodes[t].unique;
    nodes.num_nodes = unique.size;
    nodes.src_ids = CopyAs(graph.id_type, unique.size, unique.data);
    nodes.input_nodes = CopyAs(options.output_type, unique.size, unique.data);
    nodes.output_nodes = CopyAs(options.output_type, nodes.num_seeds, unique.data);
  }
  return blocks;
}

}  // namespace

struct BlocksScratch::State {
  std::variant<ScratchOf<std::int32_t>, ScratchOf<std::int64_t>> of;
};

BlocksScratch::BlocksScratch(const GraphView& graph, Numbering numbering)
    : state_(std::make_unique<State>()) {
  DispatchIndex(graph.id_type, "indices", [&]<typename Id>(Type<Id>) {
    auto& scratch = state_->of.template emplace<ScratchOf<Id>>();
    std::int64_t most_direct = numbering == Numbering::kDirect ? kMostDirectNodes : -1;
    for (const std::int64_t num_nodes : graph.num_nodes) {
      if (num_nodes <= most_direct) {
        scratch.nodes.push_back({.map = DirectMap<Id>(num_nodes)});
        most_direct -= num_nodes;
      } else {
        scratch.nodes.push_back({.map = IdTable<Id, std::int32_t>(0)});
      }
    }
  });
}

BlocksScratch::~BlocksScratch() = default;

Blocks SampleBlocks(const GraphView& graph, const std::vector<SeedsView>& seeds,
                    const BlocksOptions& options, BlocksScratch& scratch,
                    const std::atomic<bool>* cancelled) {
  Blocks blocks;
  DispatchIndex(graph.id_type, "indices", [&]<typename Id>(Type<Id>) {
    auto& of = std::get<ScratchOf<Id>>(scratch.state().of);
    blocks = SampleWith(graph, seeds, options, of, cancelled);
  });
  return blocks;
}

}  // namespace hopflow::cpu
