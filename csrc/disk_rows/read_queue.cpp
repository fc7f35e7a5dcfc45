#include "disk_rows/read_queue.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>

#include "core/check.h"

namespace hopflow::cpu {
namespace {

constexpr std::int64_t kPage = 4096;

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

std::unique_ptr<ReadQueue> Make(Reader reader) {
  return reader == Reader::kIoUring ? MakeUringQueue() : MakeThreadQueue();
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
  static const Reader best = [] {
    try {
      MakeUringQueue();
      return Reader::kIoUring;
    } catch (const Error&) {
      return Reader::kThreads;  // an old kernel, or a container that does not let us
    }
  }();
  return best;
}

void BorrowedQueue::Lent::Free::operator()(std::byte* memory) const { std::free(memory); }

BorrowedQueue::BorrowedQueue(Reader reader, std::int64_t buffer_bytes) {
  if (reader == Reader::kAuto) reader = BestReader();
  {
    Shelf& shelf = ThisShelf();
    const std::lock_guard lock(shelf.mutex);
    for (auto& one : shelf.free) {
      if (one->queue->kind() != reader || one->buffer_bytes < buffer_bytes) continue;
      std::swap(one, shelf.free.back());
      lent_ = std::move(shelf.free.back());
      shelf.free.pop_back();
      return;
    }
  }
  lent_ = std::make_unique<Lent>();
  lent_->queue = Make(reader);
  lent_->buffer_bytes = (buffer_bytes + kPage - 1) / kPage * kPage;
  const auto bytes = static_cast<std::size_t>(lent_->buffer_bytes * lent_->queue->depth());
  lent_->memory.reset(static_cast<std::byte*>(std::aligned_alloc(kPage, bytes)));
  if (lent_->memory == nullptr) throw std::bad_alloc();
}

BorrowedQueue::~BorrowedQueue() {
  if (lent_ == nullptr) return;
  Shelf& shelf = ThisShelf();
  const std::lock_guard lock(shelf.mutex);
  shelf.free.push_back(std::move(lent_));
}

}  // namespace hopflow::cpu
