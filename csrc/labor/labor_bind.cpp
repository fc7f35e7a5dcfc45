#include "labor/labor.h"

#include <utility>

#include "bindings/bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kLaborOp = "sample_labor";

// What is random: two keys and the share of the second one.
struct LaborOptions {
  std::int64_t fanout, importance;
  bool normalize;
  Variates variates;
};

// Checks the operands and calls f(args).
template <typename F>
py::tuple WithLaborArgs(Place& place, TensorView indptr, TensorView indices,
                        const TensorView& seeds, MaybeTensor weights, const MaybeTensor& excluded,
                        std::int64_t num_src, const LaborOptions& options, F&& f) {
  place.Reach("indptr", indptr);
  place.Reach("indices", indices);
  Operand{"indptr", indptr}.OfDim(1).OfType(DType::kInt64).Contiguous();
  Operand{"indices", indices}.OfDim(1).Index().Contiguous();
  CheckValue(indptr.size(0) >= 1, "indptr: expected at least one element, got none");
  Operand{"seeds", seeds}.OfDim(1).OfType(DType::kInt64).Contiguous();
  if (excluded) {
    Operand{"excluded", *excluded}.OfDim(1).OfType(DType::kInt64).Contiguous().At(place);
  }
  DType weight_type = DType::kFloat32;
  if (weights) {
    place.Reach("weights", *weights);
    Operand{"weights", *weights}.OfSize(indices.size(0)).Contiguous();
    weight_type = weights->dtype;
    CheckType(weight_type == DType::kFloat32 || weight_type == DType::kFloat64,
              "weights: expected float32 or float64, got ", Name(weight_type));
  }
  CheckFanout(options.fanout);
  py::tuple made;
  DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
    const auto run = [&]<typename W>(Type<W>) {
      made = f(LaborArgs<Id, W>{.num_nodes = indptr.size(0) - 1,
                                .num_src = num_src,
                                .num_edges = indices.size(0),
                                .indptr = indptr.as<std::int64_t>(),
                                .indices = indices.as<Id>(),
                                .num_seeds = seeds.size(0),
                                .seeds = seeds.as<std::int64_t>(),
                                .weights = DataOrNull<W>(weights),
                                .num_excluded = excluded ? excluded->size(0) : 0,
                                .excluded = DataOrNull<std::int64_t>(excluded),
                                .fanout = options.fanout,
                                .importance = options.importance,
                                .normalize = options.normalize,
                                .variates = options.variates});
    };
    if (weight_type == DType::kFloat64) return run(Type<double>{});
    run(Type<float>{});
  });
  return made;
}

// On the CPU (indptr, neighbors, positions, weights as bytes or None). On CUDA all as bytes, behind
// them the number of edges and whether positions are int64.
py::tuple SampleLaborBinding(const TensorView& indptr, const TensorView& indices,
                             const TensorView& seeds, const MaybeTensor& weights,
                             const MaybeTensor& excluded, std::int64_t num_src, std::int64_t fanout,
                             std::int64_t importance, bool normalize, std::uint64_t key,
                             std::uint64_t second_key, double share) {
  Place place(kLaborOp, "seeds", seeds);
  CheckValue(0 <= share && share <= 1, "share: expected a number from 0 to 1, got ", share);
  CheckValue(importance >= -1, "importance: expected -1 or more, got ", importance);
  const LaborOptions options{fanout, importance, normalize, {key, second_key, ThresholdOf(share)}};
  return WithLaborArgs(
      place, indptr, indices, seeds, weights, excluded, num_src, options,
      [&]<typename Id, typename W>(const LaborArgs<Id, W>& args) -> py::tuple {
        if (place.is_cuda()) {
          if (args.importance != 0) {
            throw Error(
                "sample_labor: importance sampling works on the CPU alone; seeds are on CUDA");
          }
          const cuda::LaborEdges edges = cuda::SampleLabor(args, place);
          return py::make_tuple(
              place.TensorOf(edges.indptr), place.TensorOf(edges.neighbors),
              place.TensorOf(edges.positions),
              edges.weights == nullptr ? py::object(py::none()) : place.TensorOf(edges.weights),
              edges.num_edges, edges.position_type == DType::kInt64);
        }
        cpu::LaborEdges edges;
        {
          py::gil_scoped_release release;
          edges = cpu::SampleLabor(args);
        }
        py::object of_edges = py::none();
        if (GivesWeights(args)) {
          of_edges = ToTensor(std::move(edges.weights), DType::kOther,
                              edges.num_edges * static_cast<std::int64_t>(sizeof(W)));
        }
        constexpr DType id_type = sizeof(Id) == 4 ? DType::kInt32 : DType::kInt64;
        return py::make_tuple(
            ToTensor(std::move(edges.indptr), DType::kInt64, args.num_seeds + 1),
            ToTensor(std::move(edges.neighbors), id_type, edges.num_edges),
            ToTensor(std::move(edges.positions), edges.position_type, edges.num_edges), of_edges);
      });
}

}  // namespace

void BindLabor(py::module_& module) {
  module.def("sample_labor", &SampleLaborBinding, py::arg("indptr"), py::arg("indices"),
             py::arg("seeds"), py::arg("weights"), py::arg("excluded"), py::arg("num_src"),
             py::arg("fanout"), py::arg("importance"), py::arg("normalize"), py::arg("key"),
             py::arg("second_key"), py::arg("share"));
}

}  // namespace hopflow
