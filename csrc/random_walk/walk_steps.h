// One step of a walk, shared by both devices: nothing here but additions, multiplications,
// divisions, comparisons and searches, so that both take the same edges.
#pragma once

#include <cstdint>

#include "core/rng.h"
#include "random_walk/random_walk.h"
#include "sample_weighted/weighted_picks.h"

namespace hopflow {

// The positions of a node's out-edges, [first, first + degree).
struct WalkRow {
  std::int64_t first, degree;
};

// Draws of step t of a walk, from the walk's NodeRng.
HOPFLOW_HOST_DEVICE inline std::uint64_t EdgeBits(const NodeRng& walk, std::int64_t step) {
  return walk.Bits(2 * static_cast<std::uint64_t>(step));
}
HOPFLOW_HOST_DEVICE inline bool EndsBefore(const NodeRng& walk, std::int64_t step,
                                           double probability) {
  return probability > 0 &&
         UnitOf(walk.Bits(2 * static_cast<std::uint64_t>(step) + 1)) < probability;
}

// The position of one of a row's edges, which has some, by weight.
HOPFLOW_HOST_DEVICE inline std::int64_t DrawEdge(const double* sums, WalkRow row,
                                                 std::uint64_t bits) {
  if (sums == nullptr) {
    return row.first +
           static_cast<std::int64_t>(MulHigh64(bits, static_cast<std::uint64_t>(row.degree)));
  }
  const double* const own = sums + row.first;
  const double x = UnitOf(bits) * own[row.degree - 1];
  const std::int64_t edge = FirstWhere(0, row.degree, [&](std::int64_t i) { return own[i] > x; });
  return row.first + (edge < row.degree ? edge : row.degree - 1);
}

// The edges from a row to `node`, as a row; destinations rise.
HOPFLOW_HOST_DEVICE inline WalkRow EdgesTo(const IdArray& indices, WalkRow row, std::int64_t node) {
  const std::int64_t end = row.first + row.degree;
  const std::int64_t low =
      FirstWhere(row.first, end, [&](std::int64_t i) { return indices.Get(i) >= node; });
  if (low == end || indices.Get(low) != node) return {low, 0};
  const std::int64_t high =
      FirstWhere(low, end, [&](std::int64_t i) { return indices.Get(i) > node; });
  return {low, high - low};
}

// Step `step` > 0 of node2vec (Grover, Leskovec, KDD 2016): the position of the edge that a walk
// takes from a node with this row, which has edges, having come from `before`.
//
// By rejection, as in KnightKing (Yang et al., "KnightKing: a fast distributed graph random walk
// engine", SOSP 2019): an edge is proposed by its weight and accepted with probability
// alpha / ceiling, where alpha is what the law multiplies its weight by. Whether x has an edge to
// `before` is searched for only where that decides. An alpha of the way back above the ceiling is
// cut there, and what is cut off is a share of its own beside the proposals, so that a small p
// costs nothing. A law that accepts too rarely (a large p at a node with no other way) is read off
// the whole row after `degree` proposals, 16 at least, of which none was accepted: rejections tell
// nothing about what is taken in the end, so the law stays exact.
//
// `rows` reads rows: AllOf(node), the edges of a node that are searched.
template <typename Rows>
HOPFLOW_HOST_DEVICE std::int64_t Node2vecEdge(const Node2vecLaw& law, const Rows& rows, WalkRow row,
                                              std::int64_t before, const NodeRng& rng) {
  const WalkEdges& edges = law.edges;
  const auto alpha = [&](std::int64_t node) {
    if (node == before) return law.return_weight;
    return EdgesTo(law.all_indices, rows.AllOf(node), before).degree > 0 ? 1.0 : law.far_weight;
  };
  const auto mass = [&](WalkRow of) {
    if (edges.sums == nullptr) return static_cast<double>(of.degree);
    const double until = of.first > row.first ? edges.sums[of.first - 1] : 0.0;
    return of.degree > 0 ? edges.sums[of.first + of.degree - 1] - until : 0.0;
  };
  const double ceiling = law.far_weight > 1 ? law.far_weight : 1.0;
  const double floor = law.far_weight < 1 ? law.far_weight : 1.0;
  WalkRow back{row.first, 0};
  double extra = 0;  // what is cut off, in units of all proposals
  if (law.return_weight > ceiling) {
    back = EdgesTo(edges.indices, row, before);
    extra = mass(back) * (law.return_weight - ceiling) / (ceiling * mass(row));
  }
  const std::int64_t most = row.degree > 16 ? row.degree : 16;
  for (std::int64_t trial = 0; trial < most; ++trial) {
    const std::uint64_t draw = 2 * static_cast<std::uint64_t>(trial);
    const double y = UnitOf(rng.Bits(draw + 1)) * (1 + extra);
    if (y >= 1 && back.degree > 0) {
      if (edges.sums == nullptr) return DrawEdge(nullptr, back, rng.Bits(draw));
      const double from = back.first > row.first ? edges.sums[back.first - 1] : 0.0;
      const double x = from + UnitOf(rng.Bits(draw)) * mass(back);
      const std::int64_t end = back.first + back.degree;
      const std::int64_t at =
          FirstWhere(back.first, end, [&](std::int64_t i) { return edges.sums[i] > x; });
      return at < end ? at : end - 1;
    }
    const std::int64_t at = DrawEdge(edges.sums, row, rng.Bits(draw));
    const std::int64_t node = edges.indices.Get(at);
    if (node != before && y * ceiling < floor) return at;
    if (y * ceiling < alpha(node)) return at;
  }
  double total = 0;
  for (std::int64_t i = row.first; i < row.first + row.degree; ++i) {
    total += mass({i, 1}) * alpha(edges.indices.Get(i));
  }
  const double x = UnitOf(rng.Bits(2 * static_cast<std::uint64_t>(most))) * total;
  double sum = 0;
  std::int64_t last = row.first;  // rounding may lead past the end
  for (std::int64_t i = row.first; i < row.first + row.degree; ++i) {
    const double part = mass({i, 1}) * alpha(edges.indices.Get(i));
    if (part > 0) last = i;
    sum += part;
    if (sum > x) return i;
  }
  return last;
}

}  // namespace hopflow
