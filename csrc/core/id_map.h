// Maps from node ids to their numbers in a batch, in order of first appearance. Two kinds with one
// face: IdTable hashes, its size follows the batch; DirectMap has a slot for every node and no
// collisions, for graphs whose slots stay near the processor.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "core/buffer_pool.h"
#include "core/prefetch.h"
#include "core/rng.h"

namespace hopflow::cpu {

// The distinct ids of a batch, in memory of the caller's.
template <typename Id>
struct IdList {
  Id* data;  // the maps write data[size] before they know whether an id is new
  std::int64_t size;
};

// Open addressing with linear probing, at most half full. Doubles as ids arrive, so its size
// follows the distinct ids of the batch and not the (larger) number of edges. Ids are >= 0.
template <typename Id, typename Local>
class IdTable {
 public:
  explicit IdTable(std::int64_t expected) {
    std::size_t capacity = 256;
    while (capacity < 2 * static_cast<std::size_t>(expected)) capacity *= 2;
    Allocate(capacity);
  }

  // Forgets the ids of the batch.
  void Clear() { std::fill_n(slots(), capacity_, Slot{-1, -1}); }

  void Reserve(std::int64_t, const IdList<Id>&) {}  // grows by itself

  // Gives local[i] the number of ids[i]; new ones are appended to `unique`.
  void Insert(std::int64_t n, const Id* ids,       // [n]
              IdList<Id>& unique, Local* local) {  // [n]
    constexpr std::int64_t kGroup = 64;            // hashed and prefetched ahead of their insertion
    for (std::int64_t group = 0; group < n; group += kGroup) {
      const std::int64_t end = std::min(group + kGroup, n);
      if (2 * static_cast<std::size_t>(unique.size + kGroup) > capacity_) Grow(unique);
      Slot* const slots = this->slots();
      std::size_t home[kGroup];
      for (std::int64_t i = group; i < end; ++i) {
        home[i - group] = Home(ids[i]);
        Prefetch(slots + home[i - group]);
      }
      std::int64_t size = unique.size;
      for (std::int64_t i = group; i < end; ++i) {
        const Id id = ids[i];
        std::size_t slot = home[i - group];
        while (slots[slot].id != id && slots[slot].id != -1) {
          slot = (slot + 1) & (capacity_ - 1);
        }
        const bool is_new = slots[slot].id == -1;
        const Local number = is_new ? static_cast<Local>(size) : slots[slot].local;
        slots[slot] = {id, number};
        unique.data[size] = id;
        size += is_new;
        local[i] = number;
      }
      unique.size = size;
    }
  }

  // Gives local[i] the number of ids[i], -1 where there is none. Several threads may.
  void Find(std::int64_t n, const Id* ids,  // [n]
            Local* local) const {           // [n]
    constexpr std::int64_t kGroup = 64;
    const Slot* const slots = this->slots();
    for (std::int64_t group = 0; group < n; group += kGroup) {
      const std::int64_t end = std::min(group + kGroup, n);
      std::size_t home[kGroup];
      for (std::int64_t i = group; i < end; ++i) {
        home[i - group] = Home(ids[i]);
        Prefetch(slots + home[i - group]);
      }
      for (std::int64_t i = group; i < end; ++i) {
        std::size_t slot = home[i - group];
        while (slots[slot].id != ids[i] && slots[slot].id != -1) {
          slot = (slot + 1) & (capacity_ - 1);
        }
        local[i] = slots[slot].id == ids[i] ? slots[slot].local : -1;
      }
    }
  }

 private:
  struct Slot {
    Id id;  // -1: empty
    Local local;
  };

  Slot* slots() const { return slots_.template as<Slot>(); }

  std::size_t Home(Id id) const {
    return (static_cast<std::uint64_t>(id) * kGoldenGamma) >> shift_;
  }

  void Allocate(std::size_t capacity) {
    // From the pool: fresh pages would cost more than the ids.
    slots_ = Buffer::Of<Slot>(static_cast<std::int64_t>(capacity));
    capacity_ = capacity;
    Clear();
    shift_ = 64 - (std::bit_width(capacity) - 1);
  }

