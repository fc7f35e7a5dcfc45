#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <utility>

#include "core/check.h"
#include "core/dtype.h"
#include "disk_rows/disk_rows.h"

namespace hopflow::cpu {
namespace {

// Rows that lie no further apart are read at once: the bytes between them take less time than
// another read would. A disk of 100,000 random reads a second that streams 1.2 GB a second breaks
// even at 12 kB (bench_disk_rows.py).
constexpr std::int64_t kGapBytes = 8 << 10;
constexpr std::int64_t kRequestBytes = 64 << 10;  // at most, but for a row that is larger
constexpr std::int64_t kMostAlignment = 4096;     // offsets that every disk can read at

std::int64_t RoundDown(std::int64_t x, std::int64_t unit) { return x / unit * unit; }
std::int64_t RoundUp(std::int64_t x, std::int64_t unit) { return (x + unit - 1) / unit * unit; }

// What direct reads of a file must be aligned to, or 0 if it has none.
std::int64_t DirectAlignment(int file) {
#if defined(STATX_DIOALIGN)
  struct statx found;
  if (statx(file, "", AT_EMPTY_PATH, STATX_DIOALIGN, &found) == 0 &&
      (found.stx_mask & STATX_DIOALIGN) != 0) {
    return std::max(found.stx_dio_mem_align, found.stx_dio_offset_align) > kMostAlignment
               ? 0
               : found.stx_dio_offset_align;
  }
#else
  static_cast<void>(file);
#endif
  return kMostAlignment;
}

// Some file systems open a file for direct reads and then refuse these.
bool ReadsDirectly(int file, std::int64_t alignment) {
  alignas(kMostAlignment) char buffer[kMostAlignment];
  return pread(file, buffer, static_cast<std::size_t>(alignment), 0) >= 0;
}

}  // namespace

// Bytes of the file that are read at once, and the wanted rows among them.
struct DiskRows::Request {
  std::int64_t offset, bytes;
  std::int64_t first, last;  // of the wanted rows, in the order of the file
};

DiskRows::DiskRows(DiskRowsOptions options)
    : options_(std::move(options)),
      owner_(getpid()),
      cache_(options_.num_rows, options_.row_bytes, options_.capacity) {
  try {
    Open();
  } catch (...) {
    if (file_ >= 0) close(file_);
    if (written_file_ >= 0) close(written_file_);
    throw;
  }
}

DiskRows::~DiskRows() {
  close(file_);
  if (written_file_ >= 0) close(written_file_);
}

void DiskRows::Open() {
  const auto open_as = [&](int flags) { return open(options_.path.c_str(), flags | O_CLOEXEC); };
#ifdef O_DIRECT
  if (options_.direct) file_ = open_as(O_RDONLY | O_DIRECT);
  if (file_ >= 0) {
    alignment_ = DirectAlignment(file_);
    is_direct_ = alignment_ > 0 && ReadsDirectly(file_, alignment_);
    if (!is_direct_) close(file_);
  }
#endif
  if (!is_direct_) {
    alignment_ = 1;
    file_ = open_as(O_RDONLY);
  }
  if (file_ < 0) throw Error(StrCat(options_.path, ": ", std::strerror(errno)));
  if (options_.writable) {
    written_file_ = open_as(O_WRONLY);
    if (written_file_ < 0) throw Error(StrCat(options_.path, ": ", std::strerror(errno)));
  }
  struct stat about;
  if (fstat(file_, &about) != 0) throw Error(StrCat(options_.path, ": ", std::strerror(errno)));
  file_bytes_ = about.st_size;
  const std::int64_t needed = options_.first_byte + options_.num_rows * options_.row_bytes;
  if (file_bytes_ < needed) {
    throw Error(StrCat(options_.path, ": expected at least ", needed, " bytes, got ", file_bytes_));
  }
}

std::vector<DiskRows::Request> DiskRows::Requests(const std::vector<WantedRow>& rows) const {
  std::vector<Request> requests;
  const auto count = static_cast<std::int64_t>(rows.size());
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t start = options_.first_byte + rows[i].row * options_.row_bytes;
    const std::int64_t begin = RoundDown(start, alignment_);
    const std::int64_t end = RoundUp(start + options_.row_bytes, alignment_);
    if (!requests.empty()) {
      Request& before = requests.back();
      const std::int64_t bytes = std::max(before.bytes, end - before.offset);
      const bool is_near = begin <= before.offset + before.bytes + kGapBytes;
      // A large row that is wanted twice is read once.
      if (is_near && (bytes <= kRequestBytes || bytes == before.bytes)) {
        before.bytes = bytes;
        before.last = i + 1;
        continue;
      }
    }
    requests.push_back({begin, end - begin, i, i + 1});
  }
  return requests;
}

void DiskRows::Finish(const Request& request, std::int64_t result, std::byte* buffer,
                      const std::vector<WantedRow>& rows, std::byte* out) const {
  const auto fail = [&](const char* why) {
    throw Error(StrCat("reading ", request.bytes, " bytes of ", options_.path, " at ",
                       request.offset, ": ", why));
  };
  // Begun anew by itself below.
  if (result == -EAGAIN || result == -EINTR) result = 0;
  // The last sector of a file need not be whole.
  const std::int64_t wanted = std::min(request.bytes, file_bytes_ - request.offset);
  while (result >= 0 && result < wanted) {
    // The system may stop short, at a signal or where the file was cut.
    const std::int64_t at = RoundDown(result, alignment_);
    const std::int64_t more = pread(
        file_, buffer + at, static_cast<std::size_t>(request.bytes - at), request.offset + at);
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) fail(std::strerror(errno));
    if (at + more <= result) fail("the file has become shorter");
    result = at + more;
  }
  if (result < 0) fail(std::strerror(static_cast<int>(-result)));
  for (std::int64_t i = request.first; i < request.last; ++i) {
    const std::int64_t start = options_.first_byte + rows[i].row * options_.row_bytes;
    std::memcpy(out + rows[i].place * options_.row_bytes, buffer + (start - request.offset),
                static_cast<std::size_t>(options_.row_bytes));
  }
}

