// Reused host memory for results. A fresh allocation of tens of megabytes is paid for in page
// faults, up to ten times the cost of filling it; a buffer that has been touched before is not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace hopflow {

class BufferPool {
 public:
  // The pool of this process; never destroyed, since tensors may outlive every static object.
  static BufferPool& Get();

  // At least `bytes` of memory, aligned to a huge page, contents unspecified. Throws
  // std::bad_alloc.
  void* Allocate(std::size_t bytes);

  // Takes back what Allocate returned, from any thread.
  void Release(void* data);

  // Bytes kept for reuse at most; what exceeds it is returned to the system, the largest first.
  void SetLimit(std::size_t bytes);

  struct Usage {
    std::size_t used;    // bytes handed out
    std::size_t cached;  // bytes kept for reuse
    std::size_t limit;
  };
  Usage usage() const;

 private:
  void Trim();

  mutable std::mutex mutex_;
  std::multimap<std::size_t, void*> free_;  // by size
  std::map<void*, std::size_t> used_;
  std::size_t used_bytes_ = 0;
  std::size_t cached_bytes_ = 0;
  std::size_t limit_ = std::size_t{1} << 30;
};

}  // namespace hopflow
