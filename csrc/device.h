// What the build and the machine offer beyond the CPU, and what every CUDA kernel is handed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace hopflow::cuda {

struct DeviceInfo {
  std::string name;
  int major;  // compute capability
  int minor;
};

// Whether CUDA code is in this module, and the CUDA version it was built with ("" if none).
bool IsBuilt();
std::string BuildVersion();

// What CMAKE_CUDA_ARCHITECTURES was, such as "80-real,90"; "" without CUDA.
std::string BuildArchitectures();

// The devices that the driver shows; empty without a driver. Never throws: `problem` says why none
// were found.
std::vector<DeviceInfo> Devices(std::string* problem);

// Makes a device the calling thread's current one and returns the one before.
int SetDevice(int index);

// Where kernels find page-locked host memory; null if it is not page-locked (or not mapped).
void* DevicePointer(void* host);

// Page-locks host memory in place, for every device to read; throws Error where that cannot be. And
// lets go of it again. Ranges may share pages, but no byte: a page is locked as long as any of
// them.
void PinMemory(void* data, std::size_t bytes);
void UnpinMemory(void* data, std::size_t bytes);

using Stream = void*;  // cudaStream_t, without CUDA's headers

// Where a call works: a stream, scratch memory that lives until the call returns (afterwards the
// allocator hands it out again in the order of the stream), and memory that becomes results.
class Workspace {
 public:
  virtual ~Workspace() = default;
  virtual Stream stream() const = 0;
  virtual void* Allocate(std::size_t bytes) = 0;
  virtual void* Keep(std::size_t bytes) = 0;
  // Calls f, which waits for the device, without holding Python's lock.
  virtual void Unlocked(const std::function<void()>& f) = 0;

  template <typename T>
  T* Of(std::int64_t count) {
    return static_cast<T*>(Allocate(static_cast<std::size_t>(count) * sizeof(T)));
  }
  template <typename T>
  T* KeepOf(std::int64_t count) {
    return static_cast<T*>(Keep(static_cast<std::size_t>(count) * sizeof(T)));
  }
};

}  // namespace hopflow::cuda
