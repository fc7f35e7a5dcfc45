// The picks of one seed on the CPU: picks.h with a fast duplicate test for every size of fanout.
#pragma once

#include <cstdint>
#include <vector>

#include "core/rng.h"
#include "sample/picks.h"
#include "sample/sample.h"

namespace hopflow::cpu {

// Up to here the edges of a node are bits of one register.
constexpr std::int64_t kSmallDegree = 64;
// Up to here comparing with every earlier pick, where a filter does not spare it, beats a hash set.
constexpr std::int64_t kLinearPicks = 48;

// Some bits of every pick so far: what it does not know was not picked.
class PickFilter {
 public:
  bool MayContain(std::int64_t pick) const { return (words_[Word(pick)] >> (pick & 63) & 1) != 0; }
  void Insert(std::int64_t pick) { words_[Word(pick)] |= std::uint64_t{1} << (pick & 63); }

 private:
  static std::size_t Word(std::int64_t pick) { return pick >> 6 & 7; }
  std::uint64_t words_[8] = {};
};

// The picks of one large fanout, as a set.
class PickSet {
 public:
  void Reset(std::int64_t num_picks) {
    std::size_t capacity = 64;
    while (capacity < 2 * static_cast<std::size_t>(num_picks)) capacity *= 2;
    slots_.assign(capacity, -1);
    mask_ = capacity - 1;
  }
  bool Contains(std::int64_t position) const { return slots_[Find(position)] == position; }
  void Insert(std::int64_t position) { slots_[Find(position)] = position; }

 private:
  std::size_t Find(std::int64_t position) const {
    std::size_t slot = Mix64(static_cast<std::uint64_t>(position)) & mask_;
    while (slots_[slot] != -1 && slots_[slot] != position) slot = (slot + 1) & mask_;
    return slot;
  }
  std::vector<std::int64_t> slots_;
  std::size_t mask_ = 0;
};

// Writes the positions of the edges that a seed keeps, of those at [begin, begin + degree).
template <typename Position>
void PickEdges(std::int64_t begin, std::int64_t degree, std::int64_t num_picks, std::uint64_t node,
               const SampleOptions& options, PickSet& set,
               Position* positions) {  // [num_picks]
  if (options.fanout < 0 || (!options.replace && num_picks == degree)) {
    for (std::int64_t i = 0; i < num_picks; ++i) positions[i] = static_cast<Position>(begin + i);
    return;
  }
  const NodeRng rng(options.key, node);
  if (options.replace) {
    for (std::int64_t i = 0; i < num_picks; ++i) {
      positions[i] = static_cast<Position>(begin + rng.Below(i, degree));
    }
    return;
  }
  if (degree <= kSmallDegree) {
    // Whether a draw is taken already is a coin toss to the branch predictor: both ways are one.
    std::uint64_t taken = 0;  // a bit for every edge
    FloydPicks(
        rng, degree, num_picks, [&](std::int64_t, std::int64_t t) { return (taken >> t & 1) != 0; },
        [&](std::int64_t i, std::int64_t pick) {
          taken |= std::uint64_t{1} << pick;
          positions[i] = static_cast<Position>(begin + pick);
        });
    return;
  }
  if (num_picks <= kLinearPicks) {
    PickFilter filter;
    FloydPicks(
        rng, degree, num_picks,
        [&](std::int64_t i, std::int64_t t) {
          if (!filter.MayContain(t)) return false;
          const auto position = static_cast<Position>(begin + t);
          bool is_taken = false;
          for (std::int64_t k = 0; k < i; ++k) is_taken |= positions[k] == position;
          return is_taken;
        },
        [&](std::int64_t i, std::int64_t pick) {
          filter.Insert(pick);
          positions[i] = static_cast<Position>(begin + pick);
        });
    return;
  }
  set.Reset(num_picks);
  FloydPicks(
      rng, degree, num_picks, [&](std::int64_t, std::int64_t t) { return set.Contains(t); },
      [&](std::int64_t i, std::int64_t pick) {
        set.Insert(pick);
        positions[i] = static_cast<Position>(begin + pick);
      });
}

}  // namespace hopflow::cpu
