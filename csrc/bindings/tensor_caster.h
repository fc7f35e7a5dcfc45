// torch.Tensor -> TensorView through the tensor's own Python attributes. They are the same in every
// torch since 2.2, so one module serves all of them without linking or including libtorch.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <optional>

#include "core/tensor_view.h"

namespace hopflow {

// Looks up torch.Tensor and the dtypes; called once, at import.
void InitTensorCaster();

// Reads `object`; throws TypeError if it is no torch.Tensor.
TensorView ViewOf(pybind11::handle object);

// torch.utils.dlpack.from_dlpack(capsule).
pybind11::object FromDlpack(pybind11::handle capsule);

// The torch device type of the tensors that CUDA kernels serve: "cuda".
const char* CudaDeviceType();

// torch's current stream on a CUDA device: a cudaStream_t.
void* CurrentStream(int device_index);

// torch.empty(bytes, dtype=torch.uint8) on a CUDA device.
pybind11::object NewBytes(std::size_t bytes, int device_index);

}  // namespace hopflow

namespace pybind11::detail {

template <>
struct type_caster<hopflow::TensorView> {
  PYBIND11_TYPE_CASTER(hopflow::TensorView, const_name("torch.Tensor"));

  bool load(handle source, bool) {
    if (source.is_none()) return false;  // lets std::optional take None
    value = hopflow::ViewOf(source);
    return true;
  }
};

template <>
struct type_caster<std::optional<hopflow::TensorView>> {
  PYBIND11_TYPE_CASTER(std::optional<hopflow::TensorView>, const_name("torch.Tensor | None"));

  bool load(handle source, bool) {
    if (!source.is_none()) value = hopflow::ViewOf(source);
    return true;
  }
};

}  // namespace pybind11::detail
