#include "ppr_neighbors/ppr_neighbors.h"

#include <limits>

#include "bindings/bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kPprOp = "ppr_neighbors";
// Below, 1 - alpha and sums of scores have too few digits left for the walk's end to be seen.
constexpr double kLeastAlpha = 1e-6, kLeastEpsilon = 1e-15;

void PprNeighborsBinding(const TensorView& indptr, const TensorView& indices,
                         const MaybeTensor& weights, const MaybeTensor& excluded,
                         const TensorView& seeds, std::int64_t k, double alpha, double epsilon,
                         const TensorView& neighbors, const TensorView& scores,
                         const TensorView& counts) {
  const Operand from{"seeds", seeds};
  from.OfDim(1).OfType(DType::kInt64).Contiguous().OnCpu(kPprOp);
  Operand{"indptr", indptr}.OfDim(1).OfType(DType::kInt64).Contiguous().OnCpu(kPprOp);
  CheckValue(indptr.size(0) >= 1, "indptr: expected at least one element, got none");
  Operand{"indices", indices}.OfDim(1).Index().Contiguous().OnCpu(kPprOp);
  const std::int64_t num_nodes = indptr.size(0) - 1, num_edges = indices.size(0);
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  CheckType(indices.dtype == DType::kInt64 || num_nodes <= kMost,
            "indices: expected int64, as ids of ", num_nodes, " nodes need it, got int32");
  DType weight_type = DType::kFloat32;
  if (weights) {
    Operand{"weights", *weights}.OfSize(num_edges).Contiguous().OnCpu(kPprOp);
    weight_type = weights->dtype;
    CheckType(weight_type == DType::kFloat32 || weight_type == DType::kFloat64,
              "weights: expected float32 or float64, got ", Name(weight_type));
  }
  if (excluded) {
    const Operand gone{"excluded", *excluded};
    gone.OfDim(1).OfType(DType::kInt64).Contiguous().OnCpu(kPprOp);
  }
  CheckValue(k >= 0, "k: expected at least 0, got ", k);
  CheckValue(kLeastAlpha <= alpha && alpha <= 1, "alpha: expected a number from ", kLeastAlpha,
             " to 1, got ", alpha);
  CheckValue(kLeastEpsilon <= epsilon && epsilon <= std::numeric_limits<double>::max(),
             "epsilon: expected a finite number of at least ", kLeastEpsilon, ", got ", epsilon);
  const std::int64_t num_seeds = seeds.size(0);
  const Operand out{"neighbors", neighbors}, out_scores{"scores", scores},
      out_counts{"counts", counts};
  out.OfType(indices.dtype).OfShape({num_seeds, k}).Contiguous().OnCpu(kPprOp);
  out_scores.OfType(DType::kFloat64).OfShape({num_seeds, k}).Contiguous().OnCpu(kPprOp);
  out_counts.OfType(DType::kInt64).OfSize(num_seeds).Contiguous().OnCpu(kPprOp);
  py::gil_scoped_release release;
  CheckIds(from, num_nodes, "number of nodes");
  DispatchIndex(indices.dtype, "indices", [&]<typename Id>(Type<Id>) {
    const auto run = [&]<typename W>(Type<W>) {
      cpu::PprNeighbors(PprArgs<Id, W>{.num_nodes = num_nodes,
                                       .num_edges = num_edges,
                                       .indptr = indptr.as<std::int64_t>(),
                                       .indices = indices.as<Id>(),
                                       .weights = DataOrNull<W>(weights),
                                       .num_excluded = excluded ? excluded->size(0) : 0,
                                       .excluded = DataOrNull<std::int64_t>(excluded),
                                       .num_seeds = num_seeds,
                                       .seeds = seeds.as<std::int64_t>(),
                                       .k = k,
                                       .alpha = alpha,
                                       .epsilon = epsilon,
                                       .neighbors = neighbors.as<Id>(),
                                       .scores = scores.as<double>(),
                                       .counts = counts.as<std::int64_t>()});
    };
    if (weight_type == DType::kFloat64) return run(Type<double>{});
    run(Type<float>{});
  });
}

}  // namespace

void BindPprNeighbors(py::module_& module) {
  module.def("ppr_neighbors", &PprNeighborsBinding, py::arg("indptr"), py::arg("indices"),
             py::arg("weights"), py::arg("excluded"), py::arg("seeds"), py::arg("k"),
             py::arg("alpha"), py::arg("epsilon"), py::arg("neighbors"), py::arg("scores"),
             py::arg("counts"));
}

}  // namespace hopflow
