// The importances of source nodes, found by their ids; several threads fill it at a time.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>

#include "core/buffer_pool.h"
#include "core/check.h"
#include "core/parallel.h"
#include "core/rng.h"

namespace hopflow::cpu {

// Open addressing, at most half full. Where a node lands depends on who came first; what is read by
// its slot does not, as maxima and sums of integers have no order.
template <typename Id>
class SourceTable {
 public:
  // Room for so many distinct nodes.
  explicit SourceTable(std::int64_t most_nodes) {
    capacity_ =
        std::bit_ceil(static_cast<std::uint64_t>(std::max<std::int64_t>(2 * most_nodes, 64)));
    CheckValue(capacity_ <= std::uint64_t{1} << 32, "importance_sampling: ", most_nodes,
               " sources in one hop are more than 2^31; take fewer seeds");
    shift_ = 64 - (std::bit_width(capacity_) - 1);
    const auto size = static_cast<std::int64_t>(capacity_);
    ids_ = Buffer::Of<Id>(size);
    now_ = Buffer::Of<double>(size);
    next_ = Buffer::Of<double>(size);
    ParallelFor(size, kGrain, [&](std::int64_t begin, std::int64_t end) {
      std::fill(ids() + begin, ids() + end, Id{-1});
      std::fill(next() + begin, next() + end, 0.0);
    });
  }

  // The slot of a node, id >= 0, which is there afterwards.
  std::uint32_t Insert(Id id) {
    std::uint64_t slot = (static_cast<std::uint64_t>(id) * kGoldenGamma) >> shift_;
    for (;; slot = (slot + 1) & (capacity_ - 1)) {
      std::atomic_ref<Id> place(ids()[slot]);
      Id there = place.load(std::memory_order_relaxed);
      if (there == id) return static_cast<std::uint32_t>(slot);
      if (there != -1) continue;
      if (place.compare_exchange_strong(there, id, std::memory_order_relaxed) || there == id) {
        return static_cast<std::uint32_t>(slot);
      }
    }
  }

  double Importance(std::uint32_t slot) const { return now_.as<double>()[slot]; }

  // The next importance is at least this.
  void Raise(std::uint32_t slot, double importance) {
    std::atomic_ref<double> place(next()[slot]);
    double there = place.load(std::memory_order_relaxed);
    while (there < importance &&
           !place.compare_exchange_weak(there, importance, std::memory_order_relaxed)) {
    }
  }

  // Makes the next importances those of now and starts others from 0. Returns the expected number
  // of distinct sources, the sum of min(1, importance), in 2^-20.
  std::uint64_t Advance() {
    std::swap(now_, next_);
    std::atomic<std::uint64_t> expected{0};
    ParallelFor(static_cast<std::int64_t>(capacity_), kGrain,
                [&](std::int64_t begin, std::int64_t end) {
                  std::uint64_t sum = 0;
                  for (std::int64_t i = begin; i < end; ++i) {
                    const double p = now_.as<double>()[i];
                    sum += static_cast<std::uint64_t>((p < 1 ? p : 1.0) * 0x1p20);
                    next()[i] = 0;
                  }
                  expected.fetch_add(sum, std::memory_order_relaxed);
                });
    return expected.load();
  }

 private:
  static constexpr std::int64_t kGrain = 1 << 16;
  Id* ids() const { return ids_.template as<Id>(); }
  double* next() const { return next_.as<double>(); }

  std::uint64_t capacity_;
  int shift_;
  Buffer ids_, now_, next_;
};

}  // namespace hopflow::cpu
