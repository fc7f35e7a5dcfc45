// Many reads of a file in flight at once, begun and awaited by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace hopflow::cpu {

// How reads are kept in flight.
enum class Reader : std::uint8_t {
  kAuto,     // io_uring where the kernel lets us, else threads
  kIoUring,  // the kernel works off a ring of requests
  kThreads,  // threads that each wait for one pread()
};

const char* Name(Reader reader);

class ReadQueue {
 public:
  struct Done {
    int slot;
    std::int64_t result;  // bytes read, or an errno value below 0
  };

  virtual ~ReadQueue() = default;

  // Reads that may be in flight at once: slots 0 to depth - 1.
  virtual int depth() const = 0;
  // Which it is; never kAuto.
  virtual Reader kind() const = 0;

  // Begins a read at the next Wait(), or before. The slot is free, and the buffer stays in place
  // until its read is Done.
  virtual void Start(int slot, int file, std::int64_t offset, std::int64_t bytes,
                     std::byte* buffer) = 0;
  // Waits until a read is done, of those in flight; appends all that are. Throws Error if the
  // system refuses to work at all.
  virtual void Wait(std::vector<Done>& done) = 0;
};

// Throws Error where the kernel refuses, for any reason.
std::unique_ptr<ReadQueue> MakeUringQueue();
std::unique_ptr<ReadQueue> MakeThreadQueue();

// Gives back memory that reads were written into.
struct UnmapReads {
  std::size_t bytes = 0;
  void operator()(std::byte* memory) const;
};

// A queue with a buffer for each slot, borrowed from those that this process keeps: a ring and
// its memory take longer to make than a batch takes to read.
class BorrowedQueue {
 public:
  // Throws Error if `reader` is kIoUring and the kernel does not let us.
  BorrowedQueue(Reader reader, std::int64_t buffer_bytes);
  // Nothing may be in flight, unless it was abandoned.
  ~BorrowedQueue();
  BorrowedQueue(const BorrowedQueue&) = delete;
  BorrowedQueue& operator=(const BorrowedQueue&) = delete;

  ReadQueue& operator*() const { return *lent_->queue; }
  ReadQueue* operator->() const { return lent_->queue.get(); }
  // Slots that have a buffer: all of the queue's, or fewer where buffers are large.
  int depth() const { return lent_->depth; }
  // Of a slot: aligned to a page, of the bytes asked for at least.
  std::byte* buffer(int slot) const { return lent_->memory.get() + slot * lent_->buffer_bytes; }

  // Gives up the queue and its memory, into which reads may still be written.
  void Abandon() { static_cast<void>(lent_.release()); }

  struct Lent {
    std::unique_ptr<std::byte, UnmapReads> memory;
    std::int64_t buffer_bytes = 0;
    int depth = 0;
    std::unique_ptr<ReadQueue> queue;
  };

 private:
  std::unique_ptr<Lent> lent_;
};

// The kind that kAuto stands for on this machine.
Reader BestReader();

}  // namespace hopflow::cpu
