#include "core/buffer_pool.h"

#include <cstdlib>
#include <iterator>
#include <new>

#ifdef __linux__
#include <pthread.h>
#include <sys/mman.h>
#endif

#include "core/check.h"
#include "core/device.h"

namespace hopflow {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kPage = 4096;
// Below this the system's allocator reuses memory by itself, faster than a search under a lock.
constexpr std::size_t kLeastPooled = std::size_t{1} << 16;
// A free buffer serves a request if at most this share of it is wasted.
constexpr std::size_t kWasteDivisor = 4;

std::size_t RoundUp(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

// What a request is rounded to: whole huge pages if it fills half of one.
std::size_t Granule(std::size_t bytes) { return bytes < kHugePage / 2 ? kLeastPooled : kHugePage; }

void* SystemAllocate(std::size_t bytes) {
  const bool is_huge = bytes % kHugePage == 0;
  // A pooled buffer shares its pages with nobody, so that it can be page-locked by itself.
  const std::size_t alignment = is_huge ? kHugePage : bytes % kPage == 0 ? kPage : kCacheLine;
  void* data = std::aligned_alloc(alignment, bytes);
  if (data == nullptr) throw std::bad_alloc();
#ifdef __linux__
  // A hint: fewer page faults the first time and fewer misses of the address cache ever after.
  if (is_huge) madvise(data, bytes, MADV_HUGEPAGE);
#endif
  return data;
}

}  // namespace

BufferPool::BufferPool() {
#ifdef __linux__
  // A child process must not find the lock held by a thread that it does not have.
  pthread_atfork([] { Get().mutex_.lock(); }, [] { Get().mutex_.unlock(); },
                 [] { Get().mutex_.unlock(); });
#endif
}

BufferPool& BufferPool::Get() {
  static auto* pool = new BufferPool;
  return *pool;
}

void* BufferPool::Allocate(std::size_t bytes) {
  // One byte more, so that an empty array has an address too.
  if (bytes < kLeastPooled) return SystemAllocate(RoundUp(bytes + 1, kCacheLine));
  bytes = RoundUp(bytes, Granule(bytes));
  const std::lock_guard lock(mutex_);
  auto found = free_.lower_bound({bytes, 0});
  if (found != free_.end()) {
    const std::size_t size = found->first.first;
    // Of equal ones the last to come back: it may still be in the cache.
    found = size - bytes > size / kWasteDivisor
                ? free_.end()
                : std::prev(free_.upper_bound({size, num_returns_}));
  }
  std::size_t size = bytes;
  void* data = nullptr;
  if (found != free_.end()) {
    size = found->first.first;
    data = found->second;
    free_sizes_.erase(found->first.second);
    free_.erase(found);
    cached_bytes_ -= size;
  } else {
    data = SystemAllocate(bytes);
  }
  if (pins_) Pin(data, size);
  used_[data] = size;
  used_bytes_ += size;
  return data;
}

void BufferPool::Release(void* data, std::size_t bytes) {
  if (bytes < kLeastPooled) return std::free(data);
  const std::lock_guard lock(mutex_);
  const auto found = used_.find(data);
  const std::size_t size = found->second;
  used_.erase(found);
  used_bytes_ -= size;
  free_.emplace(FreeKey{size, ++num_returns_}, data);
  free_sizes_.emplace(num_returns_, size);
  cached_bytes_ += size;
  Trim();
}

void BufferPool::SetLimit(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  limit_ = bytes;
  Trim();
}

BufferPool::Usage BufferPool::usage() const {
  const std::lock_guard lock(mutex_);
  return {used_bytes_, cached_bytes_, limit_};
}

void BufferPool::SetPinned(bool pinned) {
  const std::lock_guard lock(mutex_);
  pins_ = pinned;
}

void BufferPool::Pin(void* data, std::size_t bytes) {
  if (pinned_.count(data) != 0) return;
  try {
    pinned_[data] = cuda::PinMemory(data, bytes);
  } catch (const Error&) {
    // Without it copies are slower, not wrong; a system that locks no more will lock no more.
    pins_ = false;
  }
}

void BufferPool::Free(void* data) {
  if (const auto found = pinned_.find(data); found != pinned_.end()) {
    cuda::UnpinMemory(found->second, /*wait=*/false);  // whoever copies from it waits for that
    pinned_.erase(found);
  }
  std::free(data);
}

void BufferPool::Trim() {
  while (cached_bytes_ > limit_) {
    const auto oldest = free_sizes_.begin();
    const auto buffer = free_.find({oldest->second, oldest->first});
    cached_bytes_ -= oldest->second;
    Free(buffer->second);
    free_.erase(buffer);
    free_sizes_.erase(oldest);
  }
}

}  // namespace hopflow
