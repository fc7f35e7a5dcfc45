// Writing a long result past the caches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace hopflow {

// Results of at least so many bytes are streamed. An ordinary write of a line reads it first, which
// a stream saves; but a small result is still in a cache when it is read next, and should stay
// there (benchmarks/bench_gather_decoded.py).
constexpr std::int64_t kLeastStreamedBytes = std::int64_t{32} << 20;

// Fills consecutive memory. What is to be written is put together in a stage in the first-level
// cache, whose whole lines leave it with non-temporal stores, so that pieces may have any length
// and the memory any alignment.
class LineStream {
 public:
  // The longest piece.
  static constexpr std::int64_t kMostBytes = 4096;

  explicit LineStream(void* to) : to_(static_cast<std::byte*>(to)) {
    // The stage lies in its lines as the memory does; what comes before the memory is never copied.
    skip_ = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(to) % kLine);
    to_ -= skip_;
    end_ = skip_;
  }
  LineStream(const LineStream&) = delete;
  LineStream& operator=(const LineStream&) = delete;
  ~LineStream() {
    Flush();
    if (end_ > skip_) std::memcpy(to_ + skip_, stage_ + skip_, end_ - skip_);
#if defined(__SSE2__)
    _mm_sfence();  // before another thread is told that the memory is full
#endif
  }

  // Room for the next `bytes`, kMostBytes at most; they must be filled before the next call.
  std::byte* Next(std::int64_t bytes) {
    if (end_ + bytes > static_cast<std::int64_t>(sizeof stage_)) Flush();
    std::byte* const room = stage_ + end_;
    end_ += bytes;
    return room;
  }

 private:
  static constexpr std::int64_t kLine = 64;

  // Writes the whole lines and moves what is left to the front.
  void Flush() {
    const std::int64_t whole = end_ / kLine * kLine;
    std::int64_t at = 0;
    if (whole > 0 && skip_ > 0) {
      std::memcpy(to_ + skip_, stage_ + skip_, kLine - skip_);
      skip_ = 0;
      at = kLine;
    }
    for (; at < whole; at += kLine) StreamLine(to_ + at, stage_ + at);
    if (whole > 0) std::memcpy(stage_, stage_ + whole, end_ - whole);
    to_ += whole;
    end_ -= whole;
  }

  static void StreamLine(std::byte* to, const std::byte* from) {
#if defined(__SSE2__)
    for (std::int64_t byte = 0; byte < kLine; byte += 16) {
      _mm_stream_si128(reinterpret_cast<__m128i*>(to + byte),
                       _mm_load_si128(reinterpret_cast<const __m128i*>(from + byte)));
    }
#else
    std::memcpy(to, from, kLine);
#endif
  }

  std::byte* to_;      // where the stage's first line belongs
  std::int64_t skip_;  // bytes of that line that are not the stream's
  std::int64_t end_;   // of what the stage holds
  alignas(kLine) std::byte stage_[2 * kMostBytes];
};

}  // namespace hopflow
