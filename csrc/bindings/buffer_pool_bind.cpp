#include "core/buffer_pool.h"

#include "bindings/bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

// A tensor of bytes; the caller views it as what it needs.
py::object AllocateBinding(std::int64_t bytes) {
  CheckValue(bytes >= 1, "bytes: expected at least 1, got ", bytes);
  return ToTensor(Buffer(static_cast<std::size_t>(bytes)), DType::kOther, bytes);
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
  module.def(
      "pool_set_pinned", [](bool pinned) { BufferPool::Get().SetPinned(pinned); },
      py::arg("pinned"));
  module.def("pool_usage", [] {
    const BufferPool::Usage usage = BufferPool::Get().usage();
    return py::make_tuple(usage.used, usage.cached, usage.limit);
  });
}

}  // namespace hopflow
