// The nodes of largest personalised PageRank around each seed, by local push.
//
// A walk starts at the seed s. It ends where it is with probability alpha, and else goes on along
// one of the node's in-edges, against its direction, each as likely as its weight says; where there
// is none it ends too. pi_s(t) is the probability that it ends at t. Push (Andersen, Chung, Lang,
// "Local graph partitioning using PageRank vectors", FOCS 2006) keeps scores p and residuals r with
//
//   pi_s(t) = p(t) + sum_v r(v) pi_v(t),
//
// at first p = 0 and r(s) = 1, and while some node v of d(v) in-edges, but at least 1, has
// r(v) >= epsilon d(v), it moves alpha r(v) to p(v), all of r(v) if v has no in-edges, and shares
// out the rest among the residuals at the other ends. At the end therefore
//
//   0 <= pi_s(t) - p(t) <= epsilon sum_v d(v) pi_v(t),
//
// which is epsilon d(t) where edges go both ways and all weigh the same: then d(v) pi_v(t) is
// d(t) pi_t(v), and all pi_t(v) sum to 1.
// A push of v costs d(v) and moves at least alpha epsilon d(v) of the mass, 1 in all, to p: so all
// pushes of a seed cost 1 / (alpha epsilon) at most, whatever the graph's size and k.
//
// A seed with epsilon d(s) > 1 would never be pushed. It has p(s) = alpha then, the bounds still
// hold, and no other node a score.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace hopflow {

template <typename Id, typename W>
struct PprArgs {
  std::int64_t num_nodes;
  std::int64_t num_edges;
  const std::int64_t* indptr;  // [num_nodes + 1]
  const Id* indices;           // [num_edges]
  const W* weights;            // [num_edges], positive; or null: all are 1
  std::int64_t num_excluded;
  const std::int64_t* excluded;  // [num_excluded]: positions of edges that are not there, rising
  std::int64_t num_seeds;
  const std::int64_t* seeds;  // [num_seeds]
  std::int64_t k;
  double alpha;
  double epsilon;
  Id* neighbors;   // [num_seeds, k]: largest score first, of equal ones the smallest id; then -1
  double* scores;  // [num_seeds, k]; 0 behind the last
  std::int64_t* counts;  // [num_seeds]: how many there are
};

namespace cpu {

// Nodes are pushed first in, first out, in float64: the same bits for any number of threads and
// every instruction set. Memory follows the nodes that a seed reaches. Checks every row and edge
// that it reads; throws std::out_of_range for a node outside the graph and std::invalid_argument
// for an indptr that is no CSC index there.
template <typename Id, typename W>
void PprNeighbors(const PprArgs<Id, W>& args);

}  // namespace cpu
}  // namespace hopflow
