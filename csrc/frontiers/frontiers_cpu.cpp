#include "frontiers/frontiers.h"

#include "core/check.h"
#include "core/dtype.h"

namespace hopflow::cpu {
namespace {

// Calls visit(node) for the nodes of one frontier after the other, which appends what comes next to
// `nodes`, until there is nothing new.
template <typename Visit>
std::vector<std::int64_t> ByFrontier(const std::int64_t* nodes, const std::int64_t& num_nodes,
                                     Visit&& visit) {
  std::vector<std::int64_t> offsets{0};
  while (num_nodes > offsets.back()) {
    const std::int64_t begin = offsets.back(), end = num_nodes;
    offsets.push_back(end);
    for (std::int64_t i = begin; i < end; ++i) visit(nodes[i]);
  }
  return offsets;
}

}  // namespace

template <typename Id, typename EdgeId>
std::vector<std::int64_t> BreadthFirst(const EdgesOn<Id, EdgeId>& graph, std::int64_t num_sources,
                                       const std::int64_t* sources, std::int64_t* nodes,
                                       std::int64_t* eids) {
  std::vector<std::uint8_t> is_met(graph.num_nodes);
  std::int64_t size = 0;
  for (; size < num_sources; ++size) {
    const std::int64_t node = sources[size];
    CheckValue(!is_met[node], "sources: expected distinct nodes, got ", node, " more than once");
    is_met[node] = 1;
    nodes[size] = node;
  }
  return ByFrontier(nodes, size, [&](std::int64_t node) {
    for (std::int64_t p = graph.indptr[node]; p < graph.indptr[node + 1]; ++p) {
      const std::int64_t other = graph.indices[p];
      if (is_met[other]) continue;
      is_met[other] = 1;
      eids[size - num_sources] = graph.eid(p);
      nodes[size++] = other;
    }
  });
}

template <typename Id, typename EdgeId>
std::vector<std::int64_t> Topological(const EdgesOn<Id, EdgeId>& graph, std::int64_t* nodes) {
  std::vector<std::int64_t> waits_for(graph.num_nodes);
  for (std::int64_t p = 0; p < graph.indptr[graph.num_nodes]; ++p) ++waits_for[graph.indices[p]];
  std::int64_t size = 0;
  for (std::int64_t node = 0; node < graph.num_nodes; ++node) {
    if (waits_for[node] == 0) nodes[size++] = node;
  }
  return ByFrontier(nodes, size, [&](std::int64_t node) {
    for (std::int64_t p = graph.indptr[node]; p < graph.indptr[node + 1]; ++p) {
      if (--waits_for[graph.indices[p]] == 0) nodes[size++] = graph.indices[p];
    }
  });
}

template <typename Id, typename EdgeId>
SearchSteps DepthFirst(const EdgesOn<Id, EdgeId>& graph, std::int64_t num_sources,
                       const std::int64_t* sources, bool reverse, bool nontree) {
  struct Stop {  // a node on the way, with what is left of its edges
    std::int64_t came_over, position, end;
  };
  SearchSteps steps;
  steps.offsets.push_back(0);
  const auto step = [&](std::int64_t eid, SearchStep label) {
    steps.eids.push_back(eid);
    steps.labels.push_back(label);
  };
  std::vector<std::int64_t> met_by(graph.num_nodes, -1);  // the last search that met the node
  std::vector<Stop> way;
  for (std::int64_t search = 0; search < num_sources; ++search) {
    const auto enter = [&](std::int64_t node, std::int64_t over) {
      met_by[node] = search;
      way.push_back({over, graph.indptr[node], graph.indptr[node + 1]});
    };
    enter(sources[search], -1);
    while (!way.empty()) {
      Stop& here = way.back();
      if (here.position == here.end) {
        const std::int64_t over = here.came_over;
        way.pop_back();
        if (reverse && !way.empty()) step(over, kReverse);
        continue;
      }
      const std::int64_t position = here.position++;
      const std::int64_t other = graph.indices[position];
      if (met_by[other] != search) {
        step(graph.eid(position), kForward);
        enter(other, graph.eid(position));
      } else if (nontree) {
        step(graph.eid(position), kNontree);
      }
    }
    steps.offsets.push_back(static_cast<std::int64_t>(steps.eids.size()));
  }
  return steps;
}

#define HOPFLOW_INSTANTIATE(Id, EdgeId)                                                          \
  template std::vector<std::int64_t> BreadthFirst(const EdgesOn<Id, EdgeId>&, std::int64_t,      \
                                                  const std::int64_t*, std::int64_t*,            \
                                                  std::int64_t*);                                \
  template std::vector<std::int64_t> Topological(const EdgesOn<Id, EdgeId>&, std::int64_t*);     \
  template SearchSteps DepthFirst(const EdgesOn<Id, EdgeId>&, std::int64_t, const std::int64_t*, \
                                  bool, bool);
HOPFLOW_FOR_IDS2(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
