#include "edge_softmax/edge_softmax.h"

#include "bindings/bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

void EdgeSoftmaxBinding(const TensorView& x, const MaybeTensor& grad, const TensorView& indptr,
                        const MaybeTensor& eids, const TensorView& out) {
  Place place("edge_softmax", "x", x);
  Operand{"x", x}.OfDim(2).Contiguous();
  const std::int64_t num_edges = x.size(0), width = x.size(1);
  if (grad) {
    Operand{"grad", *grad}.OfType(x.dtype).OfShape({num_edges, width}).Contiguous().At(place);
  }
  Operand{"indptr", indptr}.OfDim(1).OfType(DType::kInt64).Contiguous().At(place);
  CheckValue(indptr.size(0) >= 1, "indptr: expected at least one element, got none");
  if (eids) Operand{"eids", *eids}.Index().OfSize(num_edges).Contiguous().At(place);
  Operand{"out", out}.OfType(x.dtype).OfShape({num_edges, width}).Contiguous().At(place);
  DispatchFloat(x.dtype, "x", [&]<typename T>(Type<T>) {
    DispatchIndex(eids ? eids->dtype : DType::kInt32, "eids", [&]<typename Id>(Type<Id>) {
      const EdgeSoftmaxArgs<T, Id> args{.num_dst = indptr.size(0) - 1,
                                        .width = width,
                                        .indptr = indptr.as<std::int64_t>(),
                                        .eids = DataOrNull<Id>(eids),
                                        .x = x.as<T>(),
                                        .grad = DataOrNull<T>(grad),
                                        .out = out.as<T>()};
      if (place.is_cuda()) {
        return grad ? cuda::EdgeSoftmaxBackward(args, place) : cuda::EdgeSoftmax(args, place);
      }
      py::gil_scoped_release release;
      CheckIndptr({"indptr", indptr}, num_edges);
      if (eids) CheckPermutation({"eids", *eids});
      grad ? cpu::EdgeSoftmaxBackward(args) : cpu::EdgeSoftmax(args);
    });
  });
}

}  // namespace

void BindEdgeSoftmax(py::module_& module) {
  module.def("edge_softmax", &EdgeSoftmaxBinding, py::arg("x"), py::arg("grad"), py::arg("indptr"),
             py::arg("eids"), py::arg("out"));
}

}  // namespace hopflow
