// The random number of a source node in layer-neighbour sampling; shared by both devices.
#pragma once

#include <cstdint>

#include "core/host_device.h"
#include "core/rng.h"

namespace hopflow {

// Variates and thresholds count in 2^-53: what a double holds exactly.
constexpr double kVariateScale = 0x1p53;

// A variate is below this with probability p.
HOPFLOW_HOST_DEVICE inline std::uint64_t ThresholdOf(double p) {
  return p < 1 ? static_cast<std::uint64_t>(p * kVariateScale) : std::uint64_t{1} << 53;
}

// r_t of every node t: a hash of the key and t. With a second key each node's variate is that of
// the second one with probability `share`, a third hash says of which nodes: as the share grows
// from 0 to 1 the variates of one key are replaced by those of the other, node by node, and each
// stays uniform all the time.
struct Variates {
  std::uint64_t key;
  std::uint64_t second_key;
  std::uint64_t share;  // ThresholdOf the second key's share

  HOPFLOW_HOST_DEVICE static std::uint64_t Of(std::uint64_t key, std::uint64_t node) {
    return FoldKey(key, node) >> 11;
  }
  // Keys of no node, so that the choice has nothing to do with the variates.
  HOPFLOW_HOST_DEVICE std::uint64_t ChoiceKey() const { return FoldKey(second_key, ~0ull); }

  HOPFLOW_HOST_DEVICE std::uint64_t operator()(std::uint64_t node) const {
    const bool is_second = share != 0 && Of(ChoiceKey(), node) < share;
    return Of(is_second ? second_key : key, node);
  }
};

}  // namespace hopflow
