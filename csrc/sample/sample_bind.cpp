#include "bindings/bind.h"
#include "core/rng.h"
#include "sample/sample.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kSampleOp = "sample_neighbors";

SampleOptions Options(std::int64_t fanout, bool replace, std::uint64_t key) {
  CheckFanout(fanout);
  return {.fanout = fanout, .replace = replace, .key = key};
}

std::int64_t NumNodes(const Place& place, TensorView& indptr) {
  place.Reach("indptr", indptr);
  Operand{"indptr", indptr}.OfDim(1).OfType(DType::kInt64).Contiguous();
  CheckValue(indptr.size(0) >= 1, "indptr: expected at least one element, got none");
  return indptr.size(0) - 1;
}

std::int64_t CountBinding(TensorView indptr, std::int64_t num_edges, const TensorView& seeds,
                          std::int64_t fanout, bool replace, const TensorView& out_indptr) {
  Place place(kSampleOp, "seeds", seeds);
  const std::int64_t num_nodes = NumNodes(place, indptr);
  Operand{"seeds", seeds}.OfDim(1).Index().Contiguous();
  const std::int64_t num_seeds = seeds.size(0);
  const Operand out{"out_indptr", out_indptr};
  out.OfType(DType::kInt64).OfSize(num_seeds + 1).Contiguous().At(place);
  const SampleOptions options = Options(fanout, replace, 0);
  auto* const counts = out_indptr.as<std::int64_t>();
  return DispatchIndex(seeds.dtype, "seeds", [&]<typename SeedId>(Type<SeedId>) {
    const auto* const nodes = seeds.as<SeedId>();
    if (place.is_cuda()) {
      return cuda::CountSampledNeighbors(num_nodes, num_edges, num_seeds, indptr.as<std::int64_t>(),
                                         nodes, options, counts, place);
    }
    py::gil_scoped_release release;
    cpu::CountSampledNeighbors(num_nodes, num_edges, num_seeds, indptr.as<std::int64_t>(), nodes,
                               options, counts);
    return counts[num_seeds];
  });
}

void SampleBinding(TensorView indptr, TensorView indices, MaybeTensor eids, const TensorView& seeds,
                   const MaybeTensor& node_ids, std::int64_t fanout, bool replace,
                   std::uint64_t key, const TensorView& out_indptr, const TensorView& out_neighbors,
                   const TensorView& out_eids) {
  Place place(kSampleOp, "seeds", seeds);
  NumNodes(place, indptr);
  place.Reach("indices", indices);
  Operand{"indices", indices}.OfDim(1).Index().Contiguous();
  Operand{"seeds", seeds}.OfDim(1).Index().Contiguous();
  const std::int64_t num_seeds = seeds.size(0);
  if (node_ids) {
    Operand{"node_ids", *node_ids}.OfType(seeds.dtype).OfSize(num_seeds).Contiguous().At(place);
  }
  const Operand out{"out_indptr", out_indptr};
  out.OfType(DType::kInt64).OfSize(num_seeds + 1).Contiguous().At(place);
  // What count_sampled_neighbors returned; on the CPU it costs nothing to be sure.
  const std::int64_t total =
      place.is_cuda() ? out_eids.numel() : out_indptr.as<std::int64_t>()[num_seeds];
  const Operand neighbors{"out_neighbors", out_neighbors};
  neighbors.OfType(indices.dtype).OfSize(total).Contiguous().At(place);
  Operand{"out_eids", out_eids}.Index().OfSize(total).Contiguous().At(place);
  if (eids) {
    place.Reach("eids", *eids);
    Operand{"eids", *eids}.OfType(out_eids.dtype).OfSize(indices.size(0)).Contiguous();
  }
  const SampleOptions options = Options(fanout, replace, key);
  DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
    DispatchIndex(seeds.dtype, "seeds", [&]<typename SeedId>(Type<SeedId>) {
      DispatchIndex(out_eids.dtype, "out_eids", [&]<typename EdgeId>(Type<EdgeId>) {
        const auto* const begins = indptr.as<std::int64_t>();
        const auto* const out_begins = out_indptr.as<std::int64_t>();
        if (place.is_cuda()) {
          cuda::SampleNeighbors(num_seeds, indices.size(0), begins, indices.as<Id>(),
                                DataOrNull<EdgeId>(eids), seeds.as<SeedId>(),
                                DataOrNull<SeedId>(node_ids), out_begins, options,
                                out_neighbors.as<Id>(), out_eids.as<EdgeId>(), place);
          return;
        }
        py::gil_scoped_release release;
        cpu::SampleNeighbors(num_seeds, begins, indices.as<Id>(), DataOrNull<EdgeId>(eids),
                             seeds.as<SeedId>(), DataOrNull<SeedId>(node_ids), out_begins, options,
                             out_neighbors.as<Id>(), out_eids.as<EdgeId>());
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
             py::arg("eids"), py::arg("seeds"), py::arg("node_ids"), py::arg("fanout"),
             py::arg("replace"), py::arg("key"), py::arg("out_indptr"), py::arg("out_neighbors"),
             py::arg("out_eids"));
}

}  // namespace hopflow
