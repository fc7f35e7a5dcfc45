#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <vector>

#include "cuda_runtime.h"

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {
namespace {

constexpr std::size_t kStackBytes = 64 << 10;

struct Fiber {
  std::unique_ptr<char[]> stack = std::make_unique<char[]>(kStackBytes);
  ucontext_t context;
  jmp_buf resume;
  bool is_started, is_done;
};

// Lanes of a warp that meet. Two rounds of values: nobody can be two meetings ahead of another.
struct Meeting {
  unsigned arrived = 0;
  unsigned round = 0;
  std::uint64_t values[2][32];
};

std::mutex one_at_a_time;
std::mt19937 shuffler(20240607);
std::vector<std::unique_ptr<Fiber>> fibers;
jmp_buf scheduler;
const std::function<void()>* body;
unsigned current;  // thread of the block
unsigned num_done, block_arrived, block_round;
bool has_moved;                                     // since the scheduler's latest pass began
std::vector<std::map<unsigned, Meeting>> meetings;  // of each warp, by mask

void Start() {
  (*body)();
  fibers[current]->is_done = true;
  ++num_done;
  has_moved = true;
  _longjmp(scheduler, 1);
}

void Yield() {
  Fiber& me = *fibers[current];
  if (_setjmp(me.resume) == 0) _longjmp(scheduler, 1);
}

void Resume(unsigned thread) {
  current = thread;
  threadIdx.x = thread;
  if (_setjmp(scheduler) != 0) return;
  Fiber& fiber = *fibers[thread];
  if (fiber.is_started) _longjmp(fiber.resume, 1);
  fiber.is_started = true;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, Start, 0);
  setcontext(&fiber.context);
}

void RunBlock(unsigned num_threads) {
  while (fibers.size() < num_threads) fibers.push_back(std::make_unique<Fiber>());
  for (unsigned t = 0; t < num_threads; ++t) fibers[t]->is_started = fibers[t]->is_done = false;
  meetings.assign((num_threads + 31) / 32, {});
  num_done = block_arrived = block_round = 0;
  std::vector<unsigned> order(num_threads);
  for (unsigned t = 0; t < num_threads; ++t) order[t] = t;
  std::shuffle(order.begin(), order.end(), shuffler);
  while (num_done < num_threads) {
    has_moved = false;
    for (const unsigned thread : order) {
      if (!fibers[thread]->is_done) Resume(thread);
    }
    if (has_moved) continue;
    std::fprintf(stderr,
                 "emulation: %u of %u threads of a block wait for one that never comes "
                 "(a barrier or *_sync function that not all threads of its mask reach)\n",
                 num_threads - num_done, num_threads);
    std::abort();
  }
}

}  // namespace

std::map<std::uintptr_t, std::uintptr_t> pinned;

unsigned Lane() { return current % 32; }

const std::uint64_t* Meet(unsigned mask, std::uint64_t value) {
  const unsigned lane = Lane();
  if ((mask >> lane & 1) == 0) {
    std::fprintf(stderr, "emulation: lane %u is not in the mask %08x that it gives\n", lane, mask);
    std::abort();
  }
  Meeting& meeting = meetings[current / 32][mask];
  const unsigned round = meeting.round;
  std::uint64_t* values = meeting.values[round % 2];
  values[lane] = value;
  meeting.arrived |= 1u << lane;
  if (meeting.arrived == mask) {
    meeting.arrived = 0;
    ++meeting.round;
    has_moved = true;
    return values;
  }
  while (meeting.round == round) Yield();
  return values;
}

void MeetBlock() {
  const unsigned round = block_round;
  if (++block_arrived == blockDim.x) {
    block_arrived = 0;
    ++block_round;
    has_moved = true;
    return;
  }
  while (block_round == round) Yield();
}

void Run(unsigned num_blocks, unsigned num_threads, const std::function<void()>& kernel) {
  const std::lock_guard<std::mutex> lock(one_at_a_time);
  body = &kernel;
  gridDim = dim3(num_blocks);
  blockDim = dim3(num_threads);
  std::vector<unsigned> order(num_blocks);
  for (unsigned b = 0; b < num_blocks; ++b) order[b] = b;
  std::shuffle(order.begin(), order.end(), shuffler);
  for (const unsigned block : order) {
    blockIdx.x = block;
    RunBlock(num_threads);
  }
}

}  // namespace emulation
