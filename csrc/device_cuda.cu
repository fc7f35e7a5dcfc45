#include "device.h"

#include "launch.cuh"

namespace hopflow::cuda {

bool IsBuilt() { return true; }

std::string BuildVersion() {
  return std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10);
}

#ifndef HOPFLOW_CUDA_ARCHITECTURES
#define HOPFLOW_CUDA_ARCHITECTURES ""
#endif
std::string BuildArchitectures() { return HOPFLOW_CUDA_ARCHITECTURES; }

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

int SetDevice(int index) {
  int before = 0;
  Check(cudaGetDevice(&before), "get the current device");
  if (before != index) Check(cudaSetDevice(index), "set the current device");
  return before;
}

void* DevicePointer(void* host) {
  cudaPointerAttributes attributes;
  if (cudaPointerGetAttributes(&attributes, host) != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  return attributes.type == cudaMemoryTypeHost ? attributes.devicePointer : nullptr;
}

}  // namespace hopflow::cuda
