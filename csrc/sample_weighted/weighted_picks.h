// Which of a node's in-edges a fanout keeps when they are not all alike: drawn by weight, or beside
// edges that are excluded. Shared by the CPU and the CUDA sampler, which give the same picks:
// nothing here but additions, multiplications, comparisons and searches.
//
// Without replacement the law is successive sampling: each draw takes an edge with probability
// proportional to its weight among those not taken yet (Yates, Grundy, "Selection without
// replacement from within strata with probability proportional to size", JRSS B 15, 1953;
// exponential keys, Efraimidis and Spirakis 2006, give the same law, but look at every edge).
#pragma once

#include <cstdint>

#include "core/rng.h"
#include "sample/picks.h"

namespace hopflow {

// The in-edges of one node, numbered from 0.
template <typename W>
struct WeightedRow {
  std::int64_t degree;
  const double* sums;  // [degree]: of the weights of the edges up to this one, added in this order
  const W* weights;    // [degree], positive

  HOPFLOW_HOST_DEVICE double Before(std::int64_t edge) const {
    return edge > 0 ? sums[edge - 1] : 0.0;
  }
  HOPFLOW_HOST_DEVICE double Mass(std::int64_t edge) const { return sums[edge] - Before(edge); }
  HOPFLOW_HOST_DEVICE double Total() const { return sums[degree - 1]; }
};

// The first i in [low, high) with f(i), which once true stays true; or high.
template <typename F>
HOPFLOW_HOST_DEVICE inline std::int64_t FirstWhere(std::int64_t low, std::int64_t high, F&& f) {
  // Halves without a branch on f, which no processor could foresee.
  std::int64_t count = high - low;
  while (count > 1) {
    const std::int64_t half = count / 2;
    low += half * static_cast<std::int64_t>(!f(low + half - 1));
    count -= half;
  }
  return count == 1 && !f(low) ? low + 1 : low;
}

// Uniform on [0, 1), in steps of 2^-53.
HOPFLOW_HOST_DEVICE inline double UnitOf(std::uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

// Edges that are not drawn any more, in rising order.
struct TakenEdges {
  std::int64_t* edges;  // [capacity]
  double* before;       // [capacity]: mass of the taken edges before this one
  std::int64_t count;
  double mass;

  template <typename W>
  HOPFLOW_HOST_DEVICE void Weigh(const WeightedRow<W>& row) {
    mass = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      before[i] = mass;
      mass += row.Mass(edges[i]);
    }
  }

  // The edge at x in [0, Total() - mass) of the row's mass without that of the taken edges; -1
  // where rounding leads to none.
  template <typename W>
  HOPFLOW_HOST_DEVICE std::int64_t Find(const WeightedRow<W>& row, double x) const {
    // So many taken edges lie before x; their mass is what x has to be moved by.
    const std::int64_t passed =
        FirstWhere(0, count, [&](std::int64_t i) { return row.Before(edges[i]) - before[i] > x; });
    const double at = x + (passed < count ? before[passed] : mass);
    const std::int64_t low = passed > 0 ? edges[passed - 1] + 1 : 0;
    const std::int64_t high = passed < count ? edges[passed] : row.degree;
    if (low >= high) return -1;
    const std::int64_t edge =
        FirstWhere(low, high, [&](std::int64_t i) { return row.sums[i] > at; });
    return edge < high ? edge : high - 1;
  }
};

// Calls f(edge) for the edges of [0, degree) that are not taken, in order, while it returns true.
template <typename F>
HOPFLOW_HOST_DEVICE inline void ForEachLeft(std::int64_t degree, const TakenEdges& taken, F&& f) {
  std::int64_t next = 0;
  for (std::int64_t edge = 0; edge < degree; ++edge) {
    if (next < taken.count && taken.edges[next] == edge) {
      ++next;
    } else if (!f(edge)) {
      return;
    }
  }
}

// Sums in float64 are trusted to find an edge as long as their rounding, at most degree * 2^-53 of
// the row's total, is below 2^-20 of the mass that is left.
constexpr double kTrusted = 0x1p-33;
// Mass below this is scaled up, away from numbers with fewer digits.
constexpr double kTiny = 0x1p-600;
constexpr double kTinyScale = 0x1p+600;
// Half of all draws at most meet a taken edge. So many in a row mean that rounding is to blame.
constexpr int kMostMisses = 64;

// Draws `num_picks` edges, fewer than there are left without replacement (with it there must be
// one). `taken` holds the excluded edges and has room for the picks; a pick costs O(log degree)
// expected. `tools` is the device's own:
//   Forget(), Add(edge)                     begin and extend the set of the latest picks
//   Has(picks, first, count, edge)          whether picks[first:count], the set, hold an edge
//   Sort(values, count)
//   double SumLeft(row, taken, scale)       the weights that are left times scale, added in order
//   FindLeft(row, taken, scale, x)          the first edge whose such sum, it included, is above x
template <typename W, typename Tools>
HOPFLOW_HOST_DEVICE void PickWeighted(const NodeRng& rng, const WeightedRow<W>& row,
                                      std::int64_t num_picks, bool replace, TakenEdges taken,
                                      Tools& tools,
                                      std::int64_t* picks) {  // [num_picks]
  // The row's own sums serve while they can tell the edges that are left apart. A weight of 1e-30
  // beside one of 1e30 is lost in them: once the large ones are gone, the others are added up anew.
  bool is_exact = false;
  double rest = 0;               // mass left when the picks were last put among the taken edges
  double scale = 1;              // of `rest`
  std::int64_t first_fresh = 0;  // the first pick that is not among the taken edges
  double fresh_mass = 0;
  int misses = 0;
  const auto settle = [&](std::int64_t num_picked) {
    for (; !replace && first_fresh < num_picked; ++first_fresh) {
      taken.edges[taken.count++] = picks[first_fresh];
    }
    tools.Sort(taken.edges, taken.count);
    tools.Forget();
    fresh_mass = 0;
    misses = 0;
    if (!is_exact) {
      taken.Weigh(row);
      rest = row.Total() - taken.mass;
      const double degree = static_cast<double>(row.degree);
      is_exact = !(rest >= row.Total() * (degree * kTrusted) && rest >= kTiny);
    }
    if (is_exact) {
      scale = 1;
      rest = tools.SumLeft(row, taken, scale);
      if (rest < kTiny) {
        scale = kTinyScale;
        rest = tools.SumLeft(row, taken, scale);
      }
    }
  };
  settle(0);
  std::uint64_t draw = 0;
  for (std::int64_t i = 0; i < num_picks;) {
    const double x = UnitOf(rng.Bits(draw++)) * rest;
    const std::int64_t edge = is_exact ? tools.FindLeft(row, taken, scale, x) : taken.Find(row, x);
    if (edge < 0 || (!replace && tools.Has(picks, first_fresh, i, edge))) {
      if (++misses == kMostMisses) {
        is_exact = true;
        settle(i);
      }
      continue;
    }
    misses = 0;
    picks[i++] = edge;
    if (replace || i == num_picks) continue;
    tools.Add(edge);
    fresh_mass += is_exact ? static_cast<double>(row.weights[edge]) * scale : row.Mass(edge);
    if (fresh_mass > rest / 2) settle(i);
  }
}

// Draws `num_picks` of `degree` edges beside the excluded ones, each of the others as likely.
// Without an excluded edge these are the picks of sample_neighbors.
template <typename Tools>
HOPFLOW_HOST_DEVICE void PickAlike(const NodeRng& rng, std::int64_t degree, std::int64_t num_picks,
                                   bool replace, const TakenEdges& excluded, Tools& tools,
                                   std::int64_t* picks) {  // [num_picks]
  const std::int64_t left = degree - excluded.count;
  if (replace) {
    for (std::int64_t i = 0; i < num_picks; ++i) picks[i] = rng.Below(i, left);
  } else {
    tools.Forget();
    FloydPicks(
        rng, left, num_picks,
        [&](std::int64_t i, std::int64_t t) { return tools.Has(picks, 0, i, t); },
        [&](std::int64_t i, std::int64_t pick) {
          picks[i] = pick;
          tools.Add(pick);
        });
  }
  // From ranks among the edges that are left to edges.
  for (std::int64_t i = 0; i < num_picks; ++i) {
    const std::int64_t rank = picks[i];
    picks[i] +=
        FirstWhere(0, excluded.count, [&](std::int64_t e) { return excluded.edges[e] - e > rank; });
  }
}

// The excluded positions of one node's edges, [begin, end).
struct ExcludedRange {
  std::int64_t begin, end;
  HOPFLOW_HOST_DEVICE std::int64_t count() const { return end - begin; }
};

HOPFLOW_HOST_DEVICE inline ExcludedRange ExcludedOf(const std::int64_t* excluded,  // [count]
                                                    std::int64_t count, std::int64_t first,
                                                    std::int64_t last) {
  if (count == 0) return {0, 0};
  const std::int64_t begin =
      FirstWhere(0, count, [&](std::int64_t i) { return excluded[i] >= first; });
  const std::int64_t end =
      FirstWhere(begin, count, [&](std::int64_t i) { return excluded[i] >= last; });
  return {begin, end};
}

}  // namespace hopflow
