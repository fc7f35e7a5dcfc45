// Rows of a file that are kept in memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <shared_mutex>
#include <vector>

namespace hopflow::cpu {

// A row that is wanted at a place of the output.
struct WantedRow {
  std::int64_t row;
  std::int64_t place;
};

// Zeroed memory of its own, given to the process page by page as it is touched.
class ZeroedMemory {
 public:
  ZeroedMemory() = default;
  explicit ZeroedMemory(std::int64_t bytes);
  ~ZeroedMemory();
  ZeroedMemory(const ZeroedMemory&) = delete;
  ZeroedMemory& operator=(const ZeroedMemory&) = delete;

  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Thread-safe. Which rows it keeps: those that were used lately (a clock, as in operating systems:
// a row that was found since the hand last passed is spared), or, after Keep(), a fixed set.
class RowCache {
 public:
  // `capacity` rows at most, below 2^31. The memory beside the rows is 4 bytes for each row of the
  // file and 9 for each of the cache.
  RowCache(std::int64_t num_rows, std::int64_t row_bytes, std::int64_t capacity);

  // Copies the rows that are here to their places and appends the others, in order.
  template <typename Id>
  void Take(std::int64_t num_ids,
            const Id* ids,  // [num_ids]
            void* out,      // [num_ids, row_bytes]
            std::vector<WantedRow>& missing);

  // Rows may be taken in unless the file was written since this was asked for.
  std::uint64_t version() const { return version_; }
  void Put(const std::vector<WantedRow>& rows,
           const void* out,  // rows at their places
           std::uint64_t version);

  // Begins and ends a change of the file: what was read before is not taken in any more.
  void BeginWrite() { ++version_; }
  template <typename Id>
  void EndWrite(std::int64_t num_ids, const Id* ids,
                const void* rows);  // [num_ids, row_bytes]

  // Forgets a row.
  void Drop(std::int64_t row);

  // From now on these rows alone, at most `capacity`, each once. Nothing is here before it was
  // Put().
  template <typename Id>
  void Keep(std::int64_t num_ids, const Id* ids);

  std::int64_t capacity() const { return capacity_; }
  // Rows that are here.
  std::int64_t size() const;

 private:
  std::byte* Row(std::int64_t slot) { return rows_.as<std::byte>() + slot * row_bytes_; }
  std::int64_t FreeSlot();

  const std::int64_t num_rows_, row_bytes_, capacity_;
  std::atomic<std::uint64_t> version_{0};  // odd while the file is written

  mutable std::shared_mutex mutex_;  // for all below
  bool is_fixed_ = false;
  std::int64_t size_ = 0;
  std::int64_t hand_ = 0;
  ZeroedMemory slots_;   // int32 [num_rows]: slot + 1, or 0
  ZeroedMemory owners_;  // int64 [capacity]: row
  // uint8 [capacity]: found since the hand passed; of a fixed set: is here
  ZeroedMemory marks_;
  ZeroedMemory rows_;  // [capacity, row_bytes]
};

}  // namespace hopflow::cpu
