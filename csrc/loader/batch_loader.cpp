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
#include <numeric>
#include <thread>
#include <utility>

#include "core/check.h"
#include "core/dtype.h"
#include "core/rng.h"
#include "csc/csc.h"
#include "gather/gather.h"

namespace hopflow {

namespace {

// Seeds of a batch by type. Those of a graph of one type stay where they are.
class SplitSeeds {
 public:
  SplitSeeds(const GraphView& graph, const SeedsView& seeds) {
    if (graph.num_nodes.size() == 1) {
      views_.push_back(seeds);
      return;
    }
    std::vector<std::int64_t> ends(graph.num_nodes.size());  // where the ids of each type end
    std::partial_sum(graph.num_nodes.begin(), graph.num_nodes.end(), ends.begin());
    ids_.resize(ends.size());
    DispatchIndex(seeds.id_type, "seeds", [&]<typename Id>(Type<Id>) {
      const Id* const all = static_cast<const Id*>(seeds.ids);
      for (std::int64_t i = 0; i < seeds.count; ++i) {
        const std::int64_t id = all[i];
        const auto t = std::upper_bound(ends.begin(), ends.end(), id) - ends.begin();
        // Checked at the epoch's start, but the array is the caller's.
        CheckIndex(id < ends.back(), "seeds: got id ", id, ", expected ids below ", ends.back());
        ids_[t].push_back(t == 0 ? id : id - ends[t - 1]);
      }
    });
    for (const std::vector<std::int64_t>& ids : ids_) {
      views_.push_back({.count = static_cast<std::int64_t>(ids.size()),
                        .ids = ids.data(),
                        .id_type = DType::kInt64});
    }
  }

  const std::vector<SeedsView>& views() const { return views_; }

