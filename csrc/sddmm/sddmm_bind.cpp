#include "sddmm/sddmm.h"

#include "bindings/bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kSddmmOp = "sddmm";

void SddmmDotBinding(const TensorView& u, const TensorView& v, const TensorView& indptr,
                     const TensorView& indices, const MaybeTensor& eids, const TensorView& out) {
  Place place(kSddmmOp, "indptr", indptr);
  Operand{"u", u}.OfDim(3).RowsContiguous().At(place);
  Operand{"v", v}.OfType(u.dtype).OfDim(3).RowsContiguous().At(place);
  CheckValue(u.size(1) == v.size(1) && u.size(2) == v.size(2), "v: expected rows shaped as u's ",
             u.ShapeString(), ", got ", v.ShapeString());
  Operand{"indices", indices}.OfDim(1).Index().Contiguous().At(place);
  const std::int64_t num_edges = indices.size(0);
  Operand{"indptr", indptr}.OfType(DType::kInt64).OfSize(v.size(0) + 1).Contiguous().At(place);
  if (eids) Operand{"eids", *eids}.OfType(indices.dtype).OfSize(num_edges).Contiguous().At(place);
  Operand{"out", out}.OfType(u.dtype).OfShape({num_edges, u.size(1)}).Contiguous().At(place);
  DispatchFloat(u.dtype, "u", [&]<typename T>(Type<T>) {
    DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
      const SddmmArgs<T, Id> args{.num_dst = v.size(0),
                                  .num_heads = u.size(1),
                                  .width = u.size(2),
                                  .u_stride = u.stride[0],
                                  .v_stride = v.stride[0],
                                  .indptr = indptr.as<std::int64_t>(),
                                  .indices = indices.as<Id>(),
                                  .eids = DataOrNull<Id>(eids),
                                  .u = u.as<T>(),
                                  .v = v.as<T>(),
                                  .out = out.as<T>()};
      if (place.is_cuda()) return cuda::SddmmDot(args, place);
      py::gil_scoped_release release;
      CheckIndptr({"indptr", indptr}, num_edges);
      CheckIds({"indices", indices}, u.size(0), "source nodes");
      if (eids) CheckPermutation({"eids", *eids});
      cpu::SddmmDot(args);
    });
  });
}

}  // namespace

void BindSddmm(py::module_& module) {
  module.def("sddmm_dot", &SddmmDotBinding, py::arg("u"), py::arg("v"), py::arg("indptr"),
             py::arg("indices"), py::arg("eids"), py::arg("out"));
}

}  // namespace hopflow
