// Batches prepared ahead by native threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "blocks/blocks.h"
#include "loader/load_batch.h"

namespace hopflow {

// One epoch. Thread-safe. In a child made by fork() it refuses to work, since the threads are the
// parent's.
class BatchLoader {
 public:
  // One scratch for each worker, at least one; they come back from Close().
  BatchLoader(LoaderPlan plan, std::vector<std::unique_ptr<cpu::BlocksScratch>> scratch);
  ~BatchLoader();

  // Takes effect with the next batch that is started. Pointers must stay valid until a batch with a
  // later number was delivered, or Close() returned.
  void SetRequests(Requests requests);

  // The place in LoaderPlan::batches of what the caller is to wait for, or -1 after the last.
  std::int64_t Claim();
  // Waits for it; nothing if it is not ready in time. Rethrows what went wrong in its thread.
  // Throws Error if the loader was closed. With no workers the batch is made here.
  std::optional<LoadedBatch> Wait(std::int64_t place, std::chrono::milliseconds timeout);

  // Gives up batches under way and ends the threads. Called again, or in a forked child, it does
  // nothing and returns nothing.
  std::vector<std::unique_ptr<cpu::BlocksScratch>> Close();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hopflow
