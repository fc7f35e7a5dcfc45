#include <algorithm>
#include <vector>

#include "check.h"
#include "compact.h"
#include "rng.h"

namespace hopflow::cpu {
namespace {

// Ids hashed and prefetched ahead of their insertion.
constexpr std::int64_t kGroup = 32;

// Open addressing with linear probing, at most half full. Doubles as ids arrive, so its size
// follows the distinct ids of the batch and not the (larger) number of edges.
template <typename Id, typename Local>
class IdTable {
 public:
  IdTable(std::int64_t expected, Id* unique_ids) : unique_ids_(unique_ids) {
    std::size_t capacity = 256;
    while (capacity < 2 * static_cast<std::size_t>(expected)) capacity *= 2;
    Allocate(capacity);
  }

  std::int64_t size() const { return size_; }

  void Insert(std::int64_t n, const Id* ids,  // [n]
              Local* local) {                 // [n]
    for (std::int64_t group = 0; group < n; group += kGroup) {
      const std::int64_t end = std::min(group + kGroup, n);
      if (2 * static_cast<std::size_t>(size_ + kGroup) > slots_.size()) Grow();
      std::size_t home[kGroup];
      for (std::int64_t i = group; i < end; ++i) {
        home[i - group] = Home(ids[i]);
        __builtin_prefetch(&slots_[home[i - group]]);
      }
      for (std::int64_t i = group; i < end; ++i) local[i] = FindOrAdd(ids[i], home[i - group]);
    }
  }

 private:
  struct Slot {
    Id id;  // -1: empty; negative ids never get here
    Local local;
  };

  std::size_t Home(Id id) const {
    return (static_cast<std::uint64_t>(id) * kGoldenGamma) >> shift_;
  }

  Local FindOrAdd(Id id, std::size_t slot) {
    CheckIndex(id >= 0, "ids: expected ids >= 0, got ", id);
    while (slots_[slot].id != id) {
      if (slots_[slot].id == -1) {
        slots_[slot] = {id, static_cast<Local>(size_)};
        unique_ids_[size_++] = id;
        break;
      }
      slot = (slot + 1) & (slots_.size() - 1);
    }
    return slots_[slot].local;
  }

  void Allocate(std::size_t capacity) {
    slots_.assign(capacity, Slot{-1, -1});
    shift_ = 64;
    while (capacity > 1) {
      capacity /= 2;
      --shift_;
    }
  }

  void Grow() {
    Allocate(slots_.size() * 2);
    for (std::int64_t i = 0; i < size_; ++i) {
      std::size_t slot = Home(unique_ids_[i]);
      while (slots_[slot].id != -1) slot = (slot + 1) & (slots_.size() - 1);
      slots_[slot] = {unique_ids_[i], static_cast<Local>(i)};
    }
  }

  Id* unique_ids_;
  std::int64_t size_ = 0;
  std::vector<Slot> slots_;
  int shift_ = 0;
};

}  // namespace

template <typename Id, typename Local>
CompactSizes CompactIds(std::int64_t num_seeds, std::int64_t num_neighbors, const Id* seeds,
                        const Id* neighbors, Id* unique_ids, Local* local_seeds,
                        Local* local_neighbors) {
  // Sampled neighbours repeat; half of them being new is a middle guess, and the table can grow.
  IdTable<Id, Local> table(num_seeds + num_neighbors / 2, unique_ids);
  table.Insert(num_seeds, seeds, local_seeds);
  const std::int64_t num_unique_seeds = table.size();
  table.Insert(num_neighbors, neighbors, local_neighbors);
  return {table.size(), num_unique_seeds};
}

#define HOPFLOW_INSTANTIATE(Id, Local)                                                          \
  template CompactSizes CompactIds<Id, Local>(std::int64_t, std::int64_t, const Id*, const Id*, \
                                              Id*, Local*, Local*);
HOPFLOW_INSTANTIATE(std::int32_t, std::int32_t)
HOPFLOW_INSTANTIATE(std::int32_t, std::int64_t)
HOPFLOW_INSTANTIATE(std::int64_t, std::int32_t)
HOPFLOW_INSTANTIATE(std::int64_t, std::int64_t)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
