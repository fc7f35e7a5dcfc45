#include <cstdint>
#include <map>
#include <mutex>

#include "core/device.h"
#include "cuda/launch.cuh"

namespace hopflow::cuda {
namespace {

constexpr std::uintptr_t kPage = 4096;

// A range of pages that is locked in one piece. One piece, because the driver copies no memory that
// spans two of them.
struct Lock {
  std::uintptr_t end;
  int holders;
};

std::mutex mutex;
// By their beginnings; they do not overlap.
std::map<std::uintptr_t, Lock>& Locks() {
  static auto* const locks = new std::map<std::uintptr_t, Lock>;  // outlives static destructors
  return *locks;
}

cudaError_t Register(std::uintptr_t begin, std::uintptr_t end) {
  void* const data = reinterpret_cast<void*>(begin);
  constexpr unsigned kFlags = cudaHostRegisterPortable | cudaHostRegisterMapped;
  cudaError_t error = cudaHostRegister(data, end - begin, kFlags);
  if (error != cudaSuccess && error != cudaErrorHostMemoryAlreadyRegistered) {
    cudaGetLastError();
    // A file mapped for reading, say.
    error = cudaHostRegister(data, end - begin, kFlags | cudaHostRegisterReadOnly);
  }
  if (error != cudaSuccess) cudaGetLastError();
  return error;
}

// The lock that touches [begin, end), if one does.
std::map<std::uintptr_t, Lock>::iterator Touching(std::uintptr_t begin, std::uintptr_t end) {
  auto found = Locks().lower_bound(end);  // the first that begins behind it
  if (found == Locks().begin()) return Locks().end();
  --found;
  return found->second.end > begin ? found : Locks().end();
}

}  // namespace

std::uintptr_t PinMemory(void* data, std::size_t bytes) {
  const std::lock_guard lock(mutex);
  const auto first = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t begin = first / kPage * kPage;
  const std::uintptr_t end = (first + bytes + kPage - 1) / kPage * kPage;
  if (const auto found = Touching(begin, end); found != Locks().end()) {
    if (found->first <= begin && end <= found->second.end) {
      ++found->second.holders;
      return found->first;
    }
    throw Error(
        "CUDA cannot page-lock host memory of which a part is locked already; lock the whole of it "
        "at once");
  }
  // Somebody else's lock serves as well, as long as they keep it.
  if (DevicePointer(data, bytes) != nullptr) return 0;
  const cudaError_t error = Register(begin, end);
  if (error == cudaSuccess) {
    Locks()[begin] = {end, 1};
    return begin;
  }
  throw Error(StrCat("CUDA cannot page-lock ", (bytes + (1 << 20) - 1) >> 20,
                     " MiB of host memory: ", cudaGetErrorString(error),
                     ". A limit may be too low (ulimit -l, the memory of a container)"));
}

void UnpinMemory(std::uintptr_t lock_begin, bool wait) {
  const std::lock_guard lock(mutex);
  const auto found = Locks().find(lock_begin);
  if (found == Locks().end() || --found->second.holders > 0) return;
  Locks().erase(found);
  if (wait) WaitForDevices();
  // Nothing depends on its success: at the end of a process the driver may be gone already.
  if (cudaHostUnregister(reinterpret_cast<void*>(lock_begin)) != cudaSuccess) cudaGetLastError();
}

}  // namespace hopflow::cuda
