// Reads through io_uring, without liburing: three system calls and two rings shared with the
// kernel. Layout and ordering: io_uring(7), io_uring_setup(2), io_uring_enter(2).
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/check.h"
#include "disk_rows/read_queue.h"

#if defined(__linux__) && __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#endif

namespace hopflow::cpu {

#if defined(__linux__) && __has_include(<linux/io_uring.h>) && defined(__NR_io_uring_setup)

namespace {

// Reads in flight for each thread. A disk of 100,000 random reads a second needs about 64 of them,
// and gets no faster beyond 128 (bench_disk_rows.py).
constexpr unsigned kDepth = 128;
// A wait returns once this share of what is in flight is done: a call into the kernel serves many
// reads, and the disk never runs dry.
constexpr unsigned kWaitDivisor = 4;
// How long a kernel that is short of memory is given: five seconds.
constexpr int kMostRefusals = 5000;
constexpr unsigned kRefusalMicroseconds = 1000;

[[noreturn]] void Refuse(const char* call, int error) {
  throw Error(StrCat("io_uring: ", call, ": ", std::strerror(error)));
}

// A file descriptor, or memory shared with the kernel, given back at the end.
class Ring {
 public:
  explicit Ring(int file) : file_(file) {}
  ~Ring() {
    for (const auto& [data, bytes] : maps_) munmap(data, bytes);
    close(file_);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  int file() const { return file_; }
  char* Map(std::size_t bytes, std::uint64_t what) {
    void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file_,
                      static_cast<off_t>(what));
    if (data == MAP_FAILED) Refuse("mmap", errno);
    maps_.emplace_back(data, bytes);
    // A child would share the ring with its parent.
    madvise(data, bytes, MADV_DONTFORK);
    return static_cast<char*>(data);
  }

 private:
  const int file_;
  std::vector<std::pair<void*, std::size_t>> maps_;
};

class UringQueue : public ReadQueue {
 public:
  UringQueue() : ring_(Setup(params_)) {
    RequireRead();
    char* const sq =
        ring_.Map(params_.sq_off.array + params_.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
    char* const cq = ring_.Map(params_.cq_off.cqes + params_.cq_entries * sizeof(io_uring_cqe),
                               IORING_OFF_CQ_RING);
    entries_ = reinterpret_cast<io_uring_sqe*>(
        ring_.Map(params_.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES));
    sq_tail_ = reinterpret_cast<unsigned*>(sq + params_.sq_off.tail);
    sq_mask_ = *reinterpret_cast<unsigned*>(sq + params_.sq_off.ring_mask);
    sq_array_ = reinterpret_cast<unsigned*>(sq + params_.sq_off.array);
    cq_head_ = reinterpret_cast<unsigned*>(cq + params_.cq_off.head);
    cq_tail_ = reinterpret_cast<unsigned*>(cq + params_.cq_off.tail);
    cq_mask_ = *reinterpret_cast<unsigned*>(cq + params_.cq_off.ring_mask);
    completions_ = reinterpret_cast<io_uring_cqe*>(cq + params_.cq_off.cqes);
  }

  int depth() const override { return static_cast<int>(kDepth); }
  Reader kind() const override { return Reader::kIoUring; }

  void Start(int slot, int file, std::int64_t offset, std::int64_t bytes,
             std::byte* buffer) override {
    const unsigned tail = *sq_tail_;  // written by this side alone
    const unsigned at = tail & sq_mask_;
    io_uring_sqe& entry = entries_[at];
    std::memset(&entry, 0, sizeof(entry));
    entry.opcode = IORING_OP_READ;
    entry.fd = file;
    entry.off = static_cast<std::uint64_t>(offset);
    entry.addr = reinterpret_cast<std::uint64_t>(buffer);
    entry.len = static_cast<std::uint32_t>(bytes);
    entry.user_data = static_cast<std::uint64_t>(slot);
    sq_array_[at] = at;
    std::atomic_ref(*sq_tail_).store(tail + 1, std::memory_order_release);
    ++queued_;
  }

  void Wait(std::vector<Done>& done) override {
    const unsigned all = in_flight_ + queued_;
    const unsigned wanted = (all + kWaitDivisor - 1) / kWaitDivisor;
    const unsigned ready = std::atomic_ref(*cq_tail_).load(std::memory_order_acquire) - *cq_head_;
    if (queued_ > 0 || ready < wanted) Enter(ready < wanted ? wanted : 0);
    unsigned head = *cq_head_;
    const unsigned tail = std::atomic_ref(*cq_tail_).load(std::memory_order_acquire);
    for (; head != tail; ++head) {
      const io_uring_cqe& completion = completions_[head & cq_mask_];
      done.push_back({static_cast<int>(completion.user_data), completion.res});
      --in_flight_;
    }
    std::atomic_ref(*cq_head_).store(head, std::memory_order_release);
  }

 private:
  static int Setup(io_uring_params& params) {
    const auto file = static_cast<int>(syscall(__NR_io_uring_setup, kDepth, &params));
    if (file < 0) Refuse("io_uring_setup", errno);
    return file;
  }

  // The first kernels with io_uring cannot read into a plain buffer.
  void RequireRead() const {
    constexpr int kMost = 256;
    alignas(io_uring_probe) char
        memory[sizeof(io_uring_probe) + kMost * sizeof(io_uring_probe_op)] = {};
    auto* const probe = reinterpret_cast<io_uring_probe*>(memory);
    const long asked =
        syscall(__NR_io_uring_register, ring_.file(), IORING_REGISTER_PROBE, probe, kMost);
    if (asked < 0) Refuse("io_uring_register", errno);
    if (probe->last_op < IORING_OP_READ ||
        (probe->ops[IORING_OP_READ].flags & IO_URING_OP_SUPPORTED) == 0) {
      Refuse("IORING_OP_READ", EOPNOTSUPP);
    }
  }

  // Hands over what is queued, and waits until so many are done.
  void Enter(unsigned min_done) {
    int refusals = 0;
    for (;;) {
      const long taken = syscall(__NR_io_uring_enter, ring_.file(), queued_, min_done,
                                 min_done > 0 ? IORING_ENTER_GETEVENTS : 0, nullptr, 0);
      if (taken >= 0) {
        queued_ -= static_cast<unsigned>(taken);
        in_flight_ += static_cast<unsigned>(taken);
        if (queued_ == 0) return;
      } else if (errno != EINTR && errno != EAGAIN && errno != EBUSY) {
        Refuse("io_uring_enter", errno);
      }
      // Short of memory, or interrupted: what is done makes room.
      if (std::atomic_ref(*cq_tail_).load(std::memory_order_acquire) != *cq_head_) return;
      if (taken < 0 && errno != EINTR) {
        if (++refusals > kMostRefusals) Refuse("io_uring_enter", errno);
        usleep(kRefusalMicroseconds);
      }
      min_done = std::min(min_done, in_flight_);
    }
  }

  io_uring_params params_{};
  Ring ring_;
  unsigned queued_ = 0, in_flight_ = 0;
  io_uring_sqe* entries_;
  unsigned *sq_tail_, *sq_array_, *cq_head_, *cq_tail_;
  unsigned sq_mask_, cq_mask_;
  io_uring_cqe* completions_;
};

}  // namespace

std::unique_ptr<ReadQueue> MakeUringQueue() { return std::make_unique<UringQueue>(); }

#else

std::unique_ptr<ReadQueue> MakeUringQueue() {
  throw Error("io_uring: this build of hopflow is without it");
}

#endif

}  // namespace hopflow::cpu
