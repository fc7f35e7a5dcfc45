#include "bindings/bind.h"
#include "gather_decoded/gather_decoded.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kOp = "gather_decoded";

// What x is by its dtype; numbers in a row.
std::pair<Encoding, std::int64_t> EncodingOf(const Place& place, const TensorView& x,
                                             const MaybeTensor& scale, const MaybeTensor& offset,
                                             bool by_row) {
  const std::int64_t numel = x.row_numel();
  CheckValue(!by_row || !(scale || offset),
             "scale, offset: expected none beside by_row, whose rows hold their own");
  if (by_row) {
    Operand{"x", x}.OfType(DType::kUInt8).OfDim(2);
    CheckValue(numel >= kRowScaleBytes, "x: expected rows of at least ", kRowScaleBytes,
               " bytes, which end with scale and bias, got ", x.ShapeString());
    return {{Code::kByRow}, numel - kRowScaleBytes};
  }
  if (x.dtype == DType::kInt8) {
    CheckValue(scale && offset, "scale, offset: expected both for x of int8");
    for (const auto& [name, view] : {Operand{"scale", *scale}, Operand{"offset", *offset}}) {
      Operand{name, view}.OfType(DType::kFloat32).OfSize(numel).Contiguous().At(place);
    }
    return {{Code::kByColumn, scale->as<float>(), offset->as<float>()}, numel};
  }
  CheckValue(!scale && !offset, "scale, offset: expected none for x of ", Name(x.dtype));
  return {{FloatCode(x.dtype, "x")}, numel};
}

void GatherDecodedBinding(TensorView x, const MaybeTensor& ids, const MaybeTensor& scale,
                          const MaybeTensor& offset, bool by_row, const TensorView& out) {
  Place place(kOp, ids ? "ids" : "out", ids ? *ids : out);
  place.Reach("x", x);
  Operand{"x", x}.RowsContiguous();
  const auto [encoding, width] = EncodingOf(place, x, scale, offset, by_row);
  if (ids) Operand{"ids", *ids}.OfDim(1).Index().Contiguous();
  const std::int64_t num_ids = ids ? ids->size(0) : x.size(0);
  FloatCode(out.dtype, "out");
  Operand{"out", out}.Contiguous().At(place);
  CheckValue(out.ndim == x.ndim && out.size(0) == num_ids && out.row_numel() == width,
             "out: expected ", num_ids, " rows of ", width, " numbers, got ", out.ShapeString());
  DispatchIndex(ids ? ids->dtype : DType::kInt64, "ids", [&]<typename Id>(Type<Id>) {
    const GatherDecodedArgs<Id> args{num_ids,   width,   x.stride[0] * x.item_bytes,
                                     encoding,  x.data,  DataOrNull<const Id>(ids),
                                     out.dtype, out.data};
    if (place.is_cuda()) {
      cuda::GatherDecoded(args, place);
      return;
    }
    py::gil_scoped_release release;
    if (ids) CheckIds({"ids", *ids}, x.size(0), "rows of x");
    cpu::GatherDecoded(args);
  });
}

}  // namespace

void BindGatherDecoded(py::module_& module) {
  module.def("gather_decoded", &GatherDecodedBinding, py::arg("x"), py::arg("ids"),
             py::arg("scale"), py::arg("offset"), py::arg("by_row"), py::arg("out"));
}

}  // namespace hopflow
