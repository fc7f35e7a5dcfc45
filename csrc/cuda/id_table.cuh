// The distinct ids of a batch on the device, numbered in order of first appearance: IdTable of
// id_map.h for threads that insert side by side.
//
// Every id of a stretch is inserted at once; a slot remembers the first place of the stretch where
// its id stands (Mark). A scan over the places that are the first of their id then gives the new
// ids their numbers, in the order of the places (Number), and all places read theirs (Lookup). So
// the numbers depend on the ids alone, not on which thread comes first.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/rng.h"
#include "cuda/launch.cuh"
#include "cuda/scan_sort.cuh"

namespace hopflow::cuda {

template <typename T>
__device__ inline T CompareAndSwap(T* at, T expected, T value) {
  using Word = std::conditional_t<sizeof(T) == 8, unsigned long long, unsigned int>;
  return static_cast<T>(atomicCAS(reinterpret_cast<Word*>(at), static_cast<Word>(expected),
                                  static_cast<Word>(value)));
}

// Open addressing with linear probing, at most half full. Ids are >= 0.
template <typename Id>
struct DeviceIdTable {
  Id* keys;               // [capacity], -1: empty
  std::uint32_t* values;  // [capacity], a number; or kPlace + the first place of a new id
  std::int64_t capacity;  // a power of two
  int shift;

  static constexpr std::uint32_t kPlace = std::uint32_t{1} << 31;

  __device__ std::uint32_t Insert(Id id) const {
    const auto mask = static_cast<std::uint32_t>(capacity - 1);
    auto slot =
        static_cast<std::uint32_t>((static_cast<std::uint64_t>(id) * kGoldenGamma) >> shift);
    for (;;) {
      // Read first: popular ids would otherwise queue up for the same word.
      if (*const_cast<const volatile Id*>(keys + slot) == id) return slot;
      const Id before = CompareAndSwap<Id>(keys + slot, -1, id);
      if (before == -1 || before == id) return slot;
      slot = (slot + 1) & mask;
    }
  }

  // The number of an id, -1 where it has none. No thread may insert meanwhile.
  __device__ std::int64_t Find(Id id) const {
    const auto mask = static_cast<std::uint32_t>(capacity - 1);
    auto slot =
        static_cast<std::uint32_t>((static_cast<std::uint64_t>(id) * kGoldenGamma) >> shift);
    for (;;) {
      if (keys[slot] == id) return values[slot];
      if (keys[slot] == -1) return -1;
      slot = (slot + 1) & mask;
    }
  }

  // Inserts the id that stands at `place`, below 2^31, and returns its slot.
  __device__ std::uint32_t Mark(Id id, std::uint32_t place) const {
    const std::uint32_t slot = Insert(id);
    // Numbers are below every kPlace, so an id that has one keeps it. Values only ever fall: what
    // is low enough already need not be written.
    if (*const_cast<const volatile std::uint32_t*>(values + slot) > kPlace + place) {
      atomicMin(values + slot, kPlace + place);
    }
    return slot;
  }

  __device__ bool IsFirst(std::uint32_t slot, std::uint32_t place) const {
    return values[slot] == kPlace + place;
  }
};

// Enough slots for so many distinct ids, all empty.
template <typename Id>
DeviceIdTable<Id> NewIdTable(std::int64_t most_ids, Workspace& work) {
  std::int64_t capacity = 256;
  int bits = 8;
  while (capacity < 2 * most_ids) {
    capacity *= 2;
    ++bits;
  }
  const DeviceIdTable<Id> table{work.Of<Id>(capacity), work.Of<std::uint32_t>(capacity), capacity,
                                64 - bits};
  Zero(table.keys, capacity * sizeof(Id), work, 0xff);  // -1
  Zero(table.values, capacity * sizeof(std::uint32_t), work, 0xff);
  return table;
}

// is_first[p] = 1 where place p is the first of a new id. Places at and after *num_places get 0.
template <typename Id>
__global__ void __launch_bounds__(kBlock)
    FirstPlacesKernel(DeviceIdTable<Id> table, std::int64_t most_places,
                      const std::int64_t* num_places,
                      const std::uint32_t* slots,  // [most_places]
                      std::uint32_t* is_first) {   // [most_places + 1]
  const std::int64_t p = ThreadIndex();
  if (p > most_places) return;
  is_first[p] = p < *num_places && table.IsFirst(slots[p], static_cast<std::uint32_t>(p));
}

// Numbers new ids from *num_ids on, in the order of their first places, and appends them.
template <typename Id>
__global__ void __launch_bounds__(kBlock)
    NumberKernel(DeviceIdTable<Id> table, std::int64_t most_places, const std::int64_t* num_places,
                 const std::uint32_t* slots,       // [most_places]
                 const std::uint32_t* num_before,  // [most_places + 1], first places before
                 const std::int64_t* num_ids, Id* ids, std::int64_t* new_num_ids) {
  const std::int64_t p = ThreadIndex();
  if (p == 0) *new_num_ids = *num_ids + num_before[most_places];
  if (p >= *num_places) return;
  const std::uint32_t slot = slots[p];
  if (!table.IsFirst(slot, static_cast<std::uint32_t>(p))) return;
  const std::int64_t number = *num_ids + num_before[p];
  ids[number] = table.keys[slot];
  table.values[slot] = static_cast<std::uint32_t>(number);
}

template <typename Id, typename Local>
__global__ void __launch_bounds__(kBlock)
    LookupKernel(DeviceIdTable<Id> table, const std::int64_t* num_places,
                 const std::uint32_t* slots,  // [*num_places]
                 Local* local) {              // [*num_places]
  const std::int64_t p = ThreadIndex();
  if (p < *num_places) local[p] = static_cast<Local>(table.values[slots[p]]);
}

// What follows once the ids of a stretch are marked: new ids are numbered from *num_ids on and
// appended to `ids`, *new_num_ids counts all, and `local` gets the number of every place.
template <typename Id, typename Local>
void NumberMarked(const DeviceIdTable<Id>& table, std::int64_t most_places,
                  const std::int64_t* num_places,
                  const std::uint32_t* slots,  // [most_places]
                  const std::int64_t* num_ids,
                  Id* ids,  // [all ids]
                  std::int64_t* new_num_ids,
                  Local* local,  // [most_places]
                  Workspace& work) {
  auto* const before = work.Of<std::uint32_t>(most_places + 1);
  Launch("find new ids", work, most_places + 1, FirstPlacesKernel<Id>, table, most_places,
         num_places, slots, before);
  ExclusiveSum(before, most_places + 1, work);
  Launch("number new ids", work, most_places + 1, NumberKernel<Id>, table, most_places, num_places,
         slots, before, num_ids, ids, new_num_ids);
  Launch("look up numbers", work, most_places, LookupKernel<Id, Local>, table, num_places, slots,
         local);
}

}  // namespace hopflow::cuda
