#include "disk_rows/row_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <mutex>
#include <new>

#include "core/buffer_pool.h"
#include "core/check.h"
#include "core/dtype.h"
#include "core/parallel.h"
#include "core/prefetch.h"

namespace hopflow::cpu {
namespace {

// As in gather_cpu.cpp: rows ahead of the copy whose cache lines are asked for.
constexpr std::int64_t kPrefetchRows = 16;
constexpr std::int64_t kCacheLine = 64;
constexpr std::int64_t kPrefetchLines = 16;
constexpr std::int64_t kGrainRows = 1 << 11;

constexpr std::int32_t kNoSlot = -1;
constexpr std::int64_t kNobody = -1;

}  // namespace

ZeroedMemory::ZeroedMemory(std::int64_t bytes) : bytes_(static_cast<std::size_t>(bytes)) {
  if (bytes_ == 0) return;
  data_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
               -1, 0);
  if (data_ == MAP_FAILED) {
    data_ = nullptr;
    throw std::bad_alloc();
  }
#ifdef MADV_HUGEPAGE
  madvise(data_, bytes_, MADV_HUGEPAGE);
#endif
}

ZeroedMemory::~ZeroedMemory() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

RowCache::RowCache(std::int64_t num_rows, std::int64_t row_bytes, std::int64_t capacity)
    : num_rows_(num_rows),
      row_bytes_(row_bytes),
      capacity_(std::min(
          {capacity, num_rows, std::int64_t{std::numeric_limits<std::int32_t>::max() - 1}})),
      slots_(capacity_ > 0 ? num_rows * 4 : 0),
      owners_(capacity_ * 8),
      marks_(capacity_),
      rows_(capacity_ * row_bytes) {}

template <typename Id>
void RowCache::Take(std::int64_t num_ids, const Id* ids, void* out,
                    std::vector<WantedRow>& missing) {
  const Buffer found = Buffer::Of<std::int32_t>(num_ids);
  auto* const slot_of = found.as<std::int32_t>();
  auto* const to = static_cast<std::byte*>(out);
  const std::int64_t lines = std::min(row_bytes_, kPrefetchLines * kCacheLine);
  const std::shared_lock lock(mutex_);
  const auto* const slots = slots_.as<std::int32_t>();
  auto* const marks = marks_.as<std::uint8_t>();
  ParallelFor(num_ids, kGrainRows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      if (i + kPrefetchRows < end) Prefetch(slots + ids[i + kPrefetchRows]);
      slot_of[i] = slots[ids[i]] - 1;
    }
    for (std::int64_t i = begin; i < end; ++i) {
      if (i + kPrefetchRows < end && slot_of[i + kPrefetchRows] != kNoSlot) {
        const std::byte* const next = Row(slot_of[i + kPrefetchRows]);
        for (std::int64_t byte = 0; byte < lines; byte += kCacheLine) Prefetch(next + byte);
        Prefetch(marks + slot_of[i + kPrefetchRows]);
      }
      const std::int32_t slot = slot_of[i];
      if (slot == kNoSlot) continue;
      const std::atomic_ref mark(marks[slot]);
      if (is_fixed_) {
        if (mark.load(std::memory_order_relaxed) == 0) {
          slot_of[i] = kNoSlot;
          continue;
        }
      } else if (mark.load(std::memory_order_relaxed) == 0) {
        mark.store(1, std::memory_order_relaxed);
      }
      std::memcpy(to + i * row_bytes_, Row(slot), static_cast<std::size_t>(row_bytes_));
    }
  });
  for (std::int64_t i = 0; i < num_ids; ++i) {
    if (slot_of[i] == kNoSlot) missing.push_back({ids[i], i});
  }
}

std::int64_t RowCache::FreeSlot() {
  if (size_ < capacity_) return size_++;
  auto* const marks = marks_.as<std::uint8_t>();
  for (;;) {
    const std::int64_t slot = hand_;
    hand_ = hand_ + 1 == capacity_ ? 0 : hand_ + 1;
    if (marks[slot] == 0) {
      const std::int64_t owner = owners_.as<std::int64_t>()[slot];
      if (owner != kNobody) slots_.as<std::int32_t>()[owner] = 0;
      return slot;
    }
    marks[slot] = 0;
  }
}

