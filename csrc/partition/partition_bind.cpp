#include "partition/partition.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kStreamOp = "stream_parts";

// Ctrl-C, which a call that takes minutes would hear only at its end.
void RaiseIfInterrupted() {
  const py::gil_scoped_acquire acquire;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

// edges: [(indptr, indices, first_dst, first_src, num_src)].
void StreamBinding(
    const std::vector<std::tuple<TensorView, TensorView, std::int64_t, std::int64_t, std::int64_t>>&
        edges,
    const TensorView& classes, std::vector<std::int64_t> caps, std::int64_t num_parts,
    std::int64_t num_passes, bool only_full, const TensorView& parts) {
  const std::int64_t num_nodes = classes.numel();
  CheckValue(1 <= num_parts && num_parts <= 32767, "num_parts: expected 1 to 32767, got ",
             num_parts);
  CheckValue(1 <= num_passes && num_passes <= 1000, "num_passes: expected 1 to 1000, got ",
             num_passes);
  const Operand of_node{"classes", classes}, out{"parts", parts};
  of_node.OfDim(1).Contiguous().OnCpu(kStreamOp);
  out.OfSize(num_nodes).Contiguous().OnCpu(kStreamOp);
  CheckType(classes.item_bytes == 1, "classes: expected uint8");
  CheckType(parts.item_bytes == 2, "parts: expected int16");
  std::vector<cpu::StreamedEdges> views;
  for (const auto& [indptr, indices, first_dst, first_src, num_src] : edges) {
    const Operand bounds{"indptr", indptr}, ids{"indices", indices};
    bounds.OfDim(1).OfType(DType::kInt64).Contiguous().OnCpu(kStreamOp);
    ids.OfDim(1).Index().Contiguous().OnCpu(kStreamOp);
    const std::int64_t num_rows = indptr.size(0) - 1;
    CheckValue(0 <= first_dst && first_dst + num_rows <= num_nodes && 0 <= first_src &&
                   0 <= num_src && first_src + num_src <= num_nodes,
               "edges: of nodes that are not among the ", num_nodes);
    views.push_back({.num_rows = num_rows,
                     .indptr = indptr.as<std::int64_t>(),
                     .indices = indices.data,
                     .wide = indices.dtype == DType::kInt64,
                     .first_dst = first_dst,
                     .first_src = first_src});
  }
  py::gil_scoped_release release;
  for (const auto& [indptr, indices, first_dst, first_src, num_src] : edges) {
    CheckIndptr({"indptr", indptr}, indices.size(0));
    CheckIds({"indices", indices}, num_src, "number of source nodes");
  }
  const auto* const kinds = static_cast<const std::uint8_t*>(classes.data);
  auto* const chosen = static_cast<std::int16_t*>(parts.data);
  std::vector<std::int64_t> counts(caps.size());
  for (std::int64_t v = 0; v < num_nodes; ++v) {
    CheckValue(kinds[v] < caps.size(), "classes[", v, "] is ", static_cast<int>(kinds[v]),
               ", but there are ", caps.size(), " caps");
    CheckValue(-1 <= chosen[v] && chosen[v] < num_parts, "parts[", v, "] is ", chosen[v],
               ", expected -1 <= part < ", num_parts);
    ++counts[kinds[v]];
  }
  for (std::size_t c = 0; c < caps.size(); ++c) {
    // The factor keeps votes * cap within int64.
    CheckValue(caps[c] >= 0 && caps[c] <= num_nodes && caps[c] * num_parts >= counts[c], "caps[", c,
               "] is ", caps[c], ", too few for ", counts[c], " nodes in ", num_parts, " parts");
  }
  cpu::StreamParts(num_nodes, views, {.of_node = kinds, .caps = std::move(caps)}, num_parts,
                   {.num_passes = num_passes, .only_full = only_full}, &RaiseIfInterrupted, chosen);
}

}  // namespace

void BindPartition(py::module_& module) {
  module.def("stream_parts", &StreamBinding, py::arg("edges"), py::arg("classes"), py::arg("caps"),
             py::arg("num_parts"), py::arg("num_passes"), py::arg("only_full"), py::arg("parts"));
}

}  // namespace hopflow
