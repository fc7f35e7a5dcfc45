#include "bind.h"
#include "gather.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kOp = "gather_rows";

void GatherBinding(TensorView x, const TensorView& ids, const TensorView& out) {
  Place place(kOp, "ids", ids);
  place.Reach("x", x);
  Operand{"x", x}.RowsContiguous();
  Operand{"ids", ids}.OfDim(1).Index().Contiguous();
  Operand{"out", out}.Contiguous().At(place);
  CheckValue(out.ndim == x.ndim && out.size(0) == ids.size(0) && out.row_numel() == x.row_numel() &&
                 out.item_bytes == x.item_bytes,
             "out: expected ", ids.size(0), " rows like those of x ", x.ShapeString(), ", got ",
             out.ShapeString());
  const std::int64_t row_bytes = x.row_numel() * x.item_bytes;
  const std::int64_t stride_bytes = x.stride[0] * x.item_bytes;
  DispatchIndex(ids.dtype, "ids", [&]<typename Id>(Type<Id>) {
    if (place.is_cuda()) {
      cuda::GatherRows(ids.size(0), row_bytes, stride_bytes, x.data, ids.as<Id>(), out.data, place);
      return;
    }
    py::gil_scoped_release release;
    CheckIds({"ids", ids}, x.size(0), "rows of x");
    cpu::GatherRows(ids.size(0), row_bytes, stride_bytes, x.data, ids.as<Id>(), out.data);
  });
}

}  // namespace

void BindGather(py::module_& module) {
  module.def("gather_rows", &GatherBinding, py::arg("x"), py::arg("ids"), py::arg("out"));
}

}  // namespace hopflow
