// What the binding of the loader shares with that of the blocks.
#pragma once

#include <pybind11/stl.h>

#include <cstdint>
#include <tuple>
#include <vector>

#include "bindings/bind.h"
#include "blocks/blocks.h"

namespace hopflow {

// The in-edges of a graph, their arrays checked for shape and type; their contents are checked
// where they are read. On CUDA they may be in page-locked host memory.
CscView ViewOfCsc(const Place& place, TensorView indptr, TensorView indices);

// A relation as it comes from Python: (indptr, indices, source type, destination type).
using RelationOperand = std::tuple<TensorView, TensorView, int, int>;

// Likewise of several relations. Shapes are checked against the numbers of nodes.
GraphView ViewOfGraph(const Place& place, const std::vector<RelationOperand>& relations,
                      std::vector<std::int64_t> num_nodes);

// Throws unless there is a fanout for each relation in each hop.
void CheckFanouts(const std::vector<std::vector<std::int64_t>>& fanouts, std::size_t num_relations);

// The arrays of sampled blocks as tensors: ([(input_nodes, output_nodes, seed_inverse or None,
// src_ids) for each type], [([(indptr, indices, positions) for each relation], [num_src of each
// type]) for each hop, from the seeds outwards]).
pybind11::tuple ToTensors(Blocks blocks, DType id_type, DType output_type);

}  // namespace hopflow
