// CUDA on the CPU, as far as csrc/*/*_cuda.cu use it, so that the kernels themselves can be run and
// tested where there is no GPU. Every thread of a block is a fiber; barriers, shuffles and votes
// are rendezvous of fibers. Blocks run one after another, and threads in an order that is shuffled
// anew for every block: what depends on an order that CUDA does not promise fails sooner or later.
// A rendezvous that some thread never reaches ends the process with a message instead of hanging.
// It says nothing about speed, and nothing about races between plain loads and stores of different
// blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iterator>
#include <map>
#include <tuple>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static  // one block at a time: see Run()
#define __launch_bounds__(...)
#define __restrict__ __restrict

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3() = default;
  explicit dim3(unsigned x) : x(x) {}
  dim3(unsigned x, unsigned y) : x(x), y(y) {}
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};

extern dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

// Runs body() once for every thread of a grid.
void Run(unsigned num_blocks, unsigned num_threads, const std::function<void()>& body);

// Lets `mask`'s lanes of the calling thread's warp meet; each brings a value and gets all of them.
const std::uint64_t* Meet(unsigned mask, std::uint64_t value);
void MeetBlock();
unsigned Lane();

// What cudaHostRegister has page-locked: beginnings and ends.
extern std::map<std::uintptr_t, std::uintptr_t> pinned;
inline bool IsPinned(std::uintptr_t address) {
  const auto after = pinned.upper_bound(address);
  return after != pinned.begin() && address < std::prev(after)->second;
}

template <typename T>
std::uint64_t Bits(T value) {
  static_assert(sizeof(T) <= 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}
template <typename T>
T FromBits(std::uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
}  // namespace emulation

inline void __syncthreads() { emulation::MeetBlock(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { emulation::Meet(mask, 0); }

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
  const unsigned base = emulation::Lane() / width * width;
  return emulation::FromBits<T>(
      emulation::Meet(mask, emulation::Bits(value))[base + (lane & (width - 1))]);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const unsigned lane = emulation::Lane();
  const unsigned at = lane % width + delta < static_cast<unsigned>(width) ? lane + delta : lane;
  return emulation::FromBits<T>(emulation::Meet(mask, emulation::Bits(value))[at]);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32) {
  const unsigned lane = emulation::Lane();
  const unsigned at = (lane ^ with) / width == lane / width ? lane ^ with : lane;
  return emulation::FromBits<T>(emulation::Meet(mask, emulation::Bits(value))[at]);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  const std::uint64_t* votes = emulation::Meet(mask, predicate != 0);
  unsigned result = 0;
  for (unsigned i = 0; i < 32; ++i) {
    if (mask >> i & 1 && votes[i]) result |= 1u << i;
  }
  return result;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
template <typename T>
unsigned __match_any_sync(unsigned mask, T value) {
  const std::uint64_t mine = emulation::Bits(value);
  const std::uint64_t* values = emulation::Meet(mask, mine);
  unsigned result = 0;
  for (unsigned i = 0; i < 32; ++i) {
    if (mask >> i & 1 && values[i] == mine) result |= 1u << i;
  }
  return result;
}
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }

// One thread of the process runs at a time, so a plain update is atomic.
template <typename T>
T atomicAdd(T* at, T value) {
  return std::exchange(*at, static_cast<T>(*at + value));
}
template <typename T>
T atomicMin(T* at, T value) {
  const T before = *at;
  if (value < before) *at = value;
  return before;
}
template <typename T>
T atomicCAS(T* at, T expected, T value) {
  const T before = *at;
  if (before == expected) *at = value;
  return before;
}
inline void __threadfence() {}

// --- the runtime ---

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorHostMemoryAlreadyRegistered = 712
};
using cudaStream_t = void*;
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaMemoryType { cudaMemoryTypeUnregistered, cudaMemoryTypeHost, cudaMemoryTypeDevice };
struct cudaPointerAttributes {
  cudaMemoryType type;
  void* devicePointer;
};
struct cudaDeviceProp {
  char name[256];
  int major, minor;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
};
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount };

#define CUDART_VERSION 0
inline const char* cudaGetErrorString(cudaError_t) { return "an error of the emulation"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::strcpy(properties->name, "CUDA on the CPU");
  properties->major = properties->minor = 0;
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  return *value = 2, cudaSuccess;
}
inline cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, void* pointer) {
  const bool is_pinned = emulation::IsPinned(reinterpret_cast<std::uintptr_t>(pointer));
  *attributes = {is_pinned ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered, pointer};
  return cudaSuccess;
}
constexpr unsigned cudaHostRegisterPortable = 1, cudaHostRegisterMapped = 2,
                   cudaHostRegisterReadOnly = 8;
// As the driver: whole pages, and no page twice.
inline cudaError_t cudaHostRegister(void* data, std::size_t bytes, unsigned) {
  constexpr std::uintptr_t kPage = 4096;
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  if (begin % kPage != 0 || bytes % kPage != 0) return cudaErrorInvalidValue;
  for (std::uintptr_t page = begin; page < begin + bytes; page += kPage) {
    if (emulation::IsPinned(page)) return cudaErrorHostMemoryAlreadyRegistered;
  }
  emulation::pinned[begin] = begin + bytes;
  return cudaSuccess;
}
inline cudaError_t cudaHostUnregister(void* data) {
  const bool was_pinned = emulation::pinned.erase(reinterpret_cast<std::uintptr_t>(data)) != 0;
  return was_pinned ? cudaSuccess : cudaErrorInvalidValue;
}
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
inline cudaError_t cudaMemsetAsync(void* data, int byte, std::size_t bytes, cudaStream_t) {
  std::memset(data, byte, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                                   cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }

template <typename... Params, typename... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...),
                               Args&&... args) {
  const std::tuple<Params...> given(static_cast<Params>(args)...);
  if (config->gridDim.x == 0 || config->blockDim.x == 0 || config->blockDim.x > 1024) {
    return cudaErrorInvalidValue;
  }
  emulation::Run(config->gridDim.x, config->blockDim.x, [&] { std::apply(kernel, given); });
  return cudaSuccess;
}
