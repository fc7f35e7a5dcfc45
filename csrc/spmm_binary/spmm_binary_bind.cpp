#include "spmm_binary/spmm_binary.h"

#include <string_view>

#include "bindings/bind.h"
#include "messages/messages_bind.h"
#include "spmm/reduce_bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

void SpmmBinaryBinding(std::string_view op, const TensorView& lhs, std::string_view lhs_side,
                       const TensorView& rhs, std::string_view rhs_side, const TensorView& indptr,
                       const TensorView& indices, const MaybeTensor& eids,
                       std::string_view reduce_name, const TensorView& out,
                       const MaybeTensor& out_arg) {
  const Reduce reduce = ReduceOf(reduce_name);
  const MessageTensors t{op, lhs, lhs_side, rhs, rhs_side, indptr, indices, eids};
  Place place("spmm_binary", "indptr", indptr);
  CheckMessageShapes(place, t);
  const std::int64_t num_dst = indptr.size(0) - 1, width = MessageWidth(t);
  Operand{"out", out}.OfType(lhs.dtype).OfShape({num_dst, width}).Contiguous().At(place);
  CheckValue(out_arg.has_value() == HasArg(reduce),
             "out_arg: given for max and min, and only for them");
  if (out_arg) {
    const Operand arg{"out_arg", *out_arg};
    arg.OfType(DType::kInt32).OfShape({num_dst, width}).Contiguous().At(place);
  }
  DispatchFloat(lhs.dtype, "lhs", [&]<typename T>(Type<T>) {
    DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
      const SpmmBinaryArgs<T, Id> args{.messages = MessagesOf<T, Id>(t),
                                       .out = out.as<T>(),
                                       .arg = DataOrNull<std::int32_t>(out_arg)};
      if (place.is_cuda()) return cuda::SpmmBinary(args, reduce, place);
      py::gil_scoped_release release;
      CheckMessageIds(t);
      if (out_arg) CheckDegrees(indptr);
      cpu::SpmmBinary(args, reduce);
    });
  });
}

}  // namespace

void BindSpmmBinary(py::module_& module) {
  module.def("spmm_binary", &SpmmBinaryBinding, py::arg("op"), py::arg("lhs"), py::arg("lhs_side"),
             py::arg("rhs"), py::arg("rhs_side"), py::arg("indptr"), py::arg("indices"),
             py::arg("eids"), py::arg("reduce"), py::arg("out"), py::arg("out_arg"));
}

}  // namespace hopflow
