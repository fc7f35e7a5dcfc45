#include "gatv2_scores/gatv2_scores.h"

#include "bindings/bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

void Gatv2ScoresBinding(const TensorView& u, const TensorView& v, const TensorView& attn,
                        double slope, const TensorView& indptr, const TensorView& indices,
                        const MaybeTensor& eids, const MaybeTensor& grad, const TensorView& out,
                        const MaybeTensor& out_attn) {
  Place place("gatv2_scores", "indptr", indptr);
  Operand{"u", u}.OfDim(3).RowsContiguous().At(place);
  Operand{"v", v}.OfType(u.dtype).OfDim(3).RowsContiguous().At(place);
  const std::int64_t num_heads = u.size(1), width = u.size(2), num_dst = v.size(0);
  CheckValue(v.size(1) == num_heads && v.size(2) == width, "v: expected rows shaped as u's ",
             u.ShapeString(), ", got ", v.ShapeString());
  Operand{"attn", attn}.OfType(u.dtype).OfShape({num_heads, width}).Contiguous().At(place);
  Operand{"indices", indices}.OfDim(1).Index().Contiguous().At(place);
  const std::int64_t num_edges = indices.size(0);
  Operand{"indptr", indptr}.OfType(DType::kInt64).OfSize(num_dst + 1).Contiguous().At(place);
  if (eids) Operand{"eids", *eids}.OfType(indices.dtype).OfSize(num_edges).Contiguous().At(place);
  const Operand result{"out", out};
  result.OfType(u.dtype).Contiguous().At(place);
  if (grad) {
    Operand{"grad", *grad}.OfType(u.dtype).OfShape({num_edges, num_heads}).Contiguous().At(place);
    result.OfShape({num_dst, num_heads, width});
  } else {
    result.OfShape({num_edges, num_heads});
  }
  if (out_attn) {
    const DType wide = u.dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
    const Operand share{"out_attn", *out_attn};
    share.OfType(wide).OfShape({num_dst, num_heads, width}).Contiguous().At(place);
  }
  DispatchFloat(u.dtype, "u", [&]<typename T>(Type<T>) {
    DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
      const Gatv2Args<T, Id> args{.num_dst = num_dst,
                                  .num_heads = num_heads,
                                  .width = width,
                                  .u_stride = u.stride[0],
                                  .v_stride = v.stride[0],
                                  .slope = static_cast<Accumulator<T>>(slope),
                                  .indptr = indptr.as<std::int64_t>(),
                                  .indices = indices.as<Id>(),
                                  .eids = DataOrNull<Id>(eids),
                                  .u = u.as<T>(),
                                  .v = v.as<T>(),
                                  .attn = attn.as<T>(),
                                  .grad = DataOrNull<T>(grad),
                                  .out = out.as<T>(),
                                  .out_attn = DataOrNull<Accumulator<T>>(out_attn)};
      if (place.is_cuda()) {
        return grad ? cuda::Gatv2ScoresBackward(args, place) : cuda::Gatv2Scores(args, place);
      }
      py::gil_scoped_release release;
      CheckIndptr({"indptr", indptr}, num_edges);
      CheckIds({"indices", indices}, u.size(0), "source nodes");
      if (eids) CheckPermutation({"eids", *eids});
      grad ? cpu::Gatv2ScoresBackward(args) : cpu::Gatv2Scores(args);
    });
  });
}

}  // namespace

void BindGatv2Scores(py::module_& module) {
  module.def("gatv2_scores", &Gatv2ScoresBinding, py::arg("u"), py::arg("v"), py::arg("attn"),
             py::arg("slope"), py::arg("indptr"), py::arg("indices"), py::arg("eids"),
             py::arg("grad"), py::arg("out"), py::arg("out_attn"));
}

}  // namespace hopflow
