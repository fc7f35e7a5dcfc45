#include "core/device.h"

#include <atomic>
#include <cstdint>

#include "cuda/launch.cuh"

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

namespace {

// Bit i: device i has been made current.
std::atomic<std::uint64_t> used{0};

}  // namespace

int SetDevice(int index) {
  used.fetch_or(std::uint64_t{1} << (index % 64), std::memory_order_relaxed);
  int before = 0;
  Check(cudaGetDevice(&before), "get the current device");
  if (before != index) Check(cudaSetDevice(index), "set the current device");
  return before;
}

void WaitForDevices() {
  int before = 0;
  if (cudaGetDevice(&before) != cudaSuccess) return void(cudaGetLastError());
  for (int index = 0; index < 64; ++index) {
    if ((used.load(std::memory_order_relaxed) >> index & 1) == 0) continue;
    // A failure is some kernel's; its own caller gets to see it.
    if (cudaSetDevice(index) != cudaSuccess || cudaDeviceSynchronize() != cudaSuccess) {
      cudaGetLastError();
    }
  }
  if (used.load(std::memory_order_relaxed) != 0) cudaSetDevice(before);
}

namespace {

char* DeviceAddress(char* host) {
  cudaPointerAttributes attributes;
  if (cudaPointerGetAttributes(&attributes, host) != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  return attributes.type == cudaMemoryTypeHost ? static_cast<char*>(attributes.devicePointer)
                                               : nullptr;
}

}  // namespace

void* DevicePointer(void* host, std::size_t bytes) {
  char* const first = DeviceAddress(static_cast<char*>(host));
  if (first == nullptr || bytes == 0) return first;
  // The end as well: a lock may begin or end in the middle of an array.
  return DeviceAddress(static_cast<char*>(host) + (bytes - 1)) == first + (bytes - 1) ? first
                                                                                      : nullptr;
}

}  // namespace hopflow::cuda
