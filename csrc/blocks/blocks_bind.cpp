#include "blocks/blocks_bind.h"

#include <limits>
#include <utility>
#include <vector>

#include "core/rng.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kBlocksOp = "sample_blocks";

using Fanouts = std::vector<std::vector<std::int64_t>>;  // [hop][relation]
using Keys = std::vector<std::vector<std::uint64_t>>;    // likewise

BlocksOptions OptionsOf(const Fanouts& fanouts, const Keys& keys, std::size_t num_relations,
                        bool replace, DType output_type) {
  CheckFanouts(fanouts, num_relations);
  CheckValue(fanouts.size() == keys.size(), "keys: expected one for each of ", fanouts.size(),
             " hops, got ", keys.size());
  BlocksOptions options{.hops = {}, .replace = replace, .output_type = output_type};
  for (std::size_t h = 0; h < fanouts.size(); ++h) {
    CheckValue(keys[h].size() == num_relations, "keys[", h, "]: expected one for each of ",
               num_relations, " relations, got ", keys[h].size());
    std::vector<HopOptions> hop;
    for (std::size_t r = 0; r < num_relations; ++r) hop.push_back({fanouts[h][r], keys[h][r]});
    options.hops.push_back(std::move(hop));
  }
  return options;
}

py::tuple SampleBlocksBinding(const std::vector<RelationOperand>& relations,
                              std::vector<std::int64_t> num_nodes,
                              const std::vector<TensorView>& seeds, const Fanouts& fanouts,
                              const Keys& keys, bool replace, bool wide_output) {
  CheckValue(!seeds.empty() && seeds.size() == num_nodes.size(), "seeds: expected one tensor for ",
             "each of ", num_nodes.size(), " types, got ", seeds.size());
  std::vector<SeedsView> views;
  for (const TensorView& ids : seeds) {
    Operand{"seeds", ids}.OfDim(1).Index().Contiguous().OnCpu(kBlocksOp);
    views.push_back({.count = ids.size(0), .ids = ids.data, .id_type = ids.dtype});
  }
  const Place place(kBlocksOp, "seeds", seeds[0]);
  const GraphView graph = ViewOfGraph(place, relations, std::move(num_nodes));
  const DType output_type = wide_output ? DType::kInt64 : DType::kInt32;
  const BlocksOptions options = OptionsOf(fanouts, keys, relations.size(), replace, output_type);
  Blocks blocks;
  {
    py::gil_scoped_release release;
    cpu::BlocksScratch scratch(graph, cpu::Numbering::kHash);
    blocks = cpu::SampleBlocks(graph, views, options, scratch);
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
  Fanouts of_hops;
  Keys keys_of_hops;
  for (const std::int64_t fanout : fanouts) of_hops.push_back({fanout});
  for (const std::uint64_t key : keys) keys_of_hops.push_back({key});
  const BlocksOptions options = OptionsOf(of_hops, keys_of_hops, 1, replace, graph.id_type);
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

GraphView ViewOfGraph(const Place& place, const std::vector<RelationOperand>& relations,
                      std::vector<std::int64_t> num_nodes) {
  GraphView graph{.num_nodes = std::move(num_nodes), .relations = {}, .id_type = DType::kInt32};
  const auto num_types = static_cast<int>(graph.num_nodes.size());
  for (std::size_t r = 0; r < relations.size(); ++r) {
    const auto& [indptr, indices, src_type, dst_type] = relations[r];
    const CscView edges = ViewOfCsc(place, indptr, indices);
    for (const int type : {src_type, dst_type}) {
      CheckValue(0 <= type && type < num_types, "relation ", r, ": expected types 0 to ",
                 num_types - 1, ", got ", type);
    }
    CheckValue(edges.num_nodes == graph.num_nodes[dst_type], "relation ", r, ": indptr: expected ",
               graph.num_nodes[dst_type] + 1, " elements, got ", indptr.size(0));
    if (edges.id_type == DType::kInt64) graph.id_type = DType::kInt64;
    graph.relations.push_back({edges, src_type, dst_type});
  }
  for (std::size_t t = 0; t < graph.num_nodes.size(); ++t) {
    CheckValue(graph.num_nodes[t] >= 0, "num_nodes[", t, "]: expected at least 0, got ",
               graph.num_nodes[t]);
    if (graph.num_nodes[t] > std::numeric_limits<std::int32_t>::max()) {
      graph.id_type = DType::kInt64;
    }
  }
  return graph;
}

void CheckFanouts(const std::vector<std::vector<std::int64_t>>& fanouts,
                  std::size_t num_relations) {
  for (std::size_t h = 0; h < fanouts.size(); ++h) {
    CheckValue(fanouts[h].size() == num_relations, "fanouts[", h, "]: expected one for each of ",
               num_relations, " relations, got ", fanouts[h].size());
    for (const std::int64_t fanout : fanouts[h]) CheckFanout(fanout);
  }
}

py::tuple ToTensors(Blocks blocks, DType id_type, DType output_type) {
  py::list types;
  for (SampledNodes& nodes : blocks.nodes) {
    py::object inverse = py::none();
    if (nodes.seed_inverse) {
      inverse = ToTensor(std::move(nodes.seed_inverse), DType::kInt64, nodes.num_given);
    }
    types.append(
        py::make_tuple(ToTensor(std::move(nodes.input_nodes), output_type, nodes.num_nodes),
                       ToTensor(std::move(nodes.output_nodes), output_type, nodes.num_seeds),
                       inverse, ToTensor(std::move(nodes.src_ids), id_type, nodes.num_nodes)));
  }
  py::list hops;
  for (SampledHop& hop : blocks.hops) {
    py::list relations;
    for (SampledEdges& edges : hop.relations) {
      relations.append(py::make_tuple(
          ToTensor(std::move(edges.indptr), DType::kInt64, edges.num_dst + 1),
          ToTensor(std::move(edges.indices), DType::kInt32, edges.num_edges),
          ToTensor(std::move(edges.positions), edges.position_type, edges.num_edges)));
    }
    hops.append(py::make_tuple(relations, hop.num_src));
  }
  return py::make_tuple(types, hops);
}

void BindBlocks(py::module_& module) {
  module.def("relation_key", &RelationKey, py::arg("key"), py::arg("relation"));
  module.def("sample_blocks", &SampleBlocksBinding, py::arg("relations"), py::arg("num_nodes"),
             py::arg("seeds"), py::arg("fanouts"), py::arg("keys"), py::arg("replace"),
             py::arg("wide_output"));
  module.def("sample_blocks_cuda", &SampleBlocksCudaBinding, py::arg("indptr"), py::arg("indices"),
             py::arg("seeds"), py::arg("fanouts"), py::arg("keys"), py::arg("replace"));
}

}  // namespace hopflow
