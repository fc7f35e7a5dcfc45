#include "bindings/bind.h"
#include "sample_temporal/sample_temporal.h"
#include "sample_weighted/weights_bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kSampleTemporalOp = "sample_temporal";

template <typename F>
decltype(auto) DispatchTime(DType dtype, F&& f) {
  if (dtype == DType::kInt64) return f(Type<std::int64_t>{});
  CheckType(dtype == DType::kFloat64, "times: expected int64 or float64, got ", Name(dtype));
  return f(Type<double>{});
}

// The operands that counting and sampling share.
void CheckRows(const Place& place, TensorView& indptr, const TensorView& seeds,
               const MaybeTensor& excluded, const TensorView& out_indptr,
               const TensorView& out_excluded) {
  place.Reach("indptr", indptr);
  Operand{"indptr", indptr}.OfDim(1).OfType(DType::kInt64).Contiguous();
  CheckValue(indptr.size(0) >= 1, "indptr: expected at least one element, got none");
  Operand{"seeds", seeds}.OfDim(1).OfType(DType::kInt64).Contiguous();
  if (excluded) {
    Operand{"excluded", *excluded}.OfDim(1).OfType(DType::kInt64).Contiguous().At(place);
  }
  const std::int64_t size = seeds.size(0) + 1;
  const Operand out{"out_indptr", out_indptr}, out_more{"out_excluded", out_excluded};
  out.OfType(DType::kInt64).OfSize(size).Contiguous().At(place);
  out_more.OfType(DType::kInt64).OfSize(size).Contiguous().At(place);
}

std::int64_t CountTemporalBinding(TensorView indptr, TensorView times, const TensorView& seeds,
                                  const TensorView& seed_times, std::int64_t fanout, bool replace,
                                  bool strict, const MaybeTensor& excluded,
                                  const TensorView& out_indptr, const TensorView& out_excluded,
                                  const TensorView& out_eligible) {
  Place place(kSampleTemporalOp, "seeds", seeds);
  CheckRows(place, indptr, seeds, excluded, out_indptr, out_excluded);
  CheckFanout(fanout);
  const std::int64_t num_seeds = seeds.size(0);
  place.Reach("times", times);
  Operand{"times", times}.OfDim(1).Contiguous();
  const Operand of_seeds{"seed_times", seed_times};
  of_seeds.OfType(times.dtype).OfSize(num_seeds).Contiguous().At(place);
  const Operand out{"out_eligible", out_eligible};
  out.OfType(DType::kInt64).OfSize(num_seeds).Contiguous().At(place);
  auto* const counts = out_indptr.as<std::int64_t>();
  auto* const before = out_excluded.as<std::int64_t>();
  auto* const eligible = out_eligible.as<std::int64_t>();
  return DispatchTime(times.dtype, [&]<typename T>(Type<T>) -> std::int64_t {
    const TimedRows<T> rows{.num_nodes = indptr.size(0) - 1,
                            .num_edges = times.size(0),
                            .num_seeds = num_seeds,
                            .indptr = indptr.as<std::int64_t>(),
                            .times = times.as<T>(),
                            .seeds = seeds.as<std::int64_t>(),
                            .seed_times = seed_times.as<T>(),
                            .strict = strict,
                            .num_excluded = excluded ? excluded->size(0) : 0,
                            .excluded = DataOrNull<std::int64_t>(excluded)};
    if (place.is_cuda()) {
      return cuda::CountTemporal(rows, fanout, replace, counts, before, eligible, place);
    }
    py::gil_scoped_release release;
    cpu::CountTemporal(rows, fanout, replace, counts, before, eligible);
    return counts[num_seeds];
  });
}

void SampleTemporalBinding(TensorView indptr, MaybeTensor sums, MaybeTensor weights,
                           const TensorView& seeds, const TensorView& stamps,
                           const TensorView& eligible, std::int64_t fanout, bool replace,
                           bool latest, std::uint64_t key, const MaybeTensor& excluded,
                           const TensorView& out_indptr, const TensorView& out_excluded,
                           const TensorView& out_positions) {
  Place place(kSampleTemporalOp, "seeds", seeds);
  CheckRows(place, indptr, seeds, excluded, out_indptr, out_excluded);
  CheckFanout(fanout);
  CheckValue(sums.has_value() == weights.has_value(), "sums, weights: expected both or neither");
  const std::int64_t num_seeds = seeds.size(0);
  const Operand of_seeds{"stamps", stamps}, counts{"eligible", eligible};
  of_seeds.OfType(DType::kInt64).OfSize(num_seeds).Contiguous().At(place);
  counts.OfType(DType::kInt64).OfSize(num_seeds).Contiguous().At(place);
  const auto* const begins = out_indptr.as<std::int64_t>();
  const auto* const before = out_excluded.as<std::int64_t>();
  // What count_temporal returned; on the CPU it costs nothing to be sure.
  const std::int64_t total = place.is_cuda() ? out_positions.numel() : begins[num_seeds];
  const Operand out{"out_positions", out_positions};
  out.OfType(DType::kInt64).OfSize(total).Contiguous().At(place);
  auto* const positions = out_positions.as<std::int64_t>();
  const auto run = [&]<typename W>(Type<W>) {
    TemporalArgs<W> args{.edges = {.num_seeds = num_seeds,
                                   .indptr = indptr.as<std::int64_t>(),
                                   .seeds = seeds.as<std::int64_t>(),
                                   .node_ids = seeds.as<std::int64_t>(),
                                   .sums = nullptr,
                                   .weights = nullptr,
                                   .num_excluded = excluded ? excluded->size(0) : 0,
                                   .excluded = DataOrNull<std::int64_t>(excluded),
                                   .options = {.fanout = fanout, .replace = replace, .key = key}},
                         .eligible = eligible.as<std::int64_t>(),
                         .stamps = stamps.as<std::int64_t>(),
                         .latest = latest};
    if (sums) {
      place.Reach("sums", *sums);
      place.Reach("weights", *weights);
      Operand{"sums", *sums}.OfDim(1).OfType(DType::kFloat64).Contiguous();
      Operand{"weights", *weights}.OfSize(sums->size(0)).Contiguous();
      args.edges.sums = sums->as<double>();
      args.edges.weights = weights->as<W>();
    }
    if (place.is_cuda()) {
      return cuda::SampleTemporal(args, begins, before, total, positions, place);
    }
    py::gil_scoped_release release;
    cpu::SampleTemporal(args, begins, before, positions);
  };
  if (weights) return DispatchWeight(weights->dtype, run);
  run(Type<float>{});
}

}  // namespace

void BindSampleTemporal(py::module_& module) {
  module.def("count_temporal", &CountTemporalBinding, py::arg("indptr"), py::arg("times"),
             py::arg("seeds"), py::arg("seed_times"), py::arg("fanout"), py::arg("replace"),
             py::arg("strict"), py::arg("excluded"), py::arg("out_indptr"), py::arg("out_excluded"),
             py::arg("out_eligible"));
  module.def("sample_temporal", &SampleTemporalBinding, py::arg("indptr"), py::arg("sums"),
             py::arg("weights"), py::arg("seeds"), py::arg("stamps"), py::arg("eligible"),
             py::arg("fanout"), py::arg("replace"), py::arg("latest"), py::arg("key"),
             py::arg("excluded"), py::arg("out_indptr"), py::arg("out_excluded"),
             py::arg("out_positions"));
}

}  // namespace hopflow
