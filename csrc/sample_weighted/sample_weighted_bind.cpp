#include "bindings/bind.h"
#include "sample_weighted/sample_weighted.h"
#include "sample_weighted/weights_bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kSampleWeightedOp = "sample_weighted";

void SumRowsBinding(const TensorView& indptr, const TensorView& weights, const TensorView& sums) {
  Place place("row_weights", "weights", weights);
  const Operand values{"weights", weights};
  values.OfDim(1).Contiguous();
  const std::int64_t num_edges = weights.size(0);
  const Operand bounds{"indptr", indptr};
  bounds.OfDim(1).OfType(DType::kInt64).Contiguous().At(place);
  CheckValue(indptr.size(0) >= 1, "indptr: expected at least one element, got none");
  Operand{"sums", sums}.OfType(DType::kFloat64).OfSize(num_edges).Contiguous().At(place);
  const std::int64_t num_rows = indptr.size(0) - 1;
  DispatchWeight(weights.dtype, [&]<typename W>(Type<W>) {
    if (place.is_cuda()) {
      return cuda::SumRows(num_rows, indptr.as<std::int64_t>(), weights.as<W>(), sums.as<double>(),
                           place);
    }
    py::gil_scoped_release release;
    CheckIndptr(bounds, num_edges);
    cpu::SumRows(num_rows, indptr.as<std::int64_t>(), weights.as<W>(), sums.as<double>());
  });
}

// The operands that counting and sampling share.
template <typename W>
WeightedArgs<W> ArgsOf(const Place& place, TensorView& indptr, const TensorView& seeds,
                       const MaybeTensor& excluded, std::int64_t fanout, bool replace,
                       std::uint64_t key) {
  place.Reach("indptr", indptr);
  Operand{"indptr", indptr}.OfDim(1).OfType(DType::kInt64).Contiguous();
  CheckValue(indptr.size(0) >= 1, "indptr: expected at least one element, got none");
  Operand{"seeds", seeds}.OfDim(1).OfType(DType::kInt64).Contiguous();
  if (excluded) {
    Operand{"excluded", *excluded}.OfDim(1).OfType(DType::kInt64).Contiguous().At(place);
  }
  CheckFanout(fanout);
  return {.num_seeds = seeds.size(0),
          .indptr = indptr.as<std::int64_t>(),
          .seeds = seeds.as<std::int64_t>(),
          .node_ids = seeds.as<std::int64_t>(),
          .sums = nullptr,
          .weights = nullptr,
          .num_excluded = excluded ? excluded->size(0) : 0,
          .excluded = DataOrNull<std::int64_t>(excluded),
          .options = {.fanout = fanout, .replace = replace, .key = key}};
}

std::int64_t CountWeightedBinding(TensorView indptr, std::int64_t num_edges,
                                  const TensorView& seeds, std::int64_t fanout, bool replace,
                                  const MaybeTensor& excluded, const TensorView& out_indptr,
                                  const TensorView& out_excluded) {
  Place place(kSampleWeightedOp, "seeds", seeds);
  const auto args = ArgsOf<float>(place, indptr, seeds, excluded, fanout, replace, 0);
  const Operand out{"out_indptr", out_indptr}, out_more{"out_excluded", out_excluded};
  out.OfType(DType::kInt64).OfSize(args.num_seeds + 1).Contiguous().At(place);
  out_more.OfType(DType::kInt64).OfSize(args.num_seeds + 1).Contiguous().At(place);
  const std::int64_t num_nodes = indptr.size(0) - 1;
  auto* const counts = out_indptr.as<std::int64_t>();
  auto* const more = out_excluded.as<std::int64_t>();
  if (place.is_cuda()) {
    return cuda::CountWeighted(num_nodes, num_edges, args, counts, more, place);
  }
  py::gil_scoped_release release;
  cpu::CountWeighted(num_nodes, num_edges, args, counts, more);
  return counts[args.num_seeds];
}

void SampleWeightedBinding(TensorView indptr, std::int64_t num_edges, MaybeTensor sums,
                           MaybeTensor weights, const TensorView& seeds,
                           const MaybeTensor& node_ids, std::int64_t fanout, bool replace,
                           std::uint64_t key, const MaybeTensor& excluded,
                           const TensorView& out_indptr, const TensorView& out_excluded,
                           const TensorView& out_positions) {
  Place place(kSampleWeightedOp, "seeds", seeds);
  CheckValue(sums.has_value() == weights.has_value(), "sums, weights: expected both or neither");
  const auto run = [&]<typename W>(Type<W>) {
    auto args = ArgsOf<W>(place, indptr, seeds, excluded, fanout, replace, key);
    if (node_ids) {
      const Operand own{"node_ids", *node_ids};
      own.OfType(DType::kInt64).OfSize(args.num_seeds).Contiguous().At(place);
      args.node_ids = node_ids->as<std::int64_t>();
    }
    if (sums) {
      place.Reach("sums", *sums);
      place.Reach("weights", *weights);
      Operand{"sums", *sums}.OfType(DType::kFloat64).OfSize(num_edges).Contiguous();
      Operand{"weights", *weights}.OfSize(num_edges).Contiguous();
      args.sums = sums->as<double>();
      args.weights = weights->as<W>();
    }
    const Operand out{"out_indptr", out_indptr}, out_more{"out_excluded", out_excluded};
    out.OfType(DType::kInt64).OfSize(args.num_seeds + 1).Contiguous().At(place);
    out_more.OfType(DType::kInt64).OfSize(args.num_seeds + 1).Contiguous().At(place);
    const auto* const begins = out_indptr.as<std::int64_t>();
    const auto* const more = out_excluded.as<std::int64_t>();
    const std::int64_t total = place.is_cuda() ? out_positions.numel() : begins[args.num_seeds];
    Operand{"out_positions", out_positions}
        .OfType(DType::kInt64)
        .OfSize(total)
        .Contiguous()
        .At(place);
    auto* const positions = out_positions.as<std::int64_t>();
    if (place.is_cuda()) {
      return cuda::SampleWeighted(args, begins, more, total, positions, place);
    }
    py::gil_scoped_release release;
    cpu::SampleWeighted(args, begins, more, positions);
  };
  if (weights) return DispatchWeight(weights->dtype, run);
  run(Type<float>{});
}

}  // namespace

void BindSampleWeighted(py::module_& module) {
  module.def("sum_rows", &SumRowsBinding, py::arg("indptr"), py::arg("weights"), py::arg("sums"));
  module.def("count_weighted", &CountWeightedBinding, py::arg("indptr"), py::arg("num_edges"),
             py::arg("seeds"), py::arg("fanout"), py::arg("replace"), py::arg("excluded"),
             py::arg("out_indptr"), py::arg("out_excluded"));
  module.def("sample_weighted", &SampleWeightedBinding, py::arg("indptr"), py::arg("num_edges"),
             py::arg("sums"), py::arg("weights"), py::arg("seeds"), py::arg("node_ids"),
             py::arg("fanout"), py::arg("replace"), py::arg("key"), py::arg("excluded"),
             py::arg("out_indptr"), py::arg("out_excluded"), py::arg("out_positions"));
}

}  // namespace hopflow
