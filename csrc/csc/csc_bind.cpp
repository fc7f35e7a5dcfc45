#include "csc/csc.h"

#include "bindings/bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

// Ids as small as int32 must be able to count the edges.
void CheckFits(const Operand& ids, std::int64_t count, const char* what) {
  CheckValue(ids.view.dtype == DType::kInt64 || count <= 0x7fffffff, ids.name, ": ", count, " ",
             what, " need int64, got int32");
}

bool IsSortedBinding(const TensorView& dst) {
  Place place("coo_to_csc", "dst", dst);
  Operand{"dst", dst}.OfDim(1).Index().Contiguous();
  return DispatchIndex(dst.dtype, "dst", [&]<typename Id>(Type<Id>) {
    if (place.is_cuda()) return cuda::IsSorted(dst.size(0), dst.as<Id>(), place);
    py::gil_scoped_release release;
    return cpu::IsSorted(dst.size(0), dst.as<Id>());
  });
}

void CooToCscBinding(const TensorView& src, const TensorView& dst, std::int64_t num_src,
                     const TensorView& out_indptr, const TensorView& out_indices,
                     const MaybeTensor& out_eids) {
  Place place("coo_to_csc", "src", src);
  Operand{"src", src}.OfDim(1).Index().Contiguous();
  const std::int64_t num_edges = src.size(0);
  Operand{"dst", dst}.OfType(src.dtype).OfSize(num_edges).Contiguous().At(place);
  Operand{"out_indptr", out_indptr}.OfDim(1).OfType(DType::kInt64).Contiguous().At(place);
  CheckValue(out_indptr.size(0) >= 1, "out_indptr: expected at least one element, got none");
  const std::int64_t num_dst = out_indptr.size(0) - 1;
  const Operand indices{"out_indices", out_indices};
  indices.Index().OfSize(num_edges).Contiguous().At(place);
  CheckFits(indices, num_src, "source nodes");
  if (out_eids) {
    const Operand eids{"out_eids", *out_eids};
    eids.Index().OfSize(num_edges).Contiguous().At(place);
    CheckFits(eids, num_edges, "edges");
  }
  DispatchIndex(src.dtype, "src", [&]<typename Id>(Type<Id>) {
    DispatchIndex(out_indices.dtype, "out_indices", [&]<typename OutId>(Type<OutId>) {
      const DType eid_type = out_eids ? out_eids->dtype : DType::kInt32;
      DispatchIndex(eid_type, "out_eids", [&]<typename EdgeId>(Type<EdgeId>) {
        auto* const indptr = out_indptr.as<std::int64_t>();
        auto* const indices = out_indices.as<OutId>();
        auto* const eids = DataOrNull<EdgeId>(out_eids);
        if (place.is_cuda()) {
          cuda::CooToCsc(num_edges, num_dst, src.as<Id>(), dst.as<Id>(), indptr, indices, eids,
                         place);
          return;
        }
        py::gil_scoped_release release;
        CheckIds({"src", src}, num_src, "number of source nodes");
        CheckIds({"dst", dst}, num_dst, "number of destination nodes");
        cpu::CooToCsc(num_edges, num_dst, src.as<Id>(), dst.as<Id>(), indptr, indices, eids);
      });
    });
  });
}

void TransposeBinding(const TensorView& indptr, const TensorView& indices,
                      const TensorView& out_indptr, const TensorView& out_indices,
                      const TensorView& out_positions) {
  Place place("transpose_csc", "indices", indices);
  Operand{"indices", indices}.OfDim(1).Index().Contiguous();
  const std::int64_t num_edges = indices.size(0);
  Operand{"indptr", indptr}.OfDim(1).OfType(DType::kInt64).Contiguous().At(place);
  CheckValue(indptr.size(0) >= 1, "indptr: expected at least one element, got none");
  Operand{"out_indptr", out_indptr}.OfDim(1).OfType(DType::kInt64).Contiguous().At(place);
  CheckValue(out_indptr.size(0) >= 1, "out_indptr: expected at least one element, got none");
  Operand{"out_indices", out_indices}
      .OfType(indices.dtype)
      .OfSize(num_edges)
      .Contiguous()
      .At(place);
  const Operand positions{"out_positions", out_positions};
  positions.Index().OfSize(num_edges).Contiguous().At(place);
  CheckFits(positions, num_edges, "edges");
  const std::int64_t num_src = out_indptr.size(0) - 1;
  const std::int64_t num_dst = indptr.size(0) - 1;
  DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
    DispatchIndex(out_positions.dtype, "out_positions", [&]<typename EdgeId>(Type<EdgeId>) {
      if (place.is_cuda()) {
        cuda::TransposeCsc(num_src, num_dst, num_edges, indptr.as<std::int64_t>(), indices.as<Id>(),
                           out_indptr.as<std::int64_t>(), out_indices.as<Id>(),
                           out_positions.as<EdgeId>(), place);
        return;
      }
      py::gil_scoped_release release;
      CheckIndptr({"indptr", indptr}, num_edges);
      CheckIds({"indices", indices}, num_src, "number of source nodes");
      cpu::TransposeCsc(num_src, num_dst, indptr.as<std::int64_t>(), indices.as<Id>(),
                        out_indptr.as<std::int64_t>(), out_indices.as<Id>(),
                        out_positions.as<EdgeId>());
    });
  });
}

}  // namespace

void BindCsc(py::module_& module) {
  module.def("is_sorted", &IsSortedBinding, py::arg("dst"));
  module.def("coo_to_csc", &CooToCscBinding, py::arg("src"), py::arg("dst"), py::arg("num_src"),
             py::arg("out_indptr"), py::arg("out_indices"), py::arg("out_eids"));
  module.def("transpose_csc", &TransposeBinding, py::arg("indptr"), py::arg("indices"),
             py::arg("out_indptr"), py::arg("out_indices"), py::arg("out_positions"));
}

}  // namespace hopflow
