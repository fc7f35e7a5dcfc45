#include "random_walk/random_walk.h"

#include <pybind11/stl.h>

#include <limits>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

// A relation as Python gives it: indptr, indices, eids, sums.
using WalkOperand = std::tuple<TensorView, TensorView, MaybeTensor, MaybeTensor>;

IdArray WalkIdsOf(const TensorView& ids) { return {ids.data, ids.dtype == DType::kInt64}; }

WalkEdges WalkEdgesOf(const Place& place, WalkOperand operand) {
  auto& [indptr, indices, eids, sums] = operand;
  place.Reach("indptr", indptr);
  place.Reach("indices", indices);
  Operand{"indptr", indptr}.OfDim(1).OfType(DType::kInt64).Contiguous();
  CheckValue(indptr.size(0) >= 1, "indptr: expected at least one element, got none");
  Operand{"indices", indices}.OfDim(1).Index().Contiguous();
  const std::int64_t num_edges = indices.size(0);
  WalkEdges edges{.num_rows = indptr.size(0) - 1,
                  .num_edges = num_edges,
                  .indptr = indptr.as<std::int64_t>(),
                  .indices = WalkIdsOf(indices),
                  .eids = {nullptr, false},
                  .sums = nullptr};
  if (eids) {
    place.Reach("eids", *eids);
    Operand{"eids", *eids}.Index().OfSize(num_edges).Contiguous();
    edges.eids = WalkIdsOf(*eids);
  }
  if (sums) {
    place.Reach("sums", *sums);
    Operand{"sums", *sums}.OfType(DType::kFloat64).OfSize(num_edges).Contiguous();
    edges.sums = sums->as<double>();
  }
  return edges;
}

template <typename Id>
WalkArgs<Id> WalkArgsOf(const Place& place, const TensorView& seeds, std::int64_t num_steps,
                        std::uint64_t key, const TensorView& traces, const MaybeTensor& eids) {
  const std::int64_t num_walks = seeds.size(0);
  const Operand out{"traces", traces};
  out.OfType(seeds.dtype).OfShape({num_walks, num_steps + 1}).Contiguous().At(place);
  if (eids) {
    const Operand edges{"out_eids", *eids};
    edges.OfType(seeds.dtype).OfShape({num_walks, num_steps}).Contiguous().At(place);
  }
  return {.num_walks = num_walks,
          .num_steps = num_steps,
          .seeds = seeds.as<Id>(),
          .key = key,
          .traces = traces.as<Id>(),
          .eids = DataOrNull<Id>(eids)};
}

// Whether what is written fits the dtype of the traces.
void CheckWalkFits(const TensorView& seeds, const WalkEdges& edges, bool with_eids) {
  if (seeds.dtype == DType::kInt64) return;
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  CheckType(edges.num_rows <= kMost && (!with_eids || edges.num_edges <= kMost),
            "seeds: expected int64, as ids of the graph need it, got int32");
}

void RandomWalkBinding(const std::vector<WalkOperand>& relations,
                       const std::vector<std::int64_t>& path, const std::vector<double>& restart,
                       const TensorView& seeds, std::uint64_t key, const TensorView& traces,
                       const MaybeTensor& eids) {
  Place place("random_walk", "seeds", seeds);
  const Operand from{"seeds", seeds};
  from.OfDim(1).Index().Contiguous();
  WalkPath steps{.relations = {}, .path = path, .restart = restart};
  for (const WalkOperand& operand : relations) {
    steps.relations.push_back(WalkEdgesOf(place, operand));
    CheckWalkFits(seeds, steps.relations.back(), eids.has_value());
  }
  const auto num_steps = static_cast<std::int64_t>(path.size());
  CheckValue(restart.size() == path.size(), "restart: expected one for each of ", num_steps,
             " steps, got ", restart.size());
  for (std::int64_t t = 0; t < num_steps; ++t) {
    const auto num_relations = static_cast<std::int64_t>(relations.size());
    CheckIndex(0 <= path[t] && path[t] < num_relations, "path[", t, "] is ", path[t],
               ", expected the number of one of ", num_relations, " relations");
    CheckValue(0 <= restart[t] && restart[t] <= 1, "restart[", t, "] is ", restart[t],
               ", expected a probability");
  }
  DispatchIndex(seeds.dtype, "seeds", [&]<typename Id>(Type<Id>) {
    const auto args = WalkArgsOf<Id>(place, seeds, num_steps, key, traces, eids);
    if (place.is_cuda()) return cuda::RandomWalk(args, steps, place);
    py::gil_scoped_release release;
    if (num_steps > 0) CheckIds(from, steps.relations[path[0]].num_rows, "number of nodes");
    cpu::RandomWalk(args, steps);
  });
}

void Node2vecBinding(const WalkOperand& edges, TensorView all_indptr, TensorView all_indices,
                     const TensorView& seeds, double p, double q, std::int64_t num_steps,
                     std::uint64_t key, const TensorView& traces, const MaybeTensor& eids) {
  Place place("node2vec_walk", "seeds", seeds);
  const Operand from{"seeds", seeds};
  from.OfDim(1).Index().Contiguous();
  Node2vecLaw law{.edges = WalkEdgesOf(place, edges),
                  .num_all = 0,
                  .all_indptr = nullptr,
                  .all_indices = {nullptr, false},
                  .return_weight = 1 / p,
                  .far_weight = 1 / q};
  CheckWalkFits(seeds, law.edges, eids.has_value());
  CheckValue(num_steps >= 0, "num_steps: expected at least 0, got ", num_steps);
  constexpr double kMost = std::numeric_limits<double>::max();
  CheckValue(p > 0 && p <= kMost && law.return_weight <= kMost,
             "p: expected a positive, finite number, got ", p);
  CheckValue(q > 0 && q <= kMost && law.far_weight <= kMost,
             "q: expected a positive, finite number, got ", q);
  place.Reach("all_indptr", all_indptr);
  place.Reach("all_indices", all_indices);
  Operand{"all_indptr", all_indptr}
      .OfType(DType::kInt64)
      .OfSize(law.edges.num_rows + 1)
      .Contiguous();
  Operand{"all_indices", all_indices}.OfDim(1).Index().Contiguous();
  law.num_all = all_indices.size(0);
  law.all_indptr = all_indptr.as<std::int64_t>();
  law.all_indices = WalkIdsOf(all_indices);
  DispatchIndex(seeds.dtype, "seeds", [&]<typename Id>(Type<Id>) {
    const auto args = WalkArgsOf<Id>(place, seeds, num_steps, key, traces, eids);
    if (place.is_cuda()) return cuda::Node2vecWalk(args, law, place);
    py::gil_scoped_release release;
    CheckIds(from, law.edges.num_rows, "number of nodes");
    cpu::Node2vecWalk(args, law);
  });
}

}  // namespace

void BindRandomWalk(py::module_& module) {
  module.def("random_walk", &RandomWalkBinding, py::arg("relations"), py::arg("path"),
             py::arg("restart"), py::arg("seeds"), py::arg("key"), py::arg("traces"),
             py::arg("out_eids"));
  module.def("node2vec_walk", &Node2vecBinding, py::arg("edges"), py::arg("all_indptr"),
             py::arg("all_indices"), py::arg("seeds"), py::arg("p"), py::arg("q"),
             py::arg("num_steps"), py::arg("key"), py::arg("traces"), py::arg("out_eids"));
}

}  // namespace hopflow
