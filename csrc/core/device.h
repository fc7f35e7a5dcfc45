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

// Waits for all devices that have been made current.
void WaitForDevices();

// Where kernels find page-locked host memory; null if not all of it is page-locked (and mapped).
void* DevicePointer(void* host, std::size_t bytes);

// Page-locks the pages that host memory is on, for every device to read, and returns what
// UnpinMemory wants (0: it is somebody else's lock). Throws Error where that cannot be. The pages
// should hold nothing else: what is copied from memory that is locked in part may fail. Memory
// inside of what is locked already shares its lock. Unpinning waits for kernels that may read it
// still, unless the caller knows of none.
std::uintptr_t PinMemory(void* data, std::size_t bytes);
void UnpinMemory(std::uintptr_t lock, bool wait);

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
