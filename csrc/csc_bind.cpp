#include "csc.h"

#include "bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

// Ids as small as int32 must be able to count the edges.
void CheckFits(const Operand& ids, std::int64_t count, const char* what) {
  CheckValue(ids.view.dtype == DType::kInt64 || count <= 0x7fffffff, ids.name, ": ", count, " ",
             what, " need int64, got int32");
}

bool IsSortedBinding(const TensorView& dst) {
  Operand{"dst", dst}.OfDim(1).Index().Contiguous().OnCpu("coo_to_csc");
  py::gil_scoped_release release;
  return DispatchIndex(dst.dtype, "dst", [&]<typename Id>(Type<Id>) {
    return cpu::IsSorted(dst.size(0), dst.as<Id>());
  });
}

void CooToCscBinding(const TensorView& src, const TensorView& dst, std::int64_t num_src,
                     const TensorView& out_indptr, const TensorView& out_indices,
                     const MaybeTensor& out_eids) {
  constexpr const char* kOp = "coo_to_csc";
  Operand{"src", src}.OfDim(1).Index().Contiguous().OnCpu(kOp);
  const std::int64_t num_edges = src.size(0);
  Operand{"dst", dst}.OfType(src.dtype).OfSize(num_edges).Contiguous().OnCpu(kOp);
  Operand{"out_indptr", out_indptr}.OfDim(1).OfType(DType::kInt64).Contiguous().OnCpu(kOp);
  CheckValue(out_indptr.size(0) >= 1, "out_indptr: expected at least one element, got none");
  const std::int64_t num_dst = out_indptr.size(0) - 1;
  const Operand indices{"out_indices", out_indices};
  indices.Index().OfSize(num_edges).Contiguous().OnCpu(kOp);
  CheckFits(indices, num_src, "source nodes");
  if (out_eids) {
    const Operand eids{"out_eids", *out_eids};
    eids.Index().OfSize(num_edges).Contiguous().OnCpu(kOp);
    CheckFits(eids, num_edges, "edges");
  }
  py::gil_scoped_release release;
  CheckIds({"src", src}, num_src, "number of source nodes");
  CheckIds({"dst", dst}, num_dst, "number of destination nodes");
  DispatchIndex(src.dtype, "src", [&]<typename Id>(Type<Id>) {
    DispatchIndex(out_indices.dtype, "out_indices", [&]<typename OutId>(Type<OutId>) {
      const DType eid_type = out_eids ? out_eids->dtype : DType::kInt32;
      DispatchIndex(eid_type, "out_eids", [&]<typename EdgeId>(Type<EdgeId>) {
        cpu::CooToCsc(num_edges, num_dst, src.as<Id>(), dst.as<Id>(), out_indptr.as<std::int64_t>(),
                      out_indices.as<OutId>(), DataOrNull<EdgeId>(out_eids));
      });
    });
  });
}

void TransposeBinding(const TensorView& indptr, const TensorView& indices,
                      const TensorView& out_indptr, const TensorView& out_indices,
                      const TensorView& out_positions) {
  constexpr const char* kOp = "transpose_csc";
  Operand{"indices", indices}.OfDim(1).Index().Contiguous().OnCpu(kOp);
  const std::int64_t num_edges = indices.size(0);
  Operand{"indptr", indptr}.OnCpu(kOp);
  Operand{"out_indptr", out_indptr}.OfDim(1).OfType(DType::kInt64).Contiguous().OnCpu(kOp);
  CheckValue(out_indptr.size(0) >= 1, "out_indptr: expected at least one element, got none");
  Operand{"out_indices", out_indices}
      .OfType(indices.dtype)
      .OfSize(num_edges)
      .Contiguous()
      .OnCpu(kOp);
  const Operand positions{"out_positions", out_positions};
  positions.Index().OfSize(num_edges).Contiguous().OnCpu(kOp);
  CheckFits(positions, num_edges, "edges");
  const std::int64_t num_src = out_indptr.size(0) - 1;
  py::gil_scoped_release release;
  CheckIndptr({"indptr", indptr}, num_edges);
  CheckIds({"indices", indices}, num_src, "number of source nodes");
  DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
    DispatchIndex(out_positions.dtype, "out_positions", [&]<typename EdgeId>(Type<EdgeId>) {
      cpu::TransposeCsc(num_src, indptr.size(0) - 1, indptr.as<std::int64_t>(), indices.as<Id>(),
                        out_indptr.as<std::int64_t>(), out_indices.as<Id>(),
                        out_positions.as<EdgeId>());
    });
  });
}

// The checks alone, for arrays that a user brings in CSC form.
void CheckBinding(const TensorView& indptr, const TensorView& indices, std::int64_t num_src,
                  const MaybeTensor& eids) {
  constexpr const char* kOp = "check_csc";
  Operand{"indices", indices}.OfDim(1).Index().Contiguous().OnCpu(kOp);
  Operand{"indptr", indptr}.OnCpu(kOp);
  if (eids) Operand{"eids", *eids}.Index().OfSize(indices.size(0)).Contiguous().OnCpu(kOp);
  py::gil_scoped_release release;
  CheckIndptr({"indptr", indptr}, indices.size(0));
  CheckIds({"indices", indices}, num_src, "number of source nodes");
  if (eids) CheckPermutation({"eids", *eids});
}

void CheckPermutationBinding(const TensorView& ids) {
  Operand{"eids", ids}.OfDim(1).Index().Contiguous().OnCpu("check_permutation");
  py::gil_scoped_release release;
  CheckPermutation({"eids", ids});
}

}  // namespace

void BindCsc(py::module_& module) {
  module.def("is_sorted", &IsSortedBinding, py::arg("dst"));
  module.def("coo_to_csc", &CooToCscBinding, py::arg("src"), py::arg("dst"), py::arg("num_src"),
             py::arg("out_indptr"), py::arg("out_indices"), py::arg("out_eids"));
  module.def("transpose_csc", &TransposeBinding, py::arg("indptr"), py::arg("indices"),
             py::arg("out_indptr"), py::arg("out_indices"), py::arg("out_positions"));
  module.def("check_permutation", &CheckPermutationBinding, py::arg("ids"));
  module.def("check_csc", &CheckBinding, py::arg("indptr"), py::arg("indices"), py::arg("num_src"),
             py::arg("eids"));
}

}  // namespace hopflow
