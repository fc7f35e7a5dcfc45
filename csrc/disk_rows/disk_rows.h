// Row gather from a file: out[i] = x[ids[i]] for an array that stays on disk, with a cache of rows
// in memory in front of it.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "disk_rows/read_queue.h"
#include "disk_rows/row_cache.h"

namespace hopflow::cpu {

struct DiskRowsOptions {
  std::string path;
  std::int64_t first_byte;  // where row 0 begins
  std::int64_t num_rows;
  std::int64_t row_bytes;
  std::int64_t capacity = 0;  // rows of the cache
  bool direct = true;         // past the system's own cache, where the file system can
  bool writable = false;
  Reader reader = Reader::kAuto;
};

// What was read since the beginning.
struct DiskRowsUse {
  std::int64_t rows = 0;      // asked for
  std::int64_t hits = 0;      // of these, found in the cache
  std::int64_t requests = 0;  // reads of the file
  std::int64_t bytes = 0;     // read from the file
  std::int64_t wait_ns = 0;   // time spent waiting for reads, of all threads together
};

// Thread-safe.
class DiskRows {
 public:
  // Throws Error if the file cannot be opened or is too short.
  explicit DiskRows(DiskRowsOptions options);
  ~DiskRows();
  DiskRows(const DiskRows&) = delete;
  DiskRows& operator=(const DiskRows&) = delete;

  // Ids are checked by the caller. Throws Error if the file cannot be read, and Cancelled soon
  // after *cancelled is set.
  template <typename Id>
  void Read(std::int64_t num_ids,
            const Id* ids,  // [num_ids]
            void* out,      // [num_ids, row_bytes], contiguous
            const std::atomic<bool>* cancelled = nullptr);

  // x[ids[i]] = rows[i], of equal ids the last. Who reads a row meanwhile gets it as it was, or as
  // it is then, or (rows that are not within one sector) parts of both.
  template <typename Id>
  void Write(std::int64_t num_ids,
             const Id* ids,      // [num_ids]
             const void* rows);  // [num_ids, row_bytes], contiguous
  // Returns when what was written is on the disk.
  void Flush();

  RowCache& cache() { return cache_; }
  const DiskRowsOptions& options() const { return options_; }
  bool is_direct() const { return is_direct_; }
  DiskRowsUse use() const;

 private:
  struct Request;

  void Open();
  std::vector<Request> Requests(const std::vector<WantedRow>& rows) const;
  void Fetch(const std::vector<WantedRow>& rows, std::byte* out,
             const std::atomic<bool>* cancelled);
  void Finish(const Request& request, std::int64_t result, std::byte* buffer,
              const std::vector<WantedRow>& rows, std::byte* out) const;

  const DiskRowsOptions options_;
  const pid_t owner_;
  int file_ = -1;
  int written_file_ = -1;  // through the system's cache
  bool is_direct_ = false;
  std::int64_t alignment_ = 1;  // of offsets and sizes of reads
  std::int64_t file_bytes_ = 0;
  RowCache cache_;
  std::mutex writing_;
  std::atomic<std::int64_t> rows_{0}, hits_{0}, requests_{0}, bytes_{0}, wait_ns_{0};
};

}  // namespace hopflow::cpu
