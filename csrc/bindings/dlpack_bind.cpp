#include <cstdint>
#include <memory>
#include <utility>

#include "bindings/bind.h"
#include "bindings/tensor_caster.h"
#include "core/buffer_pool.h"

namespace py = pybind11;

namespace hopflow {
namespace {

// The memory layout that DLPack fixes (https://dmlc.github.io/dlpack, version 0 "unversioned"
// capsules, which every torch reads).
struct DLDevice {
  std::int32_t device_type;
  std::int32_t device_id;
};
struct DLDataType {
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  std::int32_t ndim;
  DLDataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;
  std::uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor tensor;
  void* manager;
  void (*deleter)(DLManagedTensor*);
};
constexpr std::int32_t kDLCpu = 1;
constexpr std::uint8_t kDLInt = 0;
constexpr std::uint8_t kDLUInt = 1;

struct Managed {
  DLManagedTensor managed;
  std::int64_t shape;
  std::int64_t stride = 1;
  Buffer buffer;
};

// Gives the buffer back; torch calls it when the last tensor over the buffer is gone.
void Delete(DLManagedTensor* managed) { delete static_cast<Managed*>(managed->manager); }

// A capsule that nobody took: its memory goes back as well.
void DeleteCapsule(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, "dltensor")) return;
  auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor"));
  managed->deleter(managed);
}

DLDataType TypeOf(DType dtype) {
  if (dtype == DType::kInt32) return {kDLInt, 32, 1};
  if (dtype == DType::kInt64) return {kDLInt, 64, 1};
  return {kDLUInt, 8, 1};
}

}  // namespace

py::object ToTensor(Buffer buffer, DType dtype, std::int64_t count) {
  auto owner = std::make_unique<Managed>();
  owner->shape = count;
  owner->managed = {.tensor = {.data = buffer.as<void>(),
                               .device = {kDLCpu, 0},
                               .ndim = 1,
                               .dtype = TypeOf(dtype),
                               .shape = &owner->shape,
                               .strides = &owner->stride,
                               .byte_offset = 0},
                    .manager = owner.get(),
                    .deleter = &Delete};
  owner->buffer = std::move(buffer);
  PyObject* capsule = PyCapsule_New(&owner->managed, "dltensor", &DeleteCapsule);
  if (capsule == nullptr) throw py::error_already_set();
  owner.release();
  return FromDlpack(py::reinterpret_steal<py::object>(capsule));
}

}  // namespace hopflow
