#include <cstdint>
#include <map>
#include <mutex>
#include <set>

#include "device.h"
#include "launch.cuh"

namespace hopflow::cuda {
namespace {

constexpr std::uintptr_t kPage = 4096;

// CUDA locks whole pages, and no page twice. So a range is locked in up to three pieces: the pages
// that are all its own, and the first and the last page, which others may share and which are
// counted.
struct Pieces {
  std::uintptr_t inner_begin, inner_end;  // whole pages; empty if begin >= end
  std::uintptr_t edges[2];                // pages shared with others; 0: none
};

Pieces PiecesOf(void* data, std::size_t bytes) {
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t end = begin + bytes;
  const std::uintptr_t first = begin / kPage * kPage, last = end / kPage * kPage;
  Pieces pieces{(begin + kPage - 1) / kPage * kPage, last, {0, 0}};
  if (first != begin) pieces.edges[0] = first;
  if (last != end && last != pieces.edges[0]) pieces.edges[1] = last;
  return pieces;
}

std::mutex mutex;
// An edge page: how many ranges hold it, and whether its lock is ours to undo.
struct Edge {
  int holders = 0;
  bool is_ours = false;
};
std::map<std::uintptr_t, Edge>& Edges() {
  static auto* const edges = new std::map<std::uintptr_t, Edge>;  // outlives static destructors
  return *edges;
}

// Where the locks of whole pages that are ours begin.
std::set<std::uintptr_t>& Inners() {
  static auto* const inners = new std::set<std::uintptr_t>;
  return *inners;
}

cudaError_t Lock(std::uintptr_t begin, std::uintptr_t bytes) {
  const cudaError_t error = cudaHostRegister(reinterpret_cast<void*>(begin), bytes,
                                             cudaHostRegisterPortable | cudaHostRegisterMapped);
  if (error != cudaSuccess) cudaGetLastError();
  return error;
}

void Unlock(std::uintptr_t begin) {
  // Nothing depends on its success: at the end of a process the driver may be gone already.
  if (cudaHostUnregister(reinterpret_cast<void*>(begin)) != cudaSuccess) cudaGetLastError();
}

cudaError_t HoldEdge(std::uintptr_t page) {
  Edge& edge = Edges()[page];
  if (edge.holders++ > 0) return cudaSuccess;
  const cudaError_t error = Lock(page, kPage);
  edge.is_ours = error == cudaSuccess;
  // A lock of somebody else's serves as well, as long as they keep it.
  if (edge.is_ours || error == cudaErrorHostMemoryAlreadyRegistered) return cudaSuccess;
  Edges().erase(page);
  return error;
}

cudaError_t HoldInner(const Pieces& pieces) {
  if (pieces.inner_begin >= pieces.inner_end) return cudaSuccess;
  const cudaError_t error = Lock(pieces.inner_begin, pieces.inner_end - pieces.inner_begin);
  if (error == cudaSuccess) Inners().insert(pieces.inner_begin);
  // Memory from torch's own pinned allocator, say.
  return error == cudaErrorHostMemoryAlreadyRegistered ? cudaSuccess : error;
}

void LetGoOfInner(const Pieces& pieces) {
  if (Inners().erase(pieces.inner_begin) != 0) Unlock(pieces.inner_begin);
}

void LetGoOfEdge(std::uintptr_t page) {
  const auto found = Edges().find(page);
  if (found == Edges().end() || --found->second.holders > 0) return;
  if (found->second.is_ours) Unlock(page);
  Edges().erase(found);
}

}  // namespace

void PinMemory(void* data, std::size_t bytes) {
  const std::lock_guard lock(mutex);
  const Pieces pieces = PiecesOf(data, bytes);
  cudaError_t error = HoldInner(pieces);
  int num_held = 0;
  for (; error == cudaSuccess && num_held < 2; ++num_held) {
    if (pieces.edges[num_held] != 0) error = HoldEdge(pieces.edges[num_held]);
  }
  if (error == cudaSuccess) return;
  for (int i = 0; i + 1 < num_held; ++i) LetGoOfEdge(pieces.edges[i]);
  LetGoOfInner(pieces);
  throw Error(StrCat("CUDA cannot page-lock ", (bytes + (1 << 20) - 1) >> 20,
                     " MiB of host memory: ", cudaGetErrorString(error),
                     ". A limit may be too low (ulimit -l, the memory of a container)"));
}

void UnpinMemory(void* data, std::size_t bytes) {
  const std::lock_guard lock(mutex);
  const Pieces pieces = PiecesOf(data, bytes);
  for (const std::uintptr_t page : pieces.edges) LetGoOfEdge(page);
  LetGoOfInner(pieces);
}

}  // namespace hopflow::cuda