void DiskRows::Fetch(const std::vector<WantedRow>& rows, std::byte* out,
                     const std::atomic<bool>* cancelled) {
  const std::vector<Request> requests = Requests(rows);
  const std::int64_t row_room = RoundUp(options_.row_bytes, alignment_) + alignment_;
  BorrowedQueue queue(options_.reader, std::max(kRequestBytes, row_room));
  std::vector<int> free;
  for (int slot = queue.depth(); slot-- > 0;) free.push_back(slot);
  std::vector<const Request*> reading(static_cast<std::size_t>(queue.depth()));
  std::vector<ReadQueue::Done> done;
  std::size_t next = 0, in_flight = 0;
  std::int64_t bytes = 0, wait_ns = 0;
  std::exception_ptr failure;
  const auto goes_on = [&] {
    return next < requests.size() && !failure && (cancelled == nullptr || !*cancelled);
  };
  // Whatever happens, what is in flight is awaited: the kernel writes into the buffers until then.
  while (in_flight > 0 || goes_on()) {
    done.clear();
    const auto begin = std::chrono::steady_clock::now();
    try {
      while (!free.empty() && goes_on()) {
        const int slot = free.back();
        free.pop_back();
        const Request& request = requests[next++];
        reading[slot] = &request;
        queue->Start(slot, file_, request.offset, request.bytes, queue.buffer(slot));
        bytes += request.bytes;
        ++in_flight;
      }
      queue->Wait(done);
    } catch (...) {
      queue.Abandon();
      throw;
    }
    wait_ns += (std::chrono::steady_clock::now() - begin) / std::chrono::nanoseconds(1);
    for (const auto& [slot, result] : done) {
      --in_flight;
      free.push_back(slot);
      if (failure) continue;
      try {
        Finish(*reading[slot], result, queue.buffer(slot), rows, out);
      } catch (...) {
        failure = std::current_exception();
      }
    }
  }
  requests_ += static_cast<std::int64_t>(next);
  bytes_ += bytes;
  wait_ns_ += wait_ns;
  if (failure) std::rethrow_exception(failure);
  if (next < requests.size()) throw Cancelled();
}

template <typename Id>
void DiskRows::Read(std::int64_t num_ids, const Id* ids, void* out,
                    const std::atomic<bool>* cancelled) {
  if (options_.row_bytes == 0) return;
  // A thread that a forked child does not have may have held the cache's lock.
  const bool uses_cache = cache_.capacity() > 0 && owner_ == getpid();
  const std::uint64_t version = cache_.version();
  std::vector<WantedRow> missing;
  if (uses_cache) {
    cache_.Take(num_ids, ids, out, missing);
  } else {
    missing.reserve(static_cast<std::size_t>(num_ids));
    for (std::int64_t i = 0; i < num_ids; ++i) missing.push_back({ids[i], i});
  }
  rows_ += num_ids;
  hits_ += num_ids - static_cast<std::int64_t>(missing.size());
  if (missing.empty()) return;
  // In the order of the file, so that neighbours are read together.
  std::sort(missing.begin(), missing.end(),
            [](const WantedRow& a, const WantedRow& b) { return a.row < b.row; });
  Fetch(missing, static_cast<std::byte*>(out), cancelled);
  if (uses_cache) cache_.Put(missing, out, version);
}

template <typename Id>
void DiskRows::Write(std::int64_t num_ids, const Id* ids, const void* rows) {
  if (owner_ != getpid()) {
    throw Error(StrCat(options_.path,
                       ": opened in another process, whose cache would not hear of"
                       " what this one writes; open it again in this one"));
  }
  const std::lock_guard lock(writing_);
  cache_.BeginWrite();
  const auto* const from = static_cast<const char*>(rows);
  std::string problem;
  std::int64_t i = 0;
  for (; i < num_ids && problem.empty(); ++i) {
    for (std::int64_t done = 0; done < options_.row_bytes;) {
      const std::int64_t put = pwrite(written_file_, from + i * options_.row_bytes + done,
                                      static_cast<std::size_t>(options_.row_bytes - done),
                                      options_.first_byte + ids[i] * options_.row_bytes + done);
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) {
        problem = StrCat("writing row ", ids[i], " of ", options_.path, ": ", std::strerror(errno));
        break;
      }
      done += put;
    }
  }
  const bool is_whole = problem.empty();
  // A part of the row that failed may be in the file.
  if (!is_whole) cache_.Drop(ids[i - 1]);
  cache_.EndWrite(is_whole ? i : i - 1, ids, rows);
  if (!problem.empty()) throw Error(problem);
}

void DiskRows::Flush() {
  if (written_file_ >= 0 && fdatasync(written_file_) != 0) {
    throw Error(StrCat(options_.path, ": ", std::strerror(errno)));
  }
}

DiskRowsUse DiskRows::use() const { return {rows_, hits_, requests_, bytes_, wait_ns_}; }

#define HOPFLOW_INSTANTIATE(Id)                                                           \
  template void DiskRows::Read(std::int64_t, const Id*, void*, const std::atomic<bool>*); \
  template void DiskRows::Write(std::int64_t, const Id*, const void*);
HOPFLOW_FOR_ID(HOPFLOW_INSTANTIATE)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
