#include "loader/batch_loader.h"

#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "core/check.h"

namespace hopflow {

class BatchLoader::Impl {
 public:
  Impl(LoaderPlan plan, std::vector<std::unique_ptr<cpu::BlocksScratch>> scratch)
      : plan_(std::move(plan)),
        scratch_(std::move(scratch)),
        slots_(static_cast<std::size_t>(std::max<std::int64_t>(1, plan_.capacity))),
        requests_(std::make_shared<Requests>()) {
    // Signals are for the interpreter's own threads, but for those that a thread brings on itself:
    // Python's faulthandler reports them.
    sigset_t all, before;
    sigfillset(&all);
    for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&all, own);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      const auto workers = std::min<std::int64_t>(plan_.num_workers, NumPlaces());
      for (std::int64_t w = 0; w < workers; ++w) {
        threads_.emplace_back([this, scratch = scratch_[w].get()] { Work(*scratch); });
      }
    } catch (...) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      Stop();
      throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  bool is_here() const { return owner_ == getpid(); }

  void SetRequests(Requests requests) {
    const std::lock_guard lock(mutex_);
    requests_ = std::make_shared<Requests>(std::move(requests));
  }

  std::int64_t Claim() {
    const std::lock_guard lock(mutex_);
    if (next_claim_ >= NumPlaces()) return -1;
    CheckOpen();
    return next_claim_++;
  }

  std::optional<LoadedBatch> Wait(std::int64_t place, std::chrono::milliseconds timeout) {
    if (plan_.num_workers == 0) return LoadInPlace(plan_.batches[place]);
    std::unique_lock lock(mutex_);
    Slot& slot = SlotOf(place);
    const bool ready = ready_.wait_for(lock, timeout, [&] {
      return is_closed_ || (slot.state == State::kReady && slot.place == place);
    });
    if (!ready) return std::nullopt;
    CheckOpen();
    const std::exception_ptr error = std::exchange(slot.error, nullptr);
    LoadedBatch loaded = std::move(slot.loaded);
    slot.state = State::kFree;
    lock.unlock();
    free_.notify_one();
    if (error) std::rethrow_exception(error);
    return loaded;
  }

  std::vector<std::unique_ptr<cpu::BlocksScratch>> Stop() {
    {
      const std::lock_guard lock(mutex_);
      is_closed_ = true;
      cancelled_ = true;
    }
    free_.notify_all();
    ready_.notify_all();
    // Two callers may close at once. One joins the threads, the other waits until it has: the
    // scratch is handed out only when no thread works on it any more.
    const std::lock_guard stopping(stopping_);
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    const std::lock_guard in_place(in_place_);
    return std::exchange(scratch_, {});
  }

 private:
  enum class State { kFree, kBusy, kReady };
  struct Slot {
    State state = State::kFree;
    std::int64_t place = -1;
    LoadedBatch loaded;
    std::exception_ptr error;
  };

  std::int64_t NumPlaces() const { return static_cast<std::int64_t>(plan_.batches.size()); }

  Slot& SlotOf(std::int64_t place) {
    return slots_[static_cast<std::size_t>(place) % slots_.size()];
  }

  void CheckOpen() const {
    if (is_closed_) throw Error("the epoch was closed before its end");
  }

  std::optional<LoadedBatch> LoadInPlace(std::int64_t batch) {
    // Callers take turns: there is one scratch.
    const std::lock_guard in_place(in_place_);
    std::shared_ptr<const Requests> requests;
    {
      const std::lock_guard lock(mutex_);
      CheckOpen();
      requests = requests_;
    }
    try {
      return LoadBatch(plan_, batch, *requests, *scratch_[0], &cancelled_);
    } catch (const cpu::Cancelled&) {
      throw Error("the epoch was closed before its end");
    }
  }

  void Work(cpu::BlocksScratch& scratch) {
#ifdef __linux__
    pthread_setname_np(pthread_self(), "hopflow-batch");
#endif
    // One batch a thread: the threads are the parallelism.
    omp_set_num_threads(1);
    std::unique_lock lock(mutex_);
    for (;;) {
      free_.wait(lock, [&] {
        return is_closed_ || next_start_ >= NumPlaces() ||
               SlotOf(next_start_).state == State::kFree;
      });
      if (is_closed_ || next_start_ >= NumPlaces()) {
        // Whoever else waits has nothing to wait for either.
        free_.notify_all();
        return;
      }
      const std::int64_t place = next_start_++;
      Slot& slot = SlotOf(place);
      slot.state = State::kBusy;
      const std::shared_ptr<const Requests> requests = requests_;
      lock.unlock();
      LoadedBatch loaded;
      std::exception_ptr error;
      try {
        loaded = LoadBatch(plan_, plan_.batches[place], *requests, scratch, &cancelled_);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      slot.loaded = std::move(loaded);
      slot.error = error;
      slot.place = place;
      slot.state = State::kReady;
      ready_.notify_all();
    }
  }

  const LoaderPlan plan_;
  const pid_t owner_ = getpid();
  std::vector<std::unique_ptr<cpu::BlocksScratch>> scratch_;
  std::mutex in_place_;
  std::atomic<bool> cancelled_{false};

  std::mutex mutex_;  // for all below
  std::condition_variable free_, ready_;
  std::vector<Slot> slots_;
  std::shared_ptr<const Requests> requests_;
  std::int64_t next_start_ = 0;  // place of the batch that the next free worker makes
  std::int64_t next_claim_ = 0;  // place of the batch that the next caller gets
  bool is_closed_ = false;
  std::mutex stopping_;
  std::vector<std::thread> threads_;
};

BatchLoader::BatchLoader(LoaderPlan plan, std::vector<std::unique_ptr<cpu::BlocksScratch>> scratch)
    : impl_(std::make_unique<Impl>(std::move(plan), std::move(scratch))) {}

BatchLoader::~BatchLoader() {
  Close();
  // In a forked child the locks may be held for ever by threads that exist in the parent only:
  // leave them alone.
  if (!impl_->is_here()) static_cast<void>(impl_.release());
}

void BatchLoader::SetRequests(Requests requests) {
  if (impl_->is_here()) impl_->SetRequests(std::move(requests));
}

std::int64_t BatchLoader::Claim() {
  if (!impl_->is_here()) {
    throw Error("this epoch was begun in another process; iterate the loader again in this one");
  }
  return impl_->Claim();
}

std::optional<LoadedBatch> BatchLoader::Wait(std::int64_t place,
                                             std::chrono::milliseconds timeout) {
  return impl_->Wait(place, timeout);
}

std::vector<std::unique_ptr<cpu::BlocksScratch>> BatchLoader::Close() {
  if (!impl_->is_here()) return {};
  return impl_->Stop();
}

}  // namespace hopflow
