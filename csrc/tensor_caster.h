// torch.Tensor -> TensorView through the tensor's own Python attributes. They are the same in every
// torch since 2.2, so one module serves all of them without linking or including libtorch.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>

#include "tensor_view.h"

namespace hopflow {

// Looks up torch.Tensor and the dtypes; called once, at import.
void InitTensorCaster();

// Reads `object`; throws TypeError if it is no torch.Tensor.
TensorView ViewOf(pybind11::handle object);

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
