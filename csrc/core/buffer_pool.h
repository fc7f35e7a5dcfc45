// Reused host memory for results. A fresh allocation of tens of megabytes is paid for in page
// faults, up to ten times the cost of filling it; a buffer that has been touched before is not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace hopflow {

class BufferPool {
 public:
  // The pool of this process; never destroyed, since tensors may outlive every static object.
  static BufferPool& Get();

  // At least `bytes` of memory, aligned to a cache line (a huge page if large), contents
  // unspecified. Throws std::bad_alloc.
  void* Allocate(std::size_t bytes);

  // Takes back what Allocate(bytes) returned, from any thread.
  void Release(void* data, std::size_t bytes);

  // Bytes kept for reuse at most; what exceeds it is returned to the system, the longest unused
  // first.
  void SetLimit(std::size_t bytes);

  // Page-locks what is handed out from now on, as far as the system allows, so that copies to a GPU
  // run beside other work.
  void SetPinned(bool pinned);

  struct Usage {
    std::size_t used;    // bytes handed out
    std::size_t cached;  // bytes kept for reuse
    std::size_t limit;
  };
  Usage usage() const;

 private:
  BufferPool();
  void Trim();
  void Pin(void* data, std::size_t bytes);
  void Free(void* data);

  // By size and, among equals, by the time of their return, counted in returns.
  using FreeKey = std::pair<std::size_t, std::uint64_t>;

  mutable std::mutex mutex_;
  std::map<FreeKey, void*> free_;
  std::map<std::uint64_t, std::size_t> free_sizes_;  // size of each, by the time of its return
  std::uint64_t num_returns_ = 0;
  std::map<void*, std::size_t> used_;
  std::map<void*, std::uintptr_t> pinned_;  // what cuda::PinMemory returned
  bool pins_ = false;
  std::size_t used_bytes_ = 0;
  std::size_t cached_bytes_ = 0;
  std::size_t limit_ = std::size_t{1} << 30;
};

// An array from the pool. Contents start unspecified.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t bytes) : data_(BufferPool::Get().Allocate(bytes)), bytes_(bytes) {}
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) BufferPool::Get().Release(data_, bytes_);
  }

  template <typename T>
  static Buffer Of(std::int64_t count) {
    return Buffer(static_cast<std::size_t>(count) * sizeof(T));
  }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace hopflow
