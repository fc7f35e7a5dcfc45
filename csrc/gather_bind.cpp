#include "bind.h"
#include "gather.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kOp = "gather_rows";

void GatherBinding(const TensorView& x, const TensorView& ids, const TensorView& out) {
  Operand{"x", x}.RowsContiguous().OnCpu(kOp);
  Operand{"ids", ids}.OfDim(1).Index().Contiguous().OnCpu(kOp);
  Operand{"out", out}.Contiguous().OnCpu(kOp);
  CheckValue(out.ndim == x.ndim && out.size(0) == ids.size(0) && out.row_numel() == x.row_numel() &&
                 out.item_bytes == x.item_bytes,
             "out: expected ", ids.size(0), " rows like those of x ", x.ShapeString(), ", got ",
             out.ShapeString());
  py::gil_scoped_release release;
  CheckIds({"ids", ids}, x.size(0), "rows of x");
  DispatchIndex(ids.dtype, "ids", [&]<typename Id>(Type<Id>) {
    cpu::GatherRows(ids.size(0), x.row_numel() * x.item_bytes, x.stride[0] * x.item_bytes, x.data,
                    ids.as<Id>(), out.data);
  });
}

}  // namespace

void BindGather(py::module_& module) {
  module.def("gather_rows", &GatherBinding, py::arg("x"), py::arg("ids"), py::arg("out"));
}

}  // namespace hopflow
