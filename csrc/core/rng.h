// The counter-based random generator. A draw is a pure function of (seed, epoch, batch, hop,
// relation, node, draw): no state, hence the same ids for any number of threads, on the CPU and on
// CUDA.
//
// The mixer is SplitMix64's finaliser (Steele, Lea, Flood, "Fast splittable pseudorandom number
// generators", OOPSLA 2014) with Stafford's variant-13 constants; draw i of a node is output i of
// the SplitMix64 stream that starts at the hashed node.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace hopflow {

constexpr std::uint64_t kGoldenGamma = 0x9e3779b97f4a7c15ULL;

HOPFLOW_HOST_DEVICE inline std::uint64_t Mix64(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// Folds one more coordinate into a key. Order matters: (1, 2) and (2, 1) are different keys.
HOPFLOW_HOST_DEVICE inline std::uint64_t FoldKey(std::uint64_t key, std::uint64_t coordinate) {
  return Mix64(Mix64(key + kGoldenGamma) ^ (coordinate * 0xd6e8feb86659fd93ULL + kGoldenGamma));
}

// The key of one hop of one batch.
HOPFLOW_HOST_DEVICE inline std::uint64_t StreamKey(std::uint64_t seed, std::uint64_t epoch,
                                                   std::uint64_t batch, std::uint64_t hop) {
  return FoldKey(FoldKey(FoldKey(FoldKey(0, seed), epoch), batch), hop);
}

// The key of one relation in the hop with this key. The first one's is the hop's own: a graph with
// one relation draws as if there were no relations. The others' go through a key that is no node's,
// so that they are not what a node of the first relation draws from.
HOPFLOW_HOST_DEVICE inline std::uint64_t RelationKey(std::uint64_t key, std::uint64_t relation) {
  constexpr std::uint64_t kNoNode = ~std::uint64_t{0};
  return relation == 0 ? key : FoldKey(FoldKey(key, kNoNode), relation);
}

// High 64 bits of the product.
HOPFLOW_HOST_DEVICE inline std::uint64_t MulHigh64(std::uint64_t a, std::uint64_t b) {
#ifdef __CUDA_ARCH__
  return __umul64hi(a, b);
#else
  return static_cast<std::uint64_t>((static_cast<unsigned __int128>(a) * b) >> 64);
#endif
}

// The draws of one node in one hop.
class NodeRng {
 public:
  HOPFLOW_HOST_DEVICE NodeRng(std::uint64_t key, std::uint64_t node) : base_(FoldKey(key, node)) {}

  HOPFLOW_HOST_DEVICE std::uint64_t Bits(std::uint64_t draw) const {
    return Mix64(base_ + (draw + 1) * kGoldenGamma);
  }

  // Uniform on [0, bound): multiply-shift (Lemire 2019) on 64 bits; its bias is below
  // bound / 2^64, less than 1e-10 for any degree that fits in memory.
  HOPFLOW_HOST_DEVICE std::int64_t Below(std::uint64_t draw, std::int64_t bound) const {
    return static_cast<std::int64_t>(MulHigh64(Bits(draw), static_cast<std::uint64_t>(bound)));
  }

 private:
  std::uint64_t base_;
};

}  // namespace hopflow
