#include <cuda_runtime_api.h>

#include "device.h"

namespace hopflow::cuda {

bool IsBuilt() { return true; }

std::string BuildVersion() {
  return std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10);
}

std::vector<DeviceInfo> Devices(std::string* problem) {
  std::vector<DeviceInfo> devices;
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) {
    *problem = cudaGetErrorString(error);
    cudaGetLastError();  // clears it, so that nobody else trips over it
    return devices;
  }
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) continue;
    devices.push_back({properties.name, properties.major, properties.minor});
  }
  return devices;
}

}  // namespace hopflow::cuda
