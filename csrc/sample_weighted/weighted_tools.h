// What drawing by weight needs of the CPU: sets of picks, sorting, sums made anew.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "sample/pick_edges.h"
#include "sample_weighted/weighted_picks.h"

namespace hopflow::cpu {

// What PickWeighted asks for; see there.
class WeightedTools {
 public:
  // For a seed that keeps so many edges.
  void Begin(std::int64_t num_picks) { num_picks_ = num_picks; }

  void Forget() {
    if (num_picks_ > kLinearPicks) set_.Reset(num_picks_);
  }
  void Add(std::int64_t edge) {
    if (num_picks_ > kLinearPicks) set_.Insert(edge);
  }
  bool Has(const std::int64_t* picks, std::int64_t first, std::int64_t count,
           std::int64_t edge) const {
    if (num_picks_ > kLinearPicks) return set_.Contains(edge);
    bool has = false;
    for (std::int64_t i = first; i < count; ++i) has |= picks[i] == edge;
    return has;
  }
  void Sort(std::int64_t* values, std::int64_t count) const { std::sort(values, values + count); }

  template <typename W>
  double SumLeft(const WeightedRow<W>& row, const TakenEdges& taken, double scale) {
    left_.clear();
    sums_.clear();
    double sum = 0;
    ForEachLeft(row.degree, taken, [&](std::int64_t edge) {
      sum += static_cast<double>(row.weights[edge]) * scale;
      left_.push_back(edge);
      sums_.push_back(sum);
      return true;
    });
    return sum;
  }
  template <typename W>
  std::int64_t FindLeft(const WeightedRow<W>&, const TakenEdges&, double, double x) const {
    const auto at = std::upper_bound(sums_.begin(), sums_.end(), x) - sums_.begin();
    return left_[std::min<std::size_t>(at, left_.size() - 1)];
  }

 private:
  std::int64_t num_picks_ = 0;
  PickSet set_;
  std::vector<std::int64_t> left_;
  std::vector<double> sums_;
};

}  // namespace hopflow::cpu
