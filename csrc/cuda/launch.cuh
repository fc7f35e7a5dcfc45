// Launching kernels: errors that name them, and grids of teams. A team is a power-of-two number of
// neighbouring lanes of one warp that work on one row together.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/check.h"
#include "core/device.h"

namespace hopflow::cuda {

constexpr int kWarp = 32;
constexpr int kBlock = 256;  // threads

inline cudaStream_t StreamOf(Stream stream) { return static_cast<cudaStream_t>(stream); }

inline void Check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // cleared, so that nobody else trips over it
  throw Error(StrCat("CUDA, ", what, ": ", cudaGetErrorString(error)));
}

// Runs `kernel` on at least `num_threads` threads. The kernel must return at once where it finds
// itself beyond its work. Throws Error with `name` if the launch fails.
template <typename... Params, typename... Args>
void Launch(const char* name, const Workspace& work, std::int64_t num_threads,
            void (*kernel)(Params...), Args... args) {
  if (num_threads <= 0) return;
  const std::int64_t num_blocks = (num_threads + kBlock - 1) / kBlock;
  CheckValue(num_blocks <= std::numeric_limits<std::int32_t>::max(), name, ": ", num_threads,
             " threads are more than one launch has");
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(num_blocks));
  config.blockDim = dim3(kBlock);
  config.stream = StreamOf(work.stream());
  Check(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...), name);
}

// Calls f(std::integral_constant<int, lanes>) for the smallest team of at least `wanted` lanes, a
// warp at most.
template <typename F>
void DispatchTeam(std::int64_t wanted, F&& f) {
  if (wanted <= 1) return f(std::integral_constant<int, 1>());
  if (wanted <= 2) return f(std::integral_constant<int, 2>());
  if (wanted <= 4) return f(std::integral_constant<int, 4>());
  if (wanted <= 8) return f(std::integral_constant<int, 8>());
  if (wanted <= 16) return f(std::integral_constant<int, 16>());
  return f(std::integral_constant<int, 32>());
}

__device__ inline std::int64_t ThreadIndex() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// The lanes of the calling thread's team, as the *_sync functions take them.
template <int kLanes>
__device__ inline unsigned TeamMask() {
  const unsigned first = threadIdx.x % kWarp / kLanes * kLanes;
  return (0xffffffffu >> (kWarp - kLanes)) << first;
}

inline void Zero(void* data, std::size_t bytes, const Workspace& work, int byte = 0) {
  if (bytes == 0) return;
  Check(cudaMemsetAsync(data, byte, bytes, StreamOf(work.stream())), "memset");
}

// Copies `count` elements to the host and waits for them and all that came before.
template <typename T>
void ReadBack(const T* device, std::int64_t count, T* host, Workspace& work) {
  work.Unlocked([&] {
    const cudaStream_t stream = StreamOf(work.stream());
    Check(cudaMemcpyAsync(host, device, count * sizeof(T), cudaMemcpyDeviceToHost, stream),
          "copy to the host");
    Check(cudaStreamSynchronize(stream), "wait for the stream");
  });
}

}  // namespace hopflow::cuda
