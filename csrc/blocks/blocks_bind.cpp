#include "blocks/blocks_bind.h"

#include <pybind11/stl.h>

#include <utility>
#include <vector>

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kBlocksOp = "sample_blocks";

BlocksOptions OptionsOf(const std::vector<std::int64_t>& fanouts,
                        const std::vector<std::uint64_t>& keys, bool replace, DType output_type) {
  CheckValue(fanouts.size() == keys.size(), "keys: expected one for each of ", fanouts.size(),
             " hops, got ", keys.size());
  BlocksOptions options{.hops = {}, .replace = replace, .output_type = output_type};
  for (std::size_t h = 0; h < fanouts.size(); ++h) {
    CheckFanout(fanouts[h]);
    options.hops.push_back({fanouts[h], keys[h]});
  }
  return options;
}

py::tuple SampleBlocksBinding(const TensorView& indptr, const TensorView& indices,
                              const TensorView& seeds, const std::vector<std::int64_t>& fanouts,
                              const std::vector<std::uint64_t>& keys, bool replace,
                              bool wide_output) {
  Operand{"seeds", seeds}.OfDim(1).OfType(indices.dtype).Contiguous().OnCpu(kBlocksOp);
  const Place place(kBlocksOp, "seeds", seeds);
  const CscView graph = ViewOfCsc(place, indptr, indices);
  const DType output_type = wide_output ? DType::kInt64 : DType::kInt32;
  const BlocksOptions options = OptionsOf(fanouts, keys, replace, output_type);
  Blocks blocks;
  {
    py::gil_scoped_release release;
    cpu::BlocksScratch scratch(graph, cpu::Numbering::kHash);
    blocks = cpu::SampleBlocks(graph, seeds.size(0), seeds.data, options, scratch);
  }
  return ToTensors(std::move(blocks), graph.id_type, output_type);
}

// Tensors of bytes, as long as fanouts allow: (sizes, src_ids, seed_inverse, [(indptr, indices,
// positions) for each hop, from the seeds outwards], whether positions are int64).
py::tuple SampleBlocksCudaBinding(const TensorView& indptr, const TensorView& indices,
                                  const TensorView& seeds, const std::vector<std::int64_t>& fanouts,
                                  const std::vector<std::uint64_t>& keys, bool replace) {
  Place place(kBlocksOp, "seeds", seeds);
  CheckValue(place.is_cuda(), "seeds: expected a CUDA tensor");
  Operand{"seeds", seeds}.OfDim(1).OfType(indices.dtype).Contiguous();
  const CscView graph = ViewOfCsc(place, indptr, indices);
  const BlocksOptions options = OptionsOf(fanouts, keys, replace, graph.id_type);
  const cuda::DeviceBlocks blocks =
      cuda::SampleBlocks(graph, seeds.size(0), seeds.data, options, place);
  py::list hops;
  for (const cuda::DeviceHop& hop : blocks.hops) {
    hops.append(py::make_tuple(place.TensorOf(hop.indptr), place.TensorOf(hop.indices),
                               place.TensorOf(hop.positions)));
  }
  return py::make_tuple(place.TensorOf(blocks.sizes), place.TensorOf(blocks.src_ids),
                        place.TensorOf(blocks.seed_inverse), hops,
                        blocks.position_type == DType::kInt64);
}

}  // namespace

CscView ViewOfCsc(const Place& place, TensorView indptr, TensorView indices) {
  place.Reach("indptr", indptr);
  place.Reach("indices", indices);
  Operand{"indptr", indptr}.OfDim(1).OfType(DType::kInt64).Contiguous();
  Operand{"indices", indices}.OfDim(1).Index().Contiguous();
  CheckValue(indptr.size(0) >= 1, "indptr: expected at least one element, got none");
  return {.num_nodes = indptr.size(0) - 1,
          .num_edges = indices.size(0),
          .indptr = indptr.as<std::int64_t>(),
          .indices = indices.data,
          .id_type = indices.dtype};
}

py::tuple ToTensors(Blocks blocks, DType id_type, DType output_type) {
  py::list hops;
  for (SampledHop& hop : blocks.hops) {
    hops.append(py::make_tuple(
        ToTensor(std::move(hop.indptr), DType::kInt64, hop.num_dst + 1),
        ToTensor(std::move(hop.indices), DType::kInt32, hop.num_edges),
        ToTensor(std::move(hop.positions), blocks.position_type, hop.num_edges), hop.num_src));
  }
  py::object inverse = py::none();
  if (blocks.seed_inverse) {
    inverse = ToTensor(std::move(blocks.seed_inverse), DType::kInt64, blocks.num_given);
  }
  return py::make_tuple(ToTensor(std::move(blocks.input_nodes), output_type, blocks.num_nodes),
                        ToTensor(std::move(blocks.output_nodes), output_type, blocks.num_seeds),
                        inverse, ToTensor(std::move(blocks.src_ids), id_type, blocks.num_nodes),
                        hops);
}

void BindBlocks(py::module_& module) {
  module.def("sample_blocks", &SampleBlocksBinding, py::arg("indptr"), py::arg("indices"),
             py::arg("seeds"), py::arg("fanouts"), py::arg("keys"), py::arg("replace"),
             py::arg("wide_output"));
  module.def("sample_blocks_cuda", &SampleBlocksCudaBinding, py::arg("indptr"), py::arg("indices"),
             py::arg("seeds"), py::arg("fanouts"), py::arg("keys"), py::arg("replace"));
}

}  // namespace hopflow