  void Grow(const IdList<Id>& unique) {
    Allocate(capacity_ * 2);
    Slot* const slots = this->slots();
    for (std::int64_t i = 0; i < unique.size; ++i) {
      std::size_t slot = Home(unique.data[i]);
      while (slots[slot].id != -1) slot = (slot + 1) & (capacity_ - 1);
      slots[slot] = {unique.data[i], static_cast<Local>(i)};
    }
  }

  Buffer slots_;  // [capacity]
  std::size_t capacity_ = 0;
  int shift_ = 0;
};

struct FreeZeros {
  void operator()(std::uint32_t* data) const { std::free(data); }
};

// Zeros that cost nothing until they are touched: nodes that no batch reaches are free.
inline std::unique_ptr<std::uint32_t[], FreeZeros> AllocateZeros(std::int64_t count) {
  void* data = std::calloc(static_cast<std::size_t>(count) + 1, sizeof(std::uint32_t));
  if (data == nullptr) throw std::bad_alloc();
  return std::unique_ptr<std::uint32_t[], FreeZeros>(static_cast<std::uint32_t*>(data));
}

// One 32-bit slot a node: the number of the batch that wrote it (the stamp) above the node's number
// in that batch. An old stamp reads as empty, so nothing is reset between batches; the slots are
// cleared once in 2^(stamp bits) batches.
template <typename Id>
class DirectMap {
 public:
  explicit DirectMap(std::int64_t num_nodes)
      : num_nodes_(num_nodes),
        slots_(AllocateZeros(num_nodes)),
        // Batches of a million nodes leave stamps for 4095 of them.
        local_bits_(std::clamp<int>(std::bit_width(static_cast<std::uint64_t>(num_nodes)), 1, 20)) {
  }

  void Clear() {
    if (++stamp_ >> (32 - local_bits_) != 0) ClearSlots();
  }

  // Makes room for so many ids in this batch.
  void Reserve(std::int64_t most, const IdList<Id>& unique) {
    const int bits = std::bit_width(static_cast<std::uint64_t>(std::min(most, num_nodes_)));
    if (bits <= local_bits_) return;
    local_bits_ = bits;
    ClearSlots();
    for (std::int64_t i = 0; i < unique.size; ++i) slots()[unique.data[i]] = Stamped(i);
  }

  // Gives local[i] the number of ids[i], in [0, num_nodes); new ones are appended to `unique`.
  void Insert(std::int64_t n, const Id* ids,              // [n]
              IdList<Id>& unique, std::int32_t* local) {  // [n]
    constexpr std::int64_t kAhead = 32;
    std::uint32_t* const slots = this->slots();
    Id* const unique_ids = unique.data;
    const std::uint32_t mask = (std::uint32_t{1} << local_bits_) - 1;
    const std::uint32_t stamp = stamp_ << local_bits_;
    auto size = static_cast<std::uint32_t>(unique.size);
    for (std::int64_t i = 0; i < std::min(kAhead, n); ++i) Prefetch(slots + ids[i]);
    for (std::int64_t i = 0; i < n; ++i) {
      if (i + kAhead < n) Prefetch(slots + ids[i + kAhead]);
      const Id id = ids[i];
      const std::uint32_t slot = slots[id];
      const bool is_new = (slot & ~mask) != stamp;
      // Whether an id is new is a coin toss to the branch predictor, and of `is_new ? a : b` the
      // compiler makes a branch.
      const std::uint32_t old = slot & mask;
      const std::uint32_t number = old ^ ((old ^ size) & -static_cast<std::uint32_t>(is_new));
      slots[id] = stamp | number;
      unique_ids[size] = id;
      size += is_new;
      local[i] = static_cast<std::int32_t>(number);
    }
    unique.size = size;
  }

 private:
  std::uint32_t* slots() const { return slots_.get(); }
  std::uint32_t Stamped(std::int64_t number) const {
    return stamp_ << local_bits_ | static_cast<std::uint32_t>(number);
  }
  void ClearSlots() {
    std::memset(slots(), 0, num_nodes_ * sizeof(std::uint32_t));
    stamp_ = 1;
  }

  std::int64_t num_nodes_;
  std::unique_ptr<std::uint32_t[], FreeZeros> slots_;  // [num_nodes]
  int local_bits_;
  std::uint32_t stamp_ = 0;
};

}  // namespace hopflow::cpu
