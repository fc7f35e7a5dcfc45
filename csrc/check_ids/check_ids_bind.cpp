#include <string>

#include "bindings/bind.h"
#include "check_ids/check_ids.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kCheckIdsOp = "check";

void CheckIdsBinding(const TensorView& ids, const std::string& name, std::int64_t bound,
                     const std::string& bound_name) {
  Place place(kCheckIdsOp, name.c_str(), ids);
  const Operand operand{name.c_str(), ids};
  operand.OfDim(1).Index().Contiguous();
  if (!place.is_cuda()) {
    py::gil_scoped_release release;
    return CheckIds(operand, bound, bound_name.c_str());
  }
  DispatchIndex(ids.dtype, name.c_str(), [&]<typename Id>(Type<Id>) {
    const std::int64_t i = cuda::FirstOutside(ids.size(0), ids.as<Id>(), bound, place);
    if (i < 0) return;
    CheckIndex(false, name, "[", i, "] is ", cuda::ReadOne(ids.as<Id>() + i, place),
               ", expected 0 <= id < ", bound, " (", bound_name, ")");
  });
}

void CheckIndptrBinding(const TensorView& indptr, const std::string& name, std::int64_t num_edges) {
  Place place(kCheckIdsOp, name.c_str(), indptr);
  const Operand operand{name.c_str(), indptr};
  operand.OfDim(1).OfType(DType::kInt64).Contiguous();
  if (!place.is_cuda()) {
    py::gil_scoped_release release;
    return CheckIndptr(operand, num_edges);
  }
  const std::int64_t num_rows = indptr.size(0) - 1;
  CheckValue(num_rows >= 0, name, ": expected at least one element, got none");
  const auto* const data = indptr.as<std::int64_t>();
  const std::int64_t i = cuda::FirstFall(num_rows, num_edges, data, place);
  if (i < 0) return;
  const auto at = [&](std::int64_t k) { return cuda::ReadOne(data + k, place); };
  if (i < num_rows) {  // at(i + 1) is there
    CheckValue(false, name, " falls from ", at(i), " to ", at(i + 1), " at ", i + 1,
               "; expected it never to fall");
  }
  CheckValue(at(0) == 0, name, "[0]: expected 0, got ", at(0));
  CheckValue(false, name, "[-1]: expected the number of edges, ", num_edges, ", got ",
             at(num_rows));
}

void CheckPermutationBinding(const TensorView& ids, const std::string& name) {
  CheckIdsBinding(ids, name, ids.numel(), "number of edges");
  Place place(kCheckIdsOp, name.c_str(), ids);
  if (!place.is_cuda()) {
    py::gil_scoped_release release;
    return CheckPermutation({name.c_str(), ids});
  }
  DispatchIndex(ids.dtype, name.c_str(), [&]<typename Id>(Type<Id>) {
    const std::int64_t i = cuda::FirstRepeated(ids.size(0), ids.as<Id>(), place);
    if (i < 0) return;
    CheckValue(false, name, ": expected each edge once, got edge ",
               cuda::ReadOne(ids.as<Id>() + i, place), " twice");
  });
}

}  // namespace

void BindCheckIds(py::module_& module) {
  module.def("check_ids", &CheckIdsBinding, py::arg("ids"), py::arg("name"), py::arg("bound"),
             py::arg("bound_name"));
  module.def("check_indptr", &CheckIndptrBinding, py::arg("indptr"), py::arg("name"),
             py::arg("num_edges"));
  module.def("check_permutation", &CheckPermutationBinding, py::arg("ids"), py::arg("name"));
}

}  // namespace hopflow
