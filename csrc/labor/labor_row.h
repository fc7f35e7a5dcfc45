// The scale of one seed in layer-neighbour sampling; shared by both devices, which give the same
// bits: sums are added from the left in float64.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace hopflow {

// The probability of an edge; infinite scales and importances are certain (0 * inf, NaN, too).
HOPFLOW_HOST_DEVICE inline double Probability(double scale, double importance) {
  const double p = scale * importance;
  return p < 1 ? p : 1.0;
}

// The scale c at which the sum of a^2 / min(1, c pi) over `degree` > fanout edges is what fanout
// draws would give: see labor.h. `a_of(edge)` are weights that sum to 1, `pi_of(edge)` importances.
//
// The sum falls in c. From the scale at which no edge would be certain, each round takes those as
// certain that are so at the scale before; it can only rise towards the solution, and has found it
// when no edge joins them.
template <typename WeightOf, typename ImportanceOf>
HOPFLOW_HOST_DEVICE inline double SolveScale(std::int64_t degree, std::int64_t fanout,
                                             const WeightOf& a_of, const ImportanceOf& pi_of) {
  double squares = 0;
  for (std::int64_t e = 0; e < degree; ++e) squares += a_of(e) * a_of(e);
  const double target =
      1.0 / static_cast<double>(fanout) - 1.0 / static_cast<double>(degree) + squares;
  double scale = 0;
  for (std::int64_t certain_before = -1;;) {
    double certain_squares = 0, rest = 0;
    std::int64_t num_certain = 0;
    for (std::int64_t e = 0; e < degree; ++e) {
      const double a = a_of(e), pi = pi_of(e);
      if (!(scale * pi < 1)) {
        certain_squares += a * a;
        ++num_certain;
      } else if (a > 0) {
        rest += a == pi ? a : a * a / pi;
      }
    }
    if (num_certain <= certain_before) return scale;
    certain_before = num_certain;
    scale = rest / (target - certain_squares);
    // Only where rounding took all of the difference between fanout and degree.
    if (!(scale > 0)) return rest > 0 ? 1e300 : scale;
  }
}

}  // namespace hopflow
