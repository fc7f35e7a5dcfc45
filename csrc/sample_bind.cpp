#include "bind.h"
#include "rng.h"
#include "sample.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kOp = "sample_neighbors";

SampleOptions Options(std::int64_t fanout, bool replace, std::uint64_t key) {
  CheckFanout(fanout);
  return {.fanout = fanout, .replace = replace, .key = key};
}

std::int64_t NumNodes(const TensorView& indptr) {
  Operand{"indptr", indptr}.OfDim(1).OfType(DType::kInt64).Contiguous().OnCpu(kOp);
  CheckValue(indptr.size(0) >= 1, "indptr: expected at least one element, got none");
  return indptr.size(0) - 1;
}

std::int64_t CountBinding(const TensorView& indptr, std::int64_t num_edges, const TensorView& seeds,
                          std::int64_t fanout, bool replace, const TensorView& out_indptr) {
  const std::int64_t num_nodes = NumNodes(indptr);
  Operand{"seeds", seeds}.OfDim(1).Index().Contiguous().OnCpu(kOp);
  const std::int64_t num_seeds = seeds.size(0);
  Operand{"out_indptr", out_indptr}
      .OfType(DType::kInt64)
      .OfSize(num_seeds + 1)
      .Contiguous()
      .OnCpu(kOp);
  const SampleOptions options = Options(fanout, replace, 0);
  py::gil_scoped_release release;
  DispatchIndex(seeds.dtype, "seeds", [&]<typename SeedId>(Type<SeedId>) {
    cpu::CountSampledNeighbors(num_nodes, num_edges, num_seeds, indptr.as<std::int64_t>(),
                               seeds.as<SeedId>(), options, out_indptr.as<std::int64_t>());
  });
  return out_indptr.as<std::int64_t>()[num_seeds];
}

void SampleBinding(const TensorView& indptr, const TensorView& indices, const MaybeTensor& eids,
                   const TensorView& seeds, std::int64_t fanout, bool replace, std::uint64_t key,
                   const TensorView& out_indptr, const TensorView& out_neighbors,
                   const TensorView& out_eids) {
  NumNodes(indptr);
  Operand{"indices", indices}.OfDim(1).Index().Contiguous().OnCpu(kOp);
  Operand{"seeds", seeds}.OfDim(1).Index().Contiguous().OnCpu(kOp);
  const std::int64_t num_seeds = seeds.size(0);
  Operand{"out_indptr", out_indptr}
      .OfType(DType::kInt64)
      .OfSize(num_seeds + 1)
      .Contiguous()
      .OnCpu(kOp);
  const std::int64_t total = out_indptr.as<std::int64_t>()[num_seeds];
  Operand{"out_neighbors", out_neighbors}
      .OfType(indices.dtype)
      .OfSize(total)
      .Contiguous()
      .OnCpu(kOp);
  Operand{"out_eids", out_eids}.Index().OfSize(total).Contiguous().OnCpu(kOp);
  if (eids) {
    Operand{"eids", *eids}.OfType(out_eids.dtype).OfSize(indices.size(0)).Contiguous().OnCpu(kOp);
  }
  const SampleOptions options = Options(fanout, replace, key);
  py::gil_scoped_release release;
  DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
    DispatchIndex(seeds.dtype, "seeds", [&]<typename SeedId>(Type<SeedId>) {
      DispatchIndex(out_eids.dtype, "out_eids", [&]<typename EdgeId>(Type<EdgeId>) {
        cpu::SampleNeighbors(num_seeds, indptr.as<std::int64_t>(), indices.as<Id>(),
                             DataOrNull<EdgeId>(eids), seeds.as<SeedId>(),
                             out_indptr.as<std::int64_t>(), options, out_neighbors.as<Id>(),
                             out_eids.as<EdgeId>());
      });
    });
  });
}

}  // namespace

void BindSample(py::module_& module) {
  module.def("stream_key", &StreamKey, py::arg("seed"), py::arg("epoch"), py::arg("batch"),
             py::arg("hop"));
  module.def("count_sampled_neighbors", &CountBinding, py::arg("indptr"), py::arg("num_edges"),
             py::arg("seeds"), py::arg("fanout"), py::arg("replace"), py::arg("out_indptr"));
  module.def("sample_neighbors", &SampleBinding, py::arg("indptr"), py::arg("indices"),
             py::arg("eids"), py::arg("seeds"), py::arg("fanout"), py::arg("replace"),
             py::arg("key"), py::arg("out_indptr"), py::arg("out_neighbors"), py::arg("out_eids"));
}

}  // namespace hopflow
