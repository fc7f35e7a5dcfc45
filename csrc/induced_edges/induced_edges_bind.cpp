#include <limits>
#include <utility>

#include "bindings/bind.h"
#include "induced_edges/induced_edges.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kInducedOp = "induced_edges";
constexpr const char* kNumberOp = "number_by_source";

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
  Operand{"src", src}.OfDim(1).Contiguous().At(place);
  return {indptr.size(0) - 1, indices.size(0),           dst.size(0),
          src.size(0),        indptr.as<std::int64_t>(), dst.as<std::int64_t>()};
}

// (indptr, sources, positions), on the CPU.
py::tuple InducedBinding(TensorView indptr, TensorView indices, const TensorView& dst,
                         const TensorView& src) {
  const Place place(kInducedOp, "dst", dst);
  Operand{"dst", dst}.OnCpu(kInducedOp);
  const InducedOperands given = CheckInducedOperands(place, indptr, indices, dst, src);
  Operand{"src", src}.OfType(DType::kInt64);
  cpu::InducedRows found;
  DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
    py::gil_scoped_release release;
    found = cpu::InducedEdges(given.num_nodes, given.num_edges, given.num_dst, given.num_src,
                              given.indptr, indices.as<Id>(), given.dst, src.as<std::int64_t>());
  });
  return py::make_tuple(ToTensor(std::move(found.indptr), DType::kInt64, given.num_dst + 1),
                        ToTensor(std::move(found.indices), indices.dtype, found.num_edges),
                        ToTensor(std::move(found.positions), DType::kInt64, found.num_edges));
}

std::int64_t CountInducedOnCudaBinding(TensorView indptr, TensorView indices, const TensorView& dst,
                                       const TensorView& src, const TensorView& rows,
                                       const TensorView& kept, const TensorView& out_indptr) {
  Place place(kInducedOp, "dst", dst);
  const InducedOperands given = CheckInducedOperands(place, indptr, indices, dst, src);
  Operand{"src", src}.OfType(indices.dtype);
  for (const Operand& begins : {Operand{"rows", rows}, Operand{"out_indptr", out_indptr}}) {
    begins.OfType(DType::kInt64).OfSize(given.num_dst + 1).Contiguous().At(place);
  }
  Operand{"kept", kept}.OfDim(1).OfType(DType::kInt64).Contiguous().At(place);
  return DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
    return cuda::CountInducedEdges(given.num_dst, given.num_src, kept.size(0) - 1, given.num_edges,
                                   given.indptr, indices.as<Id>(), given.dst, src.as<Id>(),
                                   rows.as<std::int64_t>(), kept.as<std::int64_t>(),
                                   out_indptr.as<std::int64_t>(), place);
  });
}

void InducedOnCudaBinding(TensorView indptr, TensorView indices, const TensorView& dst,
                          const TensorView& src, const TensorView& rows, const TensorView& kept,
                          const TensorView& out_indices, const TensorView& out_positions) {
  Place place(kInducedOp, "dst", dst);
  const InducedOperands given = CheckInducedOperands(place, indptr, indices, dst, src);
  Operand{"src", src}.OfType(indices.dtype);
  // As many as were counted.
  const std::int64_t total = out_positions.numel();
  Operand{"out_indices", out_indices}.OfType(indices.dtype).OfSize(total).Contiguous().At(place);
  Operand{"out_positions", out_positions}
      .OfType(DType::kInt64)
      .OfSize(total)
      .Contiguous()
      .At(place);
  DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
    cuda::InducedEdges(given.num_dst, given.num_src, given.num_edges, given.indptr,
                       indices.as<Id>(), given.dst, src.as<Id>(), rows.as<std::int64_t>(),
                       kept.as<std::int64_t>(), out_indices.as<Id>(),
                       out_positions.as<std::int64_t>(), place);
  });
}

// (sources, numbers or None, eids), on the CPU.
py::tuple NumberBinding(const TensorView& indptr, const TensorView& indices, const TensorView& eids,
                        std::int64_t num_src) {
  const Operand begins{"indptr", indptr}, sources{"indices", indices};
  begins.OfDim(1).OfType(DType::kInt64).Contiguous().OnCpu(kNumberOp);
  CheckValue(indptr.size(0) >= 1, "indptr: expected at least one element, got none");
  sources.OfDim(1).Index().Contiguous().OnCpu(kNumberOp);
  const std::int64_t num_dst = indptr.size(0) - 1, num_edges = indices.size(0);
  Operand{"eids", eids}.OfType(DType::kInt64).OfSize(num_edges).Contiguous().OnCpu(kNumberOp);
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  CheckValue(indices.dtype == DType::kInt64 || num_dst <= kMost, "indices: ", num_dst,
             " destinations need int64, got int32");
  const DType number_type = num_edges <= kMost ? DType::kInt32 : DType::kInt64;
  cpu::NumberedEdges made;
  DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
    DispatchIndex(number_type, "numbers", [&]<typename EdgeId>(Type<EdgeId>) {
      py::gil_scoped_release release;
      CheckIndptr(begins, num_edges);
      CheckIds(sources, num_src, "number of source nodes");
      made = cpu::NumberBySource<Id, EdgeId>(num_dst, num_src, num_edges, indptr.as<std::int64_t>(),
                                             indices.as<Id>(), eids.as<std::int64_t>());
    });
  });
  py::object numbers = py::none();
  if (!made.is_sorted) numbers = ToTensor(std::move(made.numbers), number_type, num_edges);
  return py::make_tuple(ToTensor(std::move(made.indices), indices.dtype, num_edges), numbers,
                        ToTensor(std::move(made.eids), DType::kInt64, num_edges));
}

}  // namespace

void BindInducedEdges(py::module_& module) {
  module.def("induced_edges", &InducedBinding, py::arg("indptr"), py::arg("indices"),
             py::arg("dst"), py::arg("src"));
  module.def("count_induced_on_cuda", &CountInducedOnCudaBinding, py::arg("indptr"),
             py::arg("indices"), py::arg("dst"), py::arg("src"), py::arg("rows"), py::arg("kept"),
             py::arg("out_indptr"));
  module.def("induced_on_cuda", &InducedOnCudaBinding, py::arg("indptr"), py::arg("indices"),
             py::arg("dst"), py::arg("src"), py::arg("rows"), py::arg("kept"),
             py::arg("out_indices"), py::arg("out_positions"));
  module.def("number_by_source", &NumberBinding, py::arg("indptr"), py::arg("indices"),
             py::arg("eids"), py::arg("num_src"));
}

}  // namespace hopflow