void RowCache::Put(const std::vector<WantedRow>& rows, const void* out, std::uint64_t version) {
  if (capacity_ == 0) return;
  const std::lock_guard lock(mutex_);
  if (version_ != version || version % 2 != 0) return;
  auto* const slots = slots_.as<std::int32_t>();
  auto* const marks = marks_.as<std::uint8_t>();
  const auto* const from = static_cast<const std::byte*>(out);
  const auto count = static_cast<std::int64_t>(rows.size());
  for (std::int64_t i = 0; i < count; ++i) {
    if (i + kPrefetchRows < count) Prefetch(slots + rows[i + kPrefetchRows].row);
    const auto [row, place] = rows[i];
    std::int64_t slot = slots[row] - 1;
    if (is_fixed_) {
      if (slot == kNoSlot || marks[slot] != 0) continue;
      marks[slot] = 1;
      ++size_;
    } else {
      if (slot != kNoSlot) continue;  // brought by another thread meanwhile, or wanted twice
      slot = FreeSlot();
      owners_.as<std::int64_t>()[slot] = row;
      slots[row] = static_cast<std::int32_t>(slot) + 1;
    }
    std::memcpy(Row(slot), from + place * row_bytes_, static_cast<std::size_t>(row_bytes_));
  }
}

void RowCache::Drop(std::int64_t row) {
  if (capacity_ == 0) return;
  const std::lock_guard lock(mutex_);
  const std::int64_t slot = slots_.as<std::int32_t>()[row] - 1;
  if (slot == kNoSlot) return;
  auto& mark = marks_.as<std::uint8_t>()[slot];
  if (is_fixed_) {
    size_ -= mark;
    mark = 0;
    return;
  }
  // Its slot stays taken, by a row that nobody finds, until the hand comes by.
  slots_.as<std::int32_t>()[row] = 0;
  owners_.as<std::int64_t>()[slot] = kNobody;
  mark = 0;
}

template <typename Id>
void RowCache::EndWrite(std::int64_t num_ids, const Id* ids, const void* rows) {
  const std::lock_guard lock(mutex_);
  const auto* const slots = slots_.as<std::int32_t>();
  const auto* const marks = marks_.as<std::uint8_t>();
  const auto* const from = static_cast<const std::byte*>(rows);
  for (std::int64_t i = 0; i < num_ids && capacity_ > 0; ++i) {
    const std::int64_t slot = slots[ids[i]] - 1;
    if (slot == kNoSlot || (is_fixed_ && marks[slot] == 0)) continue;
    std::memcpy(Row(slot), from + i * row_bytes_, static_cast<std::size_t>(row_bytes_));
  }
  ++version_;
}

template <typename Id>
void RowCache::Keep(std::int64_t num_ids, const Id* ids) {
  CheckValue(num_ids <= capacity_, "ids: the cache has room for ", capacity_, " rows, got ",
             num_ids);
  if (capacity_ == 0) return;
  const std::lock_guard lock(mutex_);
  auto* const slots = slots_.as<std::int32_t>();
  std::memset(slots, 0, static_cast<std::size_t>(num_rows_) * 4);
  std::memset(marks_.as<std::uint8_t>(), 0, static_cast<std::size_t>(capacity_));
  size_ = hand_ = 0;
  is_fixed_ = true;
  for (std::int64_t i = 0; i < num_ids; ++i) slots[ids[i]] = static_cast<std::int32_t>(i) + 1;
}

std::int64_t RowCache::size() const {
  const std::shared_lock lock(mutex_);
  return size_;
}

#define HOPFLOW_INSTANTIATE(Id)                                                          \
  template void RowCache::Take(std::int64_t, const Id*, void*, std::vector<WantedRow>&); \
  template void RowCache::EndWrite(std::int64_t, const Id*, const void*);                \
  template void RowCache::Keep(std::int64_t, const Id*);
HOPFLOW_FOR_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
