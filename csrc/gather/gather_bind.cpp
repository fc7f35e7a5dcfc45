#include "bindings/bind.h"
#include "gather/gather.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kGatherOp = "gather_rows";

struct RowSizes {
  std::int64_t row_bytes;
  std::int64_t stride_bytes;
};

RowSizes CheckRows(const Place& place, const TensorView& x, const TensorView& ids,
                   const TensorView& out) {
  Operand{"x", x}.RowsContiguous();
  Operand{"ids", ids}.OfDim(1).Index().Contiguous();
  Operand{"out", out}.Contiguous().At(place);
  CheckValue(out.ndim == x.ndim && out.size(0) == ids.size(0) && out.row_numel() == x.row_numel() &&
                 out.item_bytes == x.item_bytes,
             "out: expected ", ids.size(0), " rows like those of x ", x.ShapeString(), ", got ",
             out.ShapeString());
  return {x.row_numel() * x.item_bytes, x.stride[0] * x.item_bytes};
}

void GatherBinding(TensorView x, const TensorView& ids, const TensorView& out) {
  Place place(kGatherOp, "ids", ids);
  place.Reach("x", x);
  const RowSizes sizes = CheckRows(place, x, ids, out);
  DispatchIndex(ids.dtype, "ids", [&]<typename Id>(Type<Id>) {
    if (place.is_cuda()) {
      cuda::GatherRows(ids.size(0), sizes.row_bytes, sizes.stride_bytes, x.data, ids.as<Id>(), {},
                       out.data, place);
      return;
    }
    py::gil_scoped_release release;
    CheckIds({"ids", ids}, x.size(0), "rows of x");
    cpu::GatherRows(ids.size(0), sizes.row_bytes, sizes.stride_bytes, x.data, ids.as<Id>(),
                    out.data);
  });
}

void GatherCachedBinding(TensorView x, const TensorView& ids, const TensorView& cached,
                         const TensorView& slots, const TensorView& num_hits,
                         const TensorView& out) {
  Place place(kGatherOp, "ids", ids);
  CheckValue(place.is_cuda(), "ids: expected a CUDA tensor");
  place.Reach("x", x);
  const RowSizes sizes = CheckRows(place, x, ids, out);
  Operand{"cached", cached}.Contiguous().At(place);
  CheckValue(cached.row_numel() == x.row_numel() && cached.item_bytes == x.item_bytes,
             "cached: expected rows like those of x ", x.ShapeString(), ", got ",
             cached.ShapeString());
  Operand{"slots", slots}.OfType(DType::kInt32).OfSize(x.size(0)).Contiguous().At(place);
  Operand{"num_hits", num_hits}.OfType(DType::kInt64).OfSize(1).At(place);
  const cuda::RowCache cache{cached.data, slots.as<std::int32_t>(), num_hits.as<std::int64_t>()};
  DispatchIndex(ids.dtype, "ids", [&]<typename Id>(Type<Id>) {
    cuda::GatherRows(ids.size(0), sizes.row_bytes, sizes.stride_bytes, x.data, ids.as<Id>(), cache,
                     out.data, place);
  });
}

}  // namespace

void BindGather(py::module_& module) {
  module.def("gather_rows", &GatherBinding, py::arg("x"), py::arg("ids"), py::arg("out"));
  module.def("gather_cached_rows", &GatherCachedBinding, py::arg("x"), py::arg("ids"),
             py::arg("cached"), py::arg("slots"), py::arg("num_hits"), py::arg("out"));
}

}  // namespace hopflow
