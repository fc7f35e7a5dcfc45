#include <limits>

#include "bindings/bind.h"
#include "compact/compact.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kCompactOp = "compact_ids";

std::pair<std::int64_t, std::int64_t> CompactBinding(const TensorView& seeds,
                                                     const TensorView& neighbors,
                                                     const TensorView& out_unique,
                                                     const TensorView& out_seeds,
                                                     const TensorView& out_neighbors) {
  Place place(kCompactOp, "seeds", seeds);
  Operand{"seeds", seeds}.OfDim(1).Index().Contiguous();
  Operand{"neighbors", neighbors}.OfDim(1).OfType(seeds.dtype).Contiguous().At(place);
  const std::int64_t num_seeds = seeds.size(0), num_neighbors = neighbors.size(0);
  Operand{"out_unique", out_unique}
      .OfType(seeds.dtype)
      .OfSize(num_seeds + num_neighbors)
      .Contiguous()
      .At(place);
  Operand{"out_seeds", out_seeds}.Index().OfSize(num_seeds).Contiguous().At(place);
  Operand{"out_neighbors", out_neighbors}
      .OfType(out_seeds.dtype)
      .OfSize(num_neighbors)
      .Contiguous()
      .At(place);
  CheckValue(out_seeds.dtype == DType::kInt64 ||
                 num_seeds + num_neighbors <= std::numeric_limits<std::int32_t>::max(),
             "out_seeds: ", num_seeds + num_neighbors, " ids need int64 local numbers, got int32");
  CompactSizes sizes{};
  DispatchIndex(seeds.dtype, "seeds", [&]<typename Id>(Type<Id>) {
    DispatchIndex(out_seeds.dtype, "out_seeds", [&]<typename Local>(Type<Local>) {
      auto* const local_seeds = out_seeds.as<Local>();
      auto* const local_neighbors = out_neighbors.as<Local>();
      if (place.is_cuda()) {
        sizes = cuda::CompactIds(num_seeds, num_neighbors, seeds.as<Id>(), neighbors.as<Id>(),
                                 out_unique.as<Id>(), local_seeds, local_neighbors, place);
        return;
      }
      py::gil_scoped_release release;
      sizes = cpu::CompactIds(num_seeds, num_neighbors, seeds.as<Id>(), neighbors.as<Id>(),
                              out_unique.as<Id>(), local_seeds, local_neighbors);
    });
  });
  return {sizes.num_unique, sizes.num_unique_seeds};
}

}  // namespace

void BindCompact(py::module_& module) {
  module.def("compact_ids", &CompactBinding, py::arg("seeds"), py::arg("neighbors"),
             py::arg("out_unique"), py::arg("out_seeds"), py::arg("out_neighbors"));
}

}  // namespace hopflow
