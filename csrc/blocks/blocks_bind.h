// What the binding of the loader shares with that of the blocks.
#pragma once

#include "bindings/bind.h"
#include "blocks/blocks.h"

namespace hopflow {

// The in-edges of a graph, their arrays checked for shape and type; their contents are checked
// where they are read. On CUDA they may be in page-locked host memory.
CscView ViewOfCsc(const Place& place, TensorView indptr, TensorView indices);

// The arrays of sampled blocks as tensors: (input_nodes, output_nodes, seed_inverse or None,
// src_ids,
// [(indptr, indices, positions, num_src) for each hop, from the seeds outwards]).
pybind11::tuple ToTensors(Blocks blocks, DType id_type, DType output_type);

}  // namespace hopflow
