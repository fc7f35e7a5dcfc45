#include "bindings/bind.h"
#include "induced_edges/induced_edges.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kInducedOp = "induced_edges";

struct InducedOperands {
  std::int64_t num_nodes, num_edges, num_dst, num_src;
  const std::int64_t *indptr, *dst;
};

InducedOperands CheckInducedOperands(const Place& place, TensorView& indptr, TensorView& indices,
                                     const TensorView& dst, const TensorView& src) {
  place.Reach("indptr", indptr);
  Operand{"indptr", indptr}.OfDim(1).OfType(DType::kInt64).Contiguous();
  CheckValue(indptr.size(0) >= 1, "indptr: expected at least one element, got none");
  place.Reach("indices", indices);
  Operand{"indices", indices}.OfDim(1).Index().Contiguous();
  Operand{"dst", dst}.OfDim(1).OfType(DType::kInt64).Contiguous();
  Operand{"src", src}.OfDim(1).OfType(indices.dtype).Contiguous().At(place);
  return {indptr.size(0) - 1, indices.size(0),           dst.size(0),
          src.size(0),        indptr.as<std::int64_t>(), dst.as<std::int64_t>()};
}

std::int64_t CountInducedBinding(TensorView indptr, TensorView indices, const TensorView& dst,
                                 const TensorView& src, const MaybeTensor& rows,
                                 const MaybeTensor& kept, const TensorView& out_indptr) {
  Place place(kInducedOp, "dst", dst);
  const InducedOperands given = CheckInducedOperands(place, indptr, indices, dst, src);
  const Operand out{"out_indptr", out_indptr};
  out.OfType(DType::kInt64).OfSize(given.num_dst + 1).Contiguous().At(place);
  auto* const begins = out_indptr.as<std::int64_t>();
  return DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
    if (place.is_cuda()) {
      Operand{"rows", *rows}.OfType(DType::kInt64).OfSize(given.num_dst + 1).Contiguous().At(place);
      Operand{"kept", *kept}.OfDim(1).OfType(DType::kInt64).Contiguous().At(place);
      return cuda::CountInducedEdges(given.num_dst, given.num_src, kept->size(0) - 1,
                                     given.num_edges, given.indptr, indices.as<Id>(), given.dst,
                                     src.as<Id>(), rows->as<std::int64_t>(),
                                     kept->as<std::int64_t>(), begins, place);
    }
    py::gil_scoped_release release;
    cpu::CountInducedEdges(given.num_nodes, given.num_edges, given.num_dst, given.num_src,
                           given.indptr, indices.as<Id>(), given.dst, src.as<Id>(), begins);
    return begins[given.num_dst];
  });
}

void InducedBinding(TensorView indptr, TensorView indices, const TensorView& dst,
                    const TensorView& src, const MaybeTensor& rows, const MaybeTensor& kept,
                    const TensorView& out_indptr, const TensorView& out_indices,
                    const TensorView& out_positions) {
  Place place(kInducedOp, "dst", dst);
  const InducedOperands given = CheckInducedOperands(place, indptr, indices, dst, src);
  const Operand begins{"out_indptr", out_indptr};
  begins.OfType(DType::kInt64).OfSize(given.num_dst + 1).Contiguous().At(place);
  // What count_induced_edges returned; on the CPU it costs nothing to be sure.
  const std::int64_t total =
      place.is_cuda() ? out_positions.numel() : out_indptr.as<std::int64_t>()[given.num_dst];
  const Operand places{"out_indices", out_indices};
  places.OfType(indices.dtype).OfSize(total).Contiguous().At(place);
  const Operand positions{"out_positions", out_positions};
  positions.OfType(DType::kInt64).OfSize(total).Contiguous().At(place);
  DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
    if (place.is_cuda()) {
      cuda::InducedEdges(given.num_dst, given.num_src, given.num_edges, given.indptr,
                         indices.as<Id>(), given.dst, src.as<Id>(), rows->as<std::int64_t>(),
                         kept->as<std::int64_t>(), out_indices.as<Id>(),
                         out_positions.as<std::int64_t>(), place);
      return;
    }
    py::gil_scoped_release release;
    cpu::InducedEdges(given.num_dst, given.num_src, given.indptr, indices.as<Id>(), given.dst,
                      src.as<Id>(), out_indptr.as<std::int64_t>(), out_indices.as<Id>(),
                      out_positions.as<std::int64_t>());
  });
}

}  // namespace

void BindInducedEdges(py::module_& module) {
  module.def("count_induced_edges", &CountInducedBinding, py::arg("indptr"), py::arg("indices"),
             py::arg("dst"), py::arg("src"), py::arg("rows"), py::arg("kept"),
             py::arg("out_indptr"));
  module.def("induced_edges", &InducedBinding, py::arg("indptr"), py::arg("indices"),
             py::arg("dst"), py::arg("src"), py::arg("rows"), py::arg("kept"),
             py::arg("out_indptr"), py::arg("out_indices"), py::arg("out_positions"));
}

}  // namespace hopflow
