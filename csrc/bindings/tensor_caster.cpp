#include "bindings/tensor_caster.h"

#include <array>
#include <cstring>
#include <string>
#include <utility>

namespace py = pybind11;

#ifndef HOPFLOW_HOST_AS_DEVICE
#define HOPFLOW_HOST_AS_DEVICE 0
#endif

namespace hopflow {
namespace {

// In the module for tests/emulation the CUDA kernels run on the CPU: there a CPU tensor is on
// "CUDA", and none is on the CPU.
constexpr bool kHostAsDevice = HOPFLOW_HOST_AS_DEVICE;

// Borrowed for the life of the process: torch's types and dtypes are never freed, and releasing
// Python objects from a static destructor would run after the interpreter is gone.
struct TorchNames {
  PyObject* tensor = nullptr;
  std::array<std::pair<PyObject*, DType>, 8> dtypes{};
  PyObject* dtype = nullptr;
  PyObject* shape = nullptr;
  PyObject* stride = nullptr;
  PyObject* data_ptr = nullptr;
  PyObject* is_cpu = nullptr;
  PyObject* is_cuda = nullptr;
  PyObject* get_device = nullptr;
  PyObject* element_size = nullptr;
  PyObject* empty = nullptr;
  PyObject* uint8 = nullptr;
  PyObject* from_dlpack = nullptr;
  PyObject* raw_stream = nullptr;  // null in a torch without CUDA
};

TorchNames names;

py::object Attr(py::handle object, PyObject* name) {
  PyObject* value = PyObject_GetAttr(object.ptr(), name);
  if (value == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(value);
}

py::object Call(py::handle object, PyObject* name) {
  PyObject* value = PyObject_CallMethodNoArgs(object.ptr(), name);
  if (value == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(value);
}

std::int64_t AsInt(PyObject* number) {
  const long long value = PyLong_AsLongLong(number);
  if (value == -1 && PyErr_Occurred()) throw py::error_already_set();
  return value;
}

std::int64_t Item(const py::object& tuple, int i) {
  return AsInt(PyTuple_GET_ITEM(tuple.ptr(), i));
}

}  // namespace

void InitTensorCaster() {
  const py::module_ torch = py::module_::import("torch");
  const auto keep = [&](const char* name) { return py::object(torch.attr(name)).release().ptr(); };
  const auto intern = [](const char* name) { return PyUnicode_InternFromString(name); };
  names.tensor = keep("Tensor");
  std::size_t i = 0;
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16,
                            DType::kInt32, DType::kInt64, DType::kInt8, DType::kUInt8}) {
    names.dtypes[i++] = {keep(Name(dtype)), dtype};
  }
  names.dtype = intern("dtype");
  names.shape = intern("shape");
  names.stride = intern("stride");
  names.data_ptr = intern("data_ptr");
  names.is_cpu = intern("is_cpu");
  names.is_cuda = intern("is_cuda");
  names.get_device = intern("get_device");
  names.element_size = intern("element_size");
  names.empty = keep("empty");
  names.uint8 = keep("uint8");
  names.from_dlpack =
      py::object(py::module_::import("torch.utils.dlpack").attr("from_dlpack")).release().ptr();
  // What torch's own compiler calls for its kernels; the public torch.cuda.current_stream() makes
  // an object each time.
  constexpr const char* kRawStream = "_cuda_getCurrentRawStream";
  const py::object torch_c = torch.attr("_C");
  if (py::hasattr(torch_c, kRawStream)) {
    names.raw_stream = py::object(torch_c.attr(kRawStream)).release().ptr();
  }
}

TensorView ViewOf(py::handle object) {
  const int is_tensor = PyObject_IsInstance(object.ptr(), names.tensor);
  if (is_tensor < 0) throw py::error_already_set();
  CheckType(is_tensor == 1, "expected a torch.Tensor, got ", Py_TYPE(object.ptr())->tp_name);
  TensorView view;
  const py::object dtype = Attr(object, names.dtype);
  for (const auto& [torch_dtype, known] : names.dtypes) {
    if (dtype.ptr() == torch_dtype) view.dtype = known;
  }
  if (Attr(object, names.is_cpu).ptr() == Py_True) {
    view.device = kHostAsDevice ? DeviceType::kCuda : DeviceType::kCpu;
    if (kHostAsDevice) view.device_index = 0;
  } else if (Attr(object, names.is_cuda).ptr() == Py_True) {
    view.device = DeviceType::kCuda;
    view.device_index = static_cast<int>(AsInt(Call(object, names.get_device).ptr()));
  }
  const py::object shape = Attr(object, names.shape);
  const py::object stride = Call(object, names.stride);
  const auto ndim = PyTuple_GET_SIZE(shape.ptr());
  CheckValue(ndim <= kMaxDims, "a tensor of ", ndim, " dimensions; at most ", kMaxDims,
             " are supported");
  view.ndim = static_cast<int>(ndim);
  for (int d = 0; d < view.ndim; ++d) {
    view.shape[d] = Item(shape, d);
    view.stride[d] = Item(stride, d);
  }
  view.item_bytes = AsInt(Call(object, names.element_size).ptr());
  view.data = PyLong_AsVoidPtr(Call(object, names.data_ptr).ptr());
  if (view.data == nullptr && PyErr_Occurred()) throw py::error_already_set();
  return view;
}

py::object FromDlpack(py::handle capsule) {
  PyObject* tensor = PyObject_CallOneArg(names.from_dlpack, capsule.ptr());
  if (tensor == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(tensor);
}

const char* CudaDeviceType() { return kHostAsDevice ? "cpu" : "cuda"; }

void* CurrentStream(int device_index) {
  if (kHostAsDevice) return nullptr;
  if (names.raw_stream == nullptr) throw Error("torch was built without CUDA");
  const py::object stream = py::reinterpret_borrow<py::object>(names.raw_stream)(device_index);
  return PyLong_AsVoidPtr(stream.ptr());
}

py::object NewBytes(std::size_t bytes, int device_index) {
  const std::string device = kHostAsDevice ? "cpu" : "cuda:" + std::to_string(device_index);
  py::object made = py::reinterpret_borrow<py::object>(names.empty)(
      bytes, py::arg("dtype") = py::handle(names.uint8), py::arg("device") = device);
  // Poison, so that a kernel that reads what nobody wrote is found out.
  if (kHostAsDevice) std::memset(ViewOf(made).data, 0xcd, bytes);
  return made;
}

}  // namespace hopflow
