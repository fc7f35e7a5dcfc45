// Which of a node's `degree` in-edges a fanout keeps. Shared by the CPU and the CUDA sampler.
#pragma once

#include <cstdint>

#include "core/rng.h"

namespace hopflow {

// Edges kept of `degree` under `fanout` (-1: all).
HOPFLOW_HOST_DEVICE inline std::int64_t NumPicks(std::int64_t degree, std::int64_t fanout,
                                                 bool replace) {
  if (degree == 0 || fanout < 0) return degree;
  if (replace) return fanout;
  return degree < fanout ? degree : fanout;
}

// Robert Floyd's sample (Bentley, "Programming pearls: a sample of brilliance", CACM 30(9), 1987):
// step i draws t from [0, j] with j = degree - num_picks + i, both ends included, and takes j if t
// is taken already. Every subset is equally likely, in O(num_picks) draws whatever the degree.
// `taken(t)` says whether t is among the picks so far and records what `pick` adds.
template <typename Taken, typename Pick>
HOPFLOW_HOST_DEVICE inline void FloydPicks(const NodeRng& rng, std::int64_t degree,
                                           std::int64_t num_picks, Taken&& taken, Pick&& pick) {
  for (std::int64_t i = 0; i < num_picks; ++i) {
    const std::int64_t j = degree - num_picks + i;
    const std::int64_t t = rng.Below(static_cast<std::uint64_t>(i), j + 1);
    pick(i, taken(i, t) ? j : t);
  }
}

// The same picks with all draws made at once, for processors that work on them side by side. The
// picks before step i are the draws t_m and those j_m that were taken in their place, m < i. So t_i
// is taken already if an earlier draw is equal to it, or if it is the j_m of an earlier step that
// took j_m: the rival. Rivals form chains that end at a step without one.
//
// The rival of step i, or -1.
HOPFLOW_HOST_DEVICE inline std::int64_t FloydRival(std::int64_t degree, std::int64_t num_picks,
                                                   std::int64_t i, std::int64_t t) {
  const std::int64_t m = t - (degree - num_picks);
  return 0 <= m && m < i ? m : -1;
}

}  // namespace hopflow
