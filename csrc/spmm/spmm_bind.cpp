#include "spmm/spmm.h"

#include <string_view>

#include "bindings/bind.h"
#include "spmm/reduce_bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kSpmmOp = "spmm";

DType AccumulatorType(DType dtype) {
  return dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
}

void SpmmBinding(const TensorView& x, const TensorView& indptr, const MaybeTensor& rows,
                 std::int64_t num_edges, const MaybeTensor& weight, const MaybeTensor& weight_ids,
                 const MaybeTensor& row_scale, std::string_view reduce_name, const TensorView& out,
                 const MaybeTensor& out_arg) {
  const Reduce reduce = ReduceOf(reduce_name);
  Place place(kSpmmOp, "indptr", indptr);
  // Two dimensions are those of one head: reshaping costs more than a small sum.
  const bool has_heads = x.ndim != 2;
  Operand{"x", x}.OfDim(has_heads ? 3 : 2).RowsContiguous().At(place);
  const std::int64_t num_heads = has_heads ? x.size(1) : 1, width = x.size(x.ndim - 1);
  Operand{"indptr", indptr}.OfDim(1).OfType(DType::kInt64).Contiguous().At(place);
  CheckValue(indptr.size(0) >= 1, "indptr: expected at least one element, got none");
  const std::int64_t num_dst = indptr.size(0) - 1;
  if (rows) {
    Operand{"rows", *rows}.Index().OfSize(num_edges).Contiguous().At(place);
  } else {
    CheckValue(x.size(0) == num_edges, "x: expected one row for each of the ", num_edges,
               " edges, got ", x.size(0));
  }
  const DType id_type = rows ? rows->dtype : weight_ids ? weight_ids->dtype : DType::kInt32;
  const DType accumulator = AccumulatorType(x.dtype);
  CheckValue(!HasArg(reduce) || (!weight && !row_scale), "weight: only sum and mean take weights");
  if (weight) {
    Operand{"weight", *weight}.OfDim(2).OfType(accumulator).Contiguous().At(place);
    CheckValue(weight->size(1) == num_heads, "weight: expected ", num_heads, " heads, got ",
               weight->size(1));
    CheckValue(weight->size(0) == num_edges, "weight: expected one row for each of ", num_edges,
               " edges, got ", weight->size(0));
  }
  if (weight_ids) {
    CheckValue(weight.has_value(), "weight_ids: given without weight");
    Operand{"weight_ids", *weight_ids}.OfType(id_type).OfSize(num_edges).Contiguous().At(place);
  }
  if (row_scale) {
    Operand{"row_scale", *row_scale}.OfType(accumulator).OfSize(x.size(0)).Contiguous().At(place);
  }
  const auto check_shape = [&](const Operand& result) {
    has_heads ? result.OfShape({num_dst, num_heads, width}) : result.OfShape({num_dst, width});
    result.Contiguous().At(place);
  };
  check_shape(Operand{"out", out}.OfType(x.dtype));
  if (out_arg) check_shape(Operand{"out_arg", *out_arg}.OfType(DType::kInt32));
  const auto check = [&] {
    CheckIndptr({"indptr", indptr}, num_edges);
    if (HasArg(reduce)) CheckDegrees(indptr);
    if (rows) CheckIds({"rows", *rows}, x.size(0), "rows of x");
    if (weight_ids) CheckPermutation({"weight_ids", *weight_ids});
  };
  DispatchFloat(x.dtype, "x", [&]<typename T>(Type<T>) {
    DispatchIndex(id_type, "rows", [&]<typename Id>(Type<Id>) {
      const SpmmArgs<T, Id> args{.num_dst = num_dst,
                                 .num_heads = num_heads,
                                 .width = width,
                                 .x_stride = x.stride[0],
                                 .indptr = indptr.as<std::int64_t>(),
                                 .rows = DataOrNull<Id>(rows),
                                 .x = x.as<T>(),
                                 .weight = DataOrNull<Accumulator<T>>(weight),
                                 .weight_ids = DataOrNull<Id>(weight_ids),
                                 .row_scale = DataOrNull<Accumulator<T>>(row_scale),
                                 .out = out.as<T>(),
                                 .arg = DataOrNull<std::int32_t>(out_arg)};
      if (place.is_cuda()) return cuda::Spmm(args, reduce, place);
      py::gil_scoped_release release;
      check();
      cpu::Spmm(args, reduce);
    });
  });
}

void InverseDegreesBinding(const TensorView& indptr, const TensorView& out) {
  Place place(kSpmmOp, "indptr", indptr);
  Operand{"indptr", indptr}.OfDim(1).OfType(DType::kInt64).Contiguous();
  Operand{"out", out}.OfSize(indptr.size(0) - 1).Contiguous().At(place);
  if (out.dtype != DType::kFloat64) Operand{"out", out}.OfType(DType::kFloat32);
  const auto invert = [&]<typename Acc>(Acc* result) {
    const std::int64_t* data = indptr.as<std::int64_t>();
    if (place.is_cuda()) return cuda::InverseDegrees(out.size(0), data, result, place);
    py::gil_scoped_release release;
    cpu::InverseDegrees(out.size(0), data, result);
  };
  if (out.dtype == DType::kFloat64) {
    invert(out.as<double>());
  } else {
    invert(out.as<float>());
  }
}

