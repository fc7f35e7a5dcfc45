#include "sddmm_binary/sddmm_binary.h"

#include <string_view>

#include "bindings/bind.h"
#include "messages/messages_bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

void SddmmBinaryBinding(std::string_view op, const TensorView& lhs, std::string_view lhs_side,
                        const TensorView& rhs, std::string_view rhs_side, const TensorView& indptr,
                        const TensorView& indices, const MaybeTensor& eids, const TensorView& out) {
  const MessageTensors t{op, lhs, lhs_side, rhs, rhs_side, indptr, indices, eids};
  Place place("sddmm_binary", "indptr", indptr);
  CheckMessageShapes(place, t);
  const std::int64_t num_edges = indices.size(0);
  Operand{"out", out}
      .OfType(lhs.dtype)
      .OfShape({num_edges, MessageWidth(t)})
      .Contiguous()
      .At(place);
  DispatchFloat(lhs.dtype, "lhs", [&]<typename T>(Type<T>) {
    DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
      const SddmmBinaryArgs<T, Id> args{
          .messages = MessagesOf<T, Id>(t), .num_edges = num_edges, .out = out.as<T>()};
      if (place.is_cuda()) return cuda::SddmmBinary(args, place);
      py::gil_scoped_release release;
      CheckMessageIds(t);
      cpu::SddmmBinary(args);
    });
  });
}

}  // namespace

void BindSddmmBinary(py::module_& module) {
  module.def("sddmm_binary", &SddmmBinaryBinding, py::arg("op"), py::arg("lhs"),
             py::arg("lhs_side"), py::arg("rhs"), py::arg("rhs_side"), py::arg("indptr"),
             py::arg("indices"), py::arg("eids"), py::arg("out"));
}

}  // namespace hopflow
