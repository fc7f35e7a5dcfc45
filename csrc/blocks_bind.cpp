#include "blocks.h"

#include <pybind11/stl.h>

#include <utility>
#include <vector>

#include "bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kOp = "sample_blocks";

py::tuple SampleBlocksBinding(const TensorView& indptr, const TensorView& indices,
                              const TensorView& seeds, const std::vector<std::int64_t>& fanouts,
                              const std::vector<std::uint64_t>& keys, bool replace,
                              bool wide_output) {
  const CscView graph = ViewOfCsc(kOp, indptr, indices);
  Operand{"seeds", seeds}.OfDim(1).OfType(indices.dtype).Contiguous().OnCpu(kOp);
  CheckValue(fanouts.size() == keys.size(), "keys: expected one for each of ", fanouts.size(),
             " hops, got ", keys.size());
  const DType output_type = wide_output ? DType::kInt64 : DType::kInt32;
  BlocksOptions options{.hops = {}, .replace = replace, .output_type = output_type};
  for (std::size_t h = 0; h < fanouts.size(); ++h) {
    CheckFanout(fanouts[h]);
    options.hops.push_back({fanouts[h], keys[h]});
  }
  Blocks blocks;
  {
    py::gil_scoped_release release;
    cpu::BlocksScratch scratch(graph, cpu::Numbering::kHash);
    blocks = cpu::SampleBlocks(graph, seeds.size(0), seeds.data, options, scratch);
  }
  return ToTensors(std::move(blocks), graph.id_type, output_type);
}

}  // namespace

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
}

}  // namespace hopflow
