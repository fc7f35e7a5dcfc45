#include "random_walk/random_walk.h"

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "core/dtype.h"
#include "core/parallel.h"
#include "core/prefetch.h"
#include "random_walk/walk_steps.h"

namespace hopflow::cpu {
namespace {

// Walks that go step by step together: what one of them will read next is on its way while the
// others take their steps.
constexpr std::int64_t kGroup = 64;
// Steps a thread must have to be worth waking.
constexpr std::int64_t kStepGrain = 8192;

std::int64_t WalkGrain(std::int64_t num_steps) {
  return std::max<std::int64_t>(1, kStepGrain / std::max<std::int64_t>(1, num_steps));
}

void PrefetchId(const IdArray& ids, std::int64_t i) {
  if (ids.is_wide) {
    Prefetch(static_cast<const std::int64_t*>(ids.data) + i);
  } else {
    Prefetch(static_cast<const std::int32_t*>(ids.data) + i);
  }
}

WalkRow RowOf(const std::int64_t* indptr, std::int64_t num_rows, std::int64_t num_edges,
              std::int64_t node) {
  CheckIndex(0 <= node && node < num_rows, "indices: an edge leads to ", node,
             ", but the next relation has ", num_rows, " source nodes");
  const std::int64_t first = indptr[node], last = indptr[node + 1];
  CheckValue(0 <= first && first <= last && last <= num_edges, "indptr[", node, ":", node + 2,
             "] is [", first, ", ", last, "]: no range of the ", num_edges, " edges");
  return {first, last - first};
}

WalkRow RowOf(const WalkEdges& edges, std::int64_t node) {
  return RowOf(edges.indptr, edges.num_rows, edges.num_edges, node);
}

// Asks for a node's row; one that is outside is found when it is read.
void PrefetchRow(const WalkEdges& edges, std::int64_t node) {
  if (0 <= node && node < edges.num_rows) Prefetch(edges.indptr + node);
}

// Writes a step of a walk; position -1: it has ended. Returns where the walk is then, or -1.
template <typename Id>
std::int64_t Write(const WalkArgs<Id>& args, const WalkEdges& edges, std::int64_t walk,
                   std::int64_t step, std::int64_t position) {
  const std::int64_t node = position < 0 ? -1 : edges.indices.Get(position);
  args.traces[walk * (args.num_steps + 1) + step + 1] = static_cast<Id>(node);
  if (args.eids != nullptr) {
    const bool is_own = position < 0 || edges.eids.data == nullptr;
    args.eids[walk * args.num_steps + step] =
        static_cast<Id>(is_own ? position : edges.eids.Get(position));
  }
  return node;
}

// Calls steps(group_begin, count, nodes) for groups of walks, `nodes` being where they begin.
template <typename Id, typename F>
void ForGroups(const WalkArgs<Id>& args, F&& steps) {
  ParallelFor(args.num_walks, WalkGrain(args.num_steps), [&](std::int64_t begin, std::int64_t end) {
    std::int64_t nodes[kGroup];
    for (std::int64_t group = begin; group < end; group += kGroup) {
      const std::int64_t count = std::min(kGroup, end - group);
      for (std::int64_t k = 0; k < count; ++k) {
        nodes[k] = args.seeds[group + k];
        args.traces[(group + k) * (args.num_steps + 1)] = args.seeds[group + k];
      }
      steps(group, count, nodes);
    }
  });
}

// Asks for what a weighted draw reads first: the row's total, and where its search begins.
void PrefetchSums(const double* sums, WalkRow row) {
  Prefetch(sums + row.first + row.degree - 1);
  Prefetch(sums + row.first + row.degree / 2);
}

// DrawEdge for those of a group that have a position >= 0; bits(k) are the draw of walk k.
template <typename F>
void DrawEdges(const double* sums, std::int64_t count, const WalkRow* rows, F&& bits,
               std::int64_t* positions) {
  if (sums == nullptr) {
    for (std::int64_t k = 0; k < count; ++k) {
      if (positions[k] >= 0) positions[k] = DrawEdge(nullptr, rows[k], bits(k));
    }
    return;
  }
  // FirstWhere, a halving of each search in turn: one's next look is on its way during the others'.
  struct Search {
    const double* at;
    std::int64_t left;
    double x;
  };
  Search searches[kGroup];
  for (std::int64_t k = 0; k < count; ++k) {
    if (positions[k] < 0) {
      searches[k].left = 0;
      continue;
    }
    const double* const own = sums + rows[k].first;
    searches[k] = {own, rows[k].degree, UnitOf(bits(k)) * own[rows[k].degree - 1]};
  }
  for (bool is_left = true; is_left;) {
    is_left = false;
    for (std::int64_t k = 0; k < count; ++k) {
      Search& search = searches[k];
      if (search.left <= 1) continue;
      const std::int64_t half = search.left / 2;
      search.at += half * static_cast<std::int64_t>(!(search.at[half - 1] > search.x));
      search.left -= half;
      Prefetch(search.at + search.left / 2 - (search.left > 1));
      is_left = true;
    }
  }
  for (std::int64_t k = 0; k < count; ++k) {
    if (positions[k] < 0) continue;
    const Search& search = searches[k];
    const std::int64_t edge =
        search.at - sums + static_cast<std::int64_t>(!(*search.at > search.x));
    positions[k] = std::min(edge, rows[k].first + rows[k].degree - 1);
  }
}

// What Node2vecEdge reads.
struct Rows {
  const Node2vecLaw& law;
  WalkRow AllOf(std::int64_t node) const {
    return RowOf(law.all_indptr, law.edges.num_rows, law.num_all, node);
  }
};

}  // namespace

template <typename Id>
void RandomWalk(const WalkArgs<Id>& args, const WalkPath& path) {
  ForGroups(args, [&](std::int64_t group, std::int64_t count, std::int64_t* nodes) {
    std::vector<NodeRng> walks;
    walks.reserve(kGroup);
    for (std::int64_t k = 0; k < count; ++k) {
      walks.emplace_back(args.key, static_cast<std::uint64_t>(group + k));
    }
    WalkRow rows[kGroup];
    std::int64_t positions[kGroup];
    for (std::int64_t step = 0; step < args.num_steps; ++step) {
      const WalkEdges& edges = path.relations[path.path[step]];
      const bool wants_eids = args.eids != nullptr && edges.eids.data != nullptr;
      for (std::int64_t k = 0; k < count; ++k) {
        positions[k] = -1;
        if (nodes[k] < 0 || EndsBefore(walks[k], step, path.restart[step])) continue;
        rows[k] = RowOf(edges, nodes[k]);
        if (rows[k].degree == 0) continue;
        positions[k] = rows[k].first;
        if (edges.sums != nullptr) PrefetchSums(edges.sums, rows[k]);
      }
      const auto bits = [&](std::int64_t k) { return EdgeBits(walks[k], step); };
      DrawEdges(edges.sums, count, rows, bits, positions);
      for (std::int64_t k = 0; k < count; ++k) {
        if (positions[k] < 0) continue;
        PrefetchId(edges.indices, positions[k]);
        if (wants_eids) PrefetchId(edges.eids, positions[k]);
      }
      for (std::int64_t k = 0; k < count; ++k) {
        nodes[k] = Write(args, edges, group + k, step, positions[k]);
        if (step + 1 < args.num_steps) PrefetchRow(path.relations[path.path[step + 1]], nodes[k]);
      }
    }
  });
}

template <typename Id>
void Node2vecWalk(const WalkArgs<Id>& args, const Node2vecLaw& law) {
  const WalkEdges& edges = law.edges;
  const Rows all{law};
  ForGroups(args, [&](std::int64_t group, std::int64_t count, std::int64_t* nodes) {
    WalkRow rows[kGroup];
    std::int64_t before[kGroup], first[kGroup];  // the first proposal of each walk
    const auto rng = [&](std::int64_t k, std::int64_t step) {
      return NodeRng(FoldKey(args.key, static_cast<std::uint64_t>(group + k)),
                     static_cast<std::uint64_t>(step));
    };
    const auto for_alive = [&](auto&& f) {
      for (std::int64_t k = 0; k < count; ++k) {
        if (first[k] >= 0) f(k);
      }
    };
    for (std::int64_t step = 0; step < args.num_steps; ++step) {
      for (std::int64_t k = 0; k < count; ++k) {
        first[k] = -1;
        if (nodes[k] < 0) continue;
        rows[k] = RowOf(edges, nodes[k]);
        if (rows[k].degree == 0) continue;
        first[k] = rows[k].first;
        if (edges.sums != nullptr) PrefetchSums(edges.sums, rows[k]);
      }
      const auto bits = [&](std::int64_t k) { return rng(k, step).Bits(0); };
      DrawEdges(edges.sums, count, rows, bits, first);
      for_alive([&](std::int64_t k) { PrefetchId(edges.indices, first[k]); });
      if (step > 0) {
        // The row that is searched if this proposal needs it, and where the search begins.
        for_alive([&](std::int64_t k) {
          const std::int64_t node = edges.indices.Get(first[k]);
          if (0 <= node && node < edges.num_rows) Prefetch(law.all_indptr + node);
        });
        for_alive([&](std::int64_t k) {
          const WalkRow row = all.AllOf(edges.indices.Get(first[k]));
          PrefetchId(law.all_indices, row.first + row.degree / 2);
        });
        for_alive([&](std::int64_t k) {
          first[k] = Node2vecEdge(law, all, rows[k], before[k], rng(k, step));
        });
      }
      for (std::int64_t k = 0; k < count; ++k) {
        before[k] = nodes[k];
        nodes[k] = Write(args, edges, group + k, step, first[k]);
        PrefetchRow(edges, nodes[k]);
      }
    }
  });
}

#define HOPFLOW_INSTANTIATE(Id)                                       \
  template void RandomWalk<Id>(const WalkArgs<Id>&, const WalkPath&); \
  template void Node2vecWalk<Id>(const WalkArgs<Id>&, const Node2vecLaw&);
HOPFLOW_FOR_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
