#include "disk_rows/read_queue.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <new>
#include <utility>

#include "core/check.h"

namespace hopflow::cpu {
namespace {

constexpr std::int64_t kPage = 4096;
// Of all buffers of a queue, and of a buffer of one that is kept for the next borrower.
constexpr std::int64_t kMostBytes = 16 << 20;
constexpr std::int64_t kKeptBufferBytes = 128 << 10;

// Queues that nobody uses. A forked child must neither touch its parent's rings nor wait for a lock
// that a thread of its parent holds: it begins with a shelf of its own and leaves the other alone.
struct Shelf {
  pid_t owner = getpid();
  std::mutex mutex;
  std::vector<std::unique_ptr<BorrowedQueue::Lent>> free;
};

Shelf& ThisShelf() {
  static std::atomic<Shelf*> shelf{new Shelf};  // never destroyed: threads may outlive statics
  Shelf* found = shelf.load();
  while (found->owner != getpid()) {
    auto* mine = new Shelf;
    if (shelf.compare_exchange_strong(found, mine)) return *mine;
    delete mine;
  }
  return *found;
}

// kAuto falls back where the kernel gives no ring: it may refuse all of them (an old kernel, a
// container), or one more than there are (of memory that may be locked, or of open files).
std::unique_ptr<ReadQueue> Make(Reader reader) {
  if (reader == Reader::kThreads) return MakeThreadQueue();
  try {
    return MakeUringQueue();
  } catch (const Error&) {
    if (reader == Reader::kIoUring) throw;
    return MakeThreadQueue();
  }
}

// Memory that the kernel may write into while this process forks: a child gets none of it, so that
// no page of it is copied.
std::byte* MapForReads(std::size_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
#ifdef MADV_DONTFORK
  madvise(data, bytes, MADV_DONTFORK);
#endif
  return static_cast<std::byte*>(data);
}

}  // namespace

const char* Name(Reader reader) {
  switch (reader) {
    case Reader::kIoUring:
      return "io_uring";
    case Reader::kThreads:
      return "threads";
    case Reader::kAuto:
      break;
  }
  return "auto";
}

Reader BestReader() {
  try {
    MakeUringQueue();
    return Reader::kIoUring;
  } catch (const Error&) {
    return Reader::kThreads;
  }
}

void UnmapReads::operator()(std::byte* memory) const { munmap(memory, bytes); }

BorrowedQueue::BorrowedQueue(Reader reader, std::int64_t buffer_bytes) {
  {
    Shelf& shelf = ThisShelf();
    const std::lock_guard lock(shelf.mutex);
    for (auto& one : shelf.free) {
      if (reader != Reader::kAuto && one->queue->kind() != reader) continue;
      if (one->buffer_bytes < buffer_bytes) continue;
      std::swap(one, shelf.free.back());
      lent_ = std::move(shelf.free.back());
      shelf.free.pop_back();
      return;
    }
  }
  lent_ = std::make_unique<Lent>();
  lent_->queue = Make(reader);
  lent_->buffer_bytes = (buffer_bytes + kPage - 1) / kPage * kPage;
  const std::int64_t most = std::max<std::int64_t>(2, kMostBytes / lent_->buffer_bytes);
  lent_->depth = static_cast<int>(std::min<std::int64_t>(lent_->queue->depth(), most));
  const auto bytes = static_cast<std::size_t>(lent_->buffer_bytes * lent_->depth);
  lent_->memory = {MapForReads(bytes), UnmapReads{bytes}};
}

BorrowedQueue::~BorrowedQueue() {
  // One with large buffers is not kept: the next that borrows it may need small ones.
  if (lent_ == nullptr || lent_->buffer_bytes > kKeptBufferBytes) return;
  Shelf& shelf = ThisShelf();
  const std::lock_guard lock(shelf.mutex);
  shelf.free.push_back(std::move(lent_));
}

}  // namespace hopflow::cpu
