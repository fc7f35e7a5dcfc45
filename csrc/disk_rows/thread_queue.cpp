// Reads by threads, each of which waits for one pread(): where there is no io_uring.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "disk_rows/read_queue.h"

namespace hopflow::cpu {
namespace {

// Of each queue; a loader has a queue for each of its threads. 32 in all keep a disk of 100,000
// random reads a second nine tenths busy (bench_disk_rows.py).
constexpr int kThreads = 16;

class ThreadQueue : public ReadQueue {
 public:
  ThreadQueue() {
    // Signals are for the interpreter's own threads.
    sigset_t all, before;
    sigfillset(&all);
    for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&all, own);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      for (int i = 0; i < kThreads; ++i) threads_.emplace_back([this] { Work(); });
    } catch (...) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      Stop();
      throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  ~ThreadQueue() override { Stop(); }

  int depth() const override { return kThreads; }
  Reader kind() const override { return Reader::kThreads; }

  void Start(int slot, int file, std::int64_t offset, std::int64_t bytes,
             std::byte* buffer) override {
    {
      const std::lock_guard lock(mutex_);
      asked_.push_back({slot, file, offset, bytes, buffer});
    }
    work_.notify_one();
  }

  void Wait(std::vector<Done>& done) override {
    std::unique_lock lock(mutex_);
    finished_.wait(lock, [this] { return !done_.empty(); });
    done.insert(done.end(), done_.begin(), done_.end());
    done_.clear();
  }

 private:
  struct Asked {
    int slot, file;
    std::int64_t offset, bytes;
    std::byte* buffer;
  };

  void Work() {
#ifdef __linux__
    pthread_setname_np(pthread_self(), "hopflow-read");
#endif
    std::unique_lock lock(mutex_);
    for (;;) {
      work_.wait(lock, [this] { return is_stopped_ || !asked_.empty(); });
      if (is_stopped_) return;
      const Asked one = asked_.front();
      asked_.pop_front();
      lock.unlock();
      std::int64_t result;
      do {
        result = pread(one.file, one.buffer, static_cast<std::size_t>(one.bytes), one.offset);
      } while (result < 0 && errno == EINTR);
      if (result < 0) result = -errno;
      lock.lock();
      done_.push_back({one.slot, result});
      finished_.notify_one();
    }
  }

  void Stop() {
    {
      const std::lock_guard lock(mutex_);
      is_stopped_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  std::mutex mutex_;  // for all below
  std::condition_variable work_, finished_;
  std::deque<Asked> asked_;
  std::vector<Done> done_;
  bool is_stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<ReadQueue> MakeThreadQueue() { return std::make_unique<ThreadQueue>(); }

}  // namespace hopflow::cpu