void ArgBackwardBinding(const TensorView& grad, const TensorView& arg, const TensorView& indptr,
                        const TensorView& t_indptr, const TensorView& t_rows,
                        const TensorView& t_positions, const TensorView& out) {
  Place place(kSpmmOp, "grad", grad);
  Operand{"grad", grad}.OfDim(2).Contiguous();
  Operand{"arg", arg}
      .OfType(DType::kInt32)
      .OfShape({grad.size(0), grad.size(1)})
      .Contiguous()
      .At(place);
  Operand{"t_rows", t_rows}.OfDim(1).Index().Contiguous().At(place);
  const std::int64_t num_edges = t_rows.size(0);
  Operand{"t_positions", t_positions}.OfType(t_rows.dtype).OfSize(num_edges).Contiguous().At(place);
  Operand{"indptr", indptr}.OfType(DType::kInt64).OfSize(grad.size(0) + 1).Contiguous().At(place);
  Operand{"t_indptr", t_indptr}
      .OfType(DType::kInt64)
      .OfSize(out.size(0) + 1)
      .Contiguous()
      .At(place);
  Operand{"out", out}
      .OfType(grad.dtype)
      .OfShape({out.size(0), grad.size(1)})
      .Contiguous()
      .At(place);
  DispatchFloat(grad.dtype, "grad", [&]<typename T>(Type<T>) {
    DispatchIndex(t_rows.dtype, "t_rows", [&]<typename Id>(Type<Id>) {
      const SpmmArgBackwardArgs<T, Id> args{.num_src = out.size(0),
                                            .width = grad.size(1),
                                            .t_indptr = t_indptr.as<std::int64_t>(),
                                            .t_rows = t_rows.as<Id>(),
                                            .t_positions = t_positions.as<Id>(),
                                            .indptr = indptr.as<std::int64_t>(),
                                            .grad = grad.as<T>(),
                                            .arg = arg.as<std::int32_t>(),
                                            .out = out.as<T>()};
      if (place.is_cuda()) return cuda::SpmmArgBackward(args, place);
      py::gil_scoped_release release;
      CheckIndptr({"t_indptr", t_indptr}, num_edges);
      CheckIds({"t_rows", t_rows}, grad.size(0), "destination nodes");
      cpu::SpmmArgBackward(args);
    });
  });
}

void EdgeBackwardBinding(const TensorView& grad, const MaybeTensor& arg, const TensorView& indptr,
                         const MaybeTensor& eids, std::string_view reduce_name,
                         const TensorView& out) {
  const Reduce reduce = ReduceOf(reduce_name);
  Place place(kSpmmOp, "grad", grad);
  Operand{"grad", grad}.OfDim(2).Contiguous();
  CheckValue(arg.has_value() == HasArg(reduce), "arg: given for max and min, and only for them");
  if (arg) {
    Operand{"arg", *arg}
        .OfType(DType::kInt32)
        .OfShape({grad.size(0), grad.size(1)})
        .Contiguous()
        .At(place);
  }
  Operand{"indptr", indptr}.OfType(DType::kInt64).OfSize(grad.size(0) + 1).Contiguous().At(place);
  Operand{"out", out}.OfType(grad.dtype).OfDim(2).Contiguous().At(place);
  CheckValue(out.size(1) == grad.size(1), "out: expected width ", grad.size(1), ", got ",
             out.size(1));
  const std::int64_t num_edges = out.size(0);
  if (eids) Operand{"eids", *eids}.Index().OfSize(num_edges).Contiguous().At(place);
  DispatchFloat(grad.dtype, "grad", [&]<typename T>(Type<T>) {
    DispatchIndex(eids ? eids->dtype : DType::kInt32, "eids", [&]<typename Id>(Type<Id>) {
      const SpmmEdgeBackwardArgs<T, Id> args{.num_dst = grad.size(0),
                                             .width = grad.size(1),
                                             .indptr = indptr.as<std::int64_t>(),
                                             .eids = DataOrNull<Id>(eids),
                                             .grad = grad.as<T>(),
                                             .arg = DataOrNull<std::int32_t>(arg),
                                             .out = out.as<T>()};
      if (place.is_cuda()) return cuda::SpmmEdgeBackward(args, reduce, place);
      py::gil_scoped_release release;
      CheckIndptr({"indptr", indptr}, num_edges);
      if (eids) CheckPermutation({"eids", *eids});
      cpu::SpmmEdgeBackward(args, reduce);
    });
  });
}

}  // namespace

void BindSpmm(py::module_& module) {
  module.def("spmm", &SpmmBinding, py::arg("x"), py::arg("indptr"), py::arg("rows"),
             py::arg("num_edges"), py::arg("weight"), py::arg("weight_ids"), py::arg("row_scale"),
             py::arg("reduce"), py::arg("out"), py::arg("out_arg"));
  module.def("inverse_degrees", &InverseDegreesBinding, py::arg("indptr"), py::arg("out"));
  module.def("spmm_arg_backward", &ArgBackwardBinding, py::arg("grad"), py::arg("arg"),
             py::arg("indptr"), py::arg("t_indptr"), py::arg("t_rows"), py::arg("t_positions"),
             py::arg("out"));
  module.def("spmm_edge_backward", &EdgeBackwardBinding, py::arg("grad"), py::arg("arg"),
             py::arg("indptr"), py::arg("eids"), py::arg("reduce"), py::arg("out"));
}

}  // namespace hopflow
