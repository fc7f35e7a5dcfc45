#include "core/device.h"

#include <omp.h>
#include <pybind11/stl.h>

#include "bindings/bind.h"
#include "core/simd.h"

namespace py = pybind11;

namespace hopflow {

void BindDevice(py::module_& module) {
  module.def("num_threads", &omp_get_max_threads,
             "Threads that a kernel called from this thread uses.");
  module.def(
      "set_num_threads",
      [](int n) {
        CheckValue(n >= 1, "num_threads: expected at least 1, got ", n);
        omp_set_num_threads(n);
      },
      py::arg("n"), "Sets num_threads() for the calling thread alone, as OpenMP does.");
  module.def("isa", [] { return std::string(Name(CurrentIsa())); });
  module.def(
      "limit_isa",
      [](const std::string& name) {
        for (const Isa isa : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512}) {
          if (name == Name(isa)) return LimitIsa(isa);
        }
        throw std::invalid_argument(
            StrCat("isa: expected \"baseline\", \"avx2\" or \"avx512\", got \"", name, "\""));
      },
      py::arg("name"));
  module.attr("cuda_device_type") = CudaDeviceType();
  module.def("cuda_is_built", &cuda::IsBuilt);
  module.def("cuda_build_version", &cuda::BuildVersion);
  module.def("cuda_build_architectures", &cuda::BuildArchitectures);
  module.def(
      "pin_memory",
      [](std::uintptr_t data, std::size_t bytes) {
        return cuda::PinMemory(reinterpret_cast<void*>(data), bytes);
      },
      py::call_guard<py::gil_scoped_release>());
  module.def(
      "unpin_memory", [](std::uintptr_t lock) { cuda::UnpinMemory(lock, /*wait=*/true); },
      py::call_guard<py::gil_scoped_release>());
  module.def("is_pinned", [](std::uintptr_t data, std::size_t bytes) {
    return cuda::DevicePointer(reinterpret_cast<void*>(data), bytes) != nullptr;
  });
  module.def("cuda_devices", [] {
    std::string problem;
    py::list devices;
    for (const cuda::DeviceInfo& device : cuda::Devices(&problem)) {
      devices.append(py::make_tuple(device.name, device.major, device.minor));
    }
    return py::make_tuple(devices, problem);
  });
}

}  // namespace hopflow
