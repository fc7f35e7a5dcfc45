// What every X_bind.cpp shares: the registrars that module.cpp calls and the checks of operands.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <utility>

#include "bindings/place.h"
#include "bindings/tensor_caster.h"
#include "core/buffer_pool.h"
#include "core/check.h"
#include "core/dtype.h"
#include "core/tensor_view.h"

namespace hopflow {

void BindAddToSources(pybind11::module_& module);
void BindBatchLoader(pybind11::module_& module);
void BindBlocks(pybind11::module_& module);
void BindBufferPool(pybind11::module_& module);
void BindCheckIds(pybind11::module_& module);
void BindCompact(pybind11::module_& module);
void BindCsc(pybind11::module_& module);
void BindDevice(pybind11::module_& module);
void BindDiskRows(pybind11::module_& module);
void BindEdgeSoftmax(pybind11::module_& module);
void BindFrontiers(pybind11::module_& module);
void BindGather(pybind11::module_& module);
void BindGatherDecoded(pybind11::module_& module);
void BindGatv2Scores(pybind11::module_& module);
void BindInducedEdges(pybind11::module_& module);
void BindLabor(pybind11::module_& module);
void BindOwners(pybind11::module_& module);
void BindPartition(pybind11::module_& module);
void BindPprNeighbors(pybind11::module_& module);
void BindRandomWalk(pybind11::module_& module);
void BindSample(pybind11::module_& module);
void BindSampleTemporal(pybind11::module_& module);
void BindSampleWeighted(pybind11::module_& module);
void BindSddmm(pybind11::module_& module);
void BindSddmmBinary(pybind11::module_& module);
void BindSpmm(pybind11::module_& module);
void BindSpmmBinary(pybind11::module_& module);

// A one-dimensional tensor that owns `buffer` and gives it back to the pool when the last tensor
// over it is gone; without a copy. int32, int64, or (any other dtype) bytes.
pybind11::object ToTensor(Buffer buffer, DType dtype, std::int64_t count);

using MaybeTensor = std::optional<TensorView>;

// A named operand, so that every message can say which one is wrong.
struct Operand {
  const char* name;
  const TensorView& view;

  const Operand& OfDim(int ndim) const {
    CheckValue(view.ndim == ndim, name, ": expected ", ndim, " dimension", ndim == 1 ? "" : "s",
               ", got shape ", view.ShapeString());
    return *this;
  }
  const Operand& OfSize(std::int64_t size) const {
    OfDim(1);
    CheckValue(view.size(0) == size, name, ": expected ", size, " elements, got ", view.size(0));
    return *this;
  }
  const Operand& OfShape(std::initializer_list<std::int64_t> shape) const {
    bool same = view.ndim == static_cast<int>(shape.size());
    int d = 0;
    std::string expected = "[";
    for (const std::int64_t n : shape) {
      same = same && view.shape[d] == n;
      expected += (d++ ? ", " : "") + std::to_string(n);
    }
    CheckValue(same, name, ": expected shape ", expected, "], got ", view.ShapeString());
    return *this;
  }
  const Operand& OfType(DType dtype) const {
    CheckType(view.dtype == dtype, name, ": expected ", Name(dtype), ", got ", Name(view.dtype));
    return *this;
  }
  const Operand& Index() const {
    CheckType(view.dtype == DType::kInt32 || view.dtype == DType::kInt64, name,
              ": expected int32 or int64 ids, got ", Name(view.dtype));
    return *this;
  }
  const Operand& Contiguous() const {
    CheckValue(view.contiguous(), name, ": expected a contiguous tensor, got shape ",
               view.ShapeString(), " with gaps");
    return *this;
  }
  const Operand& RowsContiguous() const {
    CheckValue(view.ndim >= 1 && view.rows_contiguous(), name,
               ": expected contiguous rows, got shape ", view.ShapeString(), " with gaps");
    return *this;
  }
  const Operand& At(const Place& place) const {
    place.Require(name, view);
    return *this;
  }
  // For operators that have no CUDA kernel.
  const Operand& OnCpu(const char* op) const {
    if (view.device == DeviceType::kCpu) return *this;
    throw Error(StrCat(op, ": ", name, " is on ",
                       view.device == DeviceType::kCuda ? "CUDA" : "another device",
                       ", where this operator does not work. Move it with .to(\"cpu\")"));
  }
};

// An optional operand's data, or null.
template <typename T>
T* DataOrNull(const MaybeTensor& tensor) {
  return tensor ? tensor->as<T>() : nullptr;
}

void CheckFanout(std::int64_t fanout);

// Checks of contents on the CPU; check_ids_bind.cpp has them for both.

// Throws unless every id is in [0, bound). Reads the ids once, in parallel.
void CheckIds(const Operand& ids, std::int64_t bound, const char* bound_name);

// Throws unless every id of [0, ids) appears exactly once.
void CheckPermutation(const Operand& ids);

// Throws unless indptr is [num_rows + 1], starts at 0, never falls and ends at num_edges.
void CheckIndptr(const Operand& indptr, std::int64_t num_edges);

}  // namespace hopflow
