#include "add_to_sources/add_to_sources.h"

#include "bindings/bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kAddToSourcesOp = "add_to_sources";

void AddToSourcesBinding(const TensorView& indptr, const TensorView& indices,
                         const TensorView& values, const TensorView& out) {
  const Operand edges{"indices", indices};
  edges.OfDim(1).Index().Contiguous().OnCpu(kAddToSourcesOp);
  const Operand rows{"indptr", indptr};
  rows.OfDim(1).OfType(DType::kInt64).Contiguous().OnCpu(kAddToSourcesOp);
  const Operand value{"values", values};
  value.OfType(DType::kFloat32).OfSize(indptr.size(0) - 1).Contiguous().OnCpu(kAddToSourcesOp);
  const Operand sums{"out", out};
  sums.OfDim(1).OfType(DType::kFloat32).Contiguous().OnCpu(kAddToSourcesOp);
  py::gil_scoped_release release;
  CheckIndptr(rows, indices.size(0));
  CheckIds(edges, out.size(0), "number of source nodes");
  DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
    cpu::AddToSources(values.size(0), indptr.as<std::int64_t>(), indices.as<Id>(),
                      values.as<float>(), out.as<float>());
  });
}

}  // namespace

void BindAddToSources(py::module_& module) {
  module.def("add_to_sources", &AddToSourcesBinding, py::arg("indptr"), py::arg("indices"),
             py::arg("values"), py::arg("out"));
}

}  // namespace hopflow
