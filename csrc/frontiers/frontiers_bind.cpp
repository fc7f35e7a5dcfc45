#include "frontiers/frontiers.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "bindings/bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kFrontiersOp = "frontiers";

// Calls f(graph) for checked operands, without the interpreter's lock.
template <typename F>
void WithEdgesOn(const TensorView& indptr, const TensorView& indices, const MaybeTensor& eids,
                 F&& f) {
  const Operand begins{"indptr", indptr}, others{"indices", indices};
  begins.OfDim(1).OfType(DType::kInt64).Contiguous().OnCpu(kFrontiersOp);
  CheckValue(indptr.size(0) >= 1, "indptr: expected at least one element, got none");
  others.OfDim(1).Index().Contiguous().OnCpu(kFrontiersOp);
  const std::int64_t num_nodes = indptr.size(0) - 1;
  if (eids) {
    Operand{"eids", *eids}.Index().OfSize(indices.size(0)).Contiguous().OnCpu(kFrontiersOp);
  }
  const DType eid_type = eids ? eids->dtype : DType::kInt32;
  py::gil_scoped_release release;
  CheckIndptr(begins, indices.size(0));
  CheckIds(others, num_nodes, "number of nodes");
  DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
    DispatchIndex(eid_type, "eids", [&]<typename EdgeId>(Type<EdgeId>) {
      f(cpu::EdgesOn<Id, EdgeId>{.num_nodes = num_nodes,
                                 .indptr = indptr.as<std::int64_t>(),
                                 .indices = indices.as<Id>(),
                                 .eids = DataOrNull<EdgeId>(eids)});
    });
  });
}

const std::int64_t* CheckSources(const TensorView& sources) {
  Operand{"sources", sources}.OfDim(1).OfType(DType::kInt64).Contiguous().OnCpu(kFrontiersOp);
  return sources.as<std::int64_t>();
}

py::object CopyOf(const std::vector<std::int64_t>& values) {
  const auto count = static_cast<std::int64_t>(values.size());
  Buffer copy = Buffer::Of<std::int64_t>(count);
  std::copy(values.begin(), values.end(), copy.as<std::int64_t>());
  return ToTensor(std::move(copy), DType::kInt64, count);
}

// (nodes, eids, offsets)
py::tuple BreadthFirstBinding(const TensorView& indptr, const TensorView& indices,
                              const MaybeTensor& eids, const TensorView& sources) {
  const std::int64_t* const from = CheckSources(sources);
  Buffer nodes, over;
  std::vector<std::int64_t> offsets;
  WithEdgesOn(indptr, indices, eids, [&](const auto& graph) {
    CheckIds({"sources", sources}, graph.num_nodes, "number of nodes");
    nodes = Buffer::Of<std::int64_t>(graph.num_nodes);
    over = Buffer::Of<std::int64_t>(graph.num_nodes);
    offsets = BreadthFirst(graph, sources.size(0), from, nodes.as<std::int64_t>(),
                           over.as<std::int64_t>());
  });
  const std::int64_t num_met = offsets.back() - sources.size(0);
  return py::make_tuple(ToTensor(std::move(nodes), DType::kInt64, offsets.back()),
                        ToTensor(std::move(over), DType::kInt64, num_met), CopyOf(offsets));
}

// (nodes, offsets)
py::tuple TopologicalBinding(const TensorView& indptr, const TensorView& indices) {
  Buffer nodes;
  std::vector<std::int64_t> offsets;
  WithEdgesOn(indptr, indices, std::nullopt, [&](const auto& graph) {
    nodes = Buffer::Of<std::int64_t>(graph.num_nodes);
    offsets = Topological(graph, nodes.as<std::int64_t>());
  });
  return py::make_tuple(ToTensor(std::move(nodes), DType::kInt64, offsets.back()), CopyOf(offsets));
}

// (eids, labels, offsets)
py::tuple DepthFirstBinding(const TensorView& indptr, const TensorView& indices,
                            const MaybeTensor& eids, const TensorView& sources, bool reverse,
                            bool nontree) {
  const std::int64_t* const from = CheckSources(sources);
  cpu::SearchSteps steps;
  WithEdgesOn(indptr, indices, eids, [&](const auto& graph) {
    CheckIds({"sources", sources}, graph.num_nodes, "number of nodes");
    steps = DepthFirst(graph, sources.size(0), from, reverse, nontree);
  });
  return py::make_tuple(CopyOf(steps.eids), CopyOf(steps.labels), CopyOf(steps.offsets));
}

}  // namespace

void BindFrontiers(py::module_& module) {
  module.def("breadth_first", &BreadthFirstBinding, py::arg("indptr"), py::arg("indices"),
             py::arg("eids"), py::arg("sources"));
  module.def("topological", &TopologicalBinding, py::arg("indptr"), py::arg("indices"));
  module.def("depth_first", &DepthFirstBinding, py::arg("indptr"), py::arg("indices"),
             py::arg("eids"), py::arg("sources"), py::arg("reverse"), py::arg("nontree"));
}

}  // namespace hopflow
