#include "buffer_pool.h"

#include <cstdint>
#include <memory>
#include <vector>

#include "bind.h"

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
constexpr std::uint8_t kDLUInt = 1;

struct Managed {
  DLManagedTensor managed;
  std::int64_t shape;
  std::int64_t stride = 1;
};

// Gives the buffer back; torch calls it when the last tensor over the buffer is gone.
void Delete(DLManagedTensor* managed) {
  std::unique_ptr<Managed> owner(static_cast<Managed*>(managed->manager));
  BufferPool::Get().Release(managed->tensor.data);
}

// A capsule that nobody took: its memory goes back as well.
void DeleteCapsule(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, "dltensor")) return;
  auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor"));
  managed->deleter(managed);
}

// One dimension of bytes; the caller views them as what it needs.
py::capsule AllocateBinding(std::int64_t bytes) {
  CheckValue(bytes >= 1, "bytes: expected at least 1, got ", bytes);
  auto owner = std::make_unique<Managed>();
  owner->shape = bytes;
  void* data = BufferPool::Get().Allocate(static_cast<std::size_t>(bytes));
  owner->managed = {.tensor = {.data = data,
                               .device = {kDLCpu, 0},
                               .ndim = 1,
                               .dtype = {kDLUInt, 8, 1},
                               .shape = &owner->shape,
                               .strides = &owner->stride,
                               .byte_offset = 0},
                    .manager = owner.get(),
                    .deleter = &Delete};
  PyObject* capsule = PyCapsule_New(&owner->managed, "dltensor", &DeleteCapsule);
  if (capsule == nullptr) {
    BufferPool::Get().Release(data);
    throw py::error_already_set();
  }
  owner.release();
  return py::reinterpret_steal<py::capsule>(capsule);
}

}  // namespace

void BindBufferPool(py::module_& module) {
  module.def("pool_allocate", &AllocateBinding, py::arg("bytes"));
  module.def(
      "pool_set_limit",
      [](std::int64_t bytes) {
        CheckValue(bytes >= 0, "bytes: expected at least 0, got ", bytes);
        BufferPool::Get().SetLimit(static_cast<std::size_t>(bytes));
      },
      py::arg("bytes"));
  module.def("pool_usage", [] {
    const BufferPool::Usage usage = BufferPool::Get().usage();
    return py::make_tuple(usage.used, usage.cached, usage.limit);
  });
}

}  // namespace hopflow