 private:
  std::vector<std::vector<std::int64_t>> ids_;
  std::vector<SeedsView> views_;
};

SeedsView SeedsOf(const LoaderPlan& plan, std::int64_t batch) {
  const std::int64_t begin = batch * plan.batch_size;
  SeedsView seeds = plan.seeds;
  seeds.count = std::min(plan.batch_size, plan.seeds.count - begin);
  const std::int64_t bytes = seeds.id_type == DType::kInt32 ? 4 : 8;
  seeds.ids = static_cast<const char*>(seeds.ids) + begin * bytes;
  return seeds;
}

// Adds the time since it last did, or since it was made.
class Stopwatch {
 public:
  void Add(std::int64_t& nanoseconds) {
    const auto now = std::chrono::steady_clock::now();
    nanoseconds += (now - last_) / std::chrono::nanoseconds(1);
    last_ = now;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// Decodes rows of `x`, or those that `ids` name.
template <typename Id>
Buffer Decode(const Decoding& decoding, std::int64_t num_rows, std::int64_t row_stride_bytes,
              const void* x, const Id* ids) {
  const std::int64_t numbers = num_rows * decoding.width;
  Buffer out(static_cast<std::size_t>(numbers * (decoding.out_type == DType::kFloat32 ? 4 : 2)));
  cpu::GatherDecoded(GatherDecodedArgs<Id>{.num_ids = num_rows,
                                           .width = decoding.width,
                                           .row_stride_bytes = row_stride_bytes,
                                           .encoding = decoding.encoding,
                                           .x = x,
                                           .ids = ids,
                                           .out_type = decoding.out_type,
                                           .out = out.as<void>()});
  return out;
}

Buffer GatherColumn(const ColumnRequest& column, DType id_type, const Blocks& blocks,
                    const std::atomic<bool>* cancelled) {
  const SampledNodes& nodes = blocks.nodes[column.type];
  const std::int64_t rows =
      column.level == 0 ? nodes.num_seeds : blocks.hops[column.level - 1].num_src[column.type];
  return DispatchIndex(id_type, "indices", [&]<typename Id>(Type<Id>) {
    const Id* const ids = nodes.src_ids.as<Id>();
    if (column.decoding && column.on_disk == nullptr) {
      return Decode(*column.decoding, rows, column.row_stride_bytes, column.data, ids);
    }
    Buffer out(static_cast<std::size_t>(rows * column.row_bytes));
    if (column.on_disk == nullptr) {
      cpu::GatherRows(rows, column.row_bytes, column.row_stride_bytes, column.data, ids,
                      out.as<void>());
      return out;
    }
    column.on_disk->Read(rows, ids, out.as<void>(), cancelled);
    if (!column.decoding) return out;
    return Decode<Id>(*column.decoding, rows, column.row_bytes, out.as<void>(), nullptr);
  });
}

TransposedEdges Transpose(const SampledEdges& edges, std::int64_t num_src) {
  TransposedEdges to{Buffer::Of<std::int64_t>(num_src + 1),
                     Buffer::Of<std::int32_t>(edges.num_edges),
                     Buffer::Of<std::int32_t>(edges.num_edges)};
  cpu::TransposeCsc(num_src, edges.num_dst, edges.indptr.as<std::int64_t>(),
                    edges.indices.as<std::int32_t>(), to.indptr.as<std::int64_t>(),
                    to.rows.as<std::int32_t>(), to.positions.as<std::int32_t>());
  return to;
}

}  // namespace

std::vector<std::vector<HopOptions>> HopsOf(const std::vector<std::vector<std::int64_t>>& fanouts,
                                            std::uint64_t seed, std::uint64_t epoch,
                                            std::uint64_t batch) {
  std::vector<std::vector<HopOptions>> hops;
  std::uint64_t hop = 0;
  for (const std::vector<std::int64_t>& relations : fanouts) {
    const bool draws = std::any_of(relations.begin(), relations.end(),
                                   [](std::int64_t fanout) { return fanout >= 0; });
    const std::uint64_t key = draws ? StreamKey(seed, epoch, batch, hop++) : 0;
    std::vector<HopOptions>& options = hops.emplace_back();
    for (std::size_t r = 0; r < relations.size(); ++r) {
      options.push_back({relations[r], RelationKey(key, r)});
    }
  }
  return hops;
}

LoadedBatch LoadBatch(const LoaderPlan& plan, std::int64_t batch, const Requests& requests,
                      cpu::BlocksScratch& scratch, const std::atomic<bool>* cancelled) {
  const SplitSeeds seeds(plan.graph, SeedsOf(plan, batch));
  const BlocksOptions options{
      .hops = HopsOf(plan.fanouts, plan.seed, plan.epoch, static_cast<std::uint64_t>(batch)),
      .replace = plan.replace,
      .output_type = plan.output_type};
  LoadedBatch loaded;
  Stopwatch watch;
  loaded.blocks = cpu::SampleBlocks(plan.graph, seeds.views(), options, scratch, cancelled);
  watch.Add(loaded.times.sampling);
  for (const ColumnRequest& column : requests.columns) {
    loaded.columns.push_back(GatherColumn(column, plan.graph.id_type, loaded.blocks, cancelled));
    watch.Add(column.on_disk == nullptr ? loaded.times.gathering : loaded.times.reading);
  }
  loaded.request_number = requests.number;
  for (const TransposeRequest& wanted : requests.transposes) {
    const SampledHop& hop = loaded.blocks.hops[wanted.hop];
    const int src_type = plan.graph.relations[wanted.relation].src_type;
    loaded.transposes.push_back(Transpose(hop.relations[wanted.relation], hop.num_src[src_type]));
  }
  watch.Add(loaded.times.transposing);
  return loaded;
}

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

  std::int64_t NumReady() const {
    const std::lock_guard lock(mutex_);
    return std::count_if(slots_.begin(), slots_.end(),
                         [](const Slot& slot) { return slot.state == State::kReady; });
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

  mutable std::mutex mutex_;  // for all below
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

std::int64_t BatchLoader::NumReady() const { return impl_->is_here() ? impl_->NumReady() : 0; }

std::vector<std::unique_ptr<cpu::BlocksScratch>> BatchLoader::Close() {
  if (!impl_->is_here()) return {};
  return impl_->Stop();
}

}  // namespace hopflow
