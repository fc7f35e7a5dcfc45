// OpenMP loops that keep exceptions, and a split of CSC rows into parts of equal work.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <exception>

namespace hopflow {

// Calls f(part) for part in [0, num_parts), one thread each, and rethrows what one of them threw
// (an exception may not leave an OpenMP region).
template <typename F>
void ParallelParts(int num_parts, F&& f) {
  if (num_parts <= 1) {
    if (num_parts == 1) f(0);
    return;
  }
  std::exception_ptr failure;
#pragma omp parallel for schedule(static, 1) num_threads(num_parts)
  for (int part = 0; part < num_parts; ++part) {
    try {
      f(part);
    } catch (...) {
#pragma omp critical(hopflow_parallel_failure)
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

// How many parts `work` units deserve: at most one a thread, at least `grain` units each.
inline int NumParts(std::int64_t work, std::int64_t grain) {
  const std::int64_t most = std::max<std::int64_t>(1, work / std::max<std::int64_t>(1, grain));
  return static_cast<int>(std::min<std::int64_t>(most, omp_get_max_threads()));
}

inline std::int64_t PartBegin(std::int64_t n, int part, int num_parts) {
  return n / num_parts * part + std::min<std::int64_t>(n % num_parts, part);
}

// Calls f(begin, end) on consecutive pieces of [0, n).
template <typename F>
void ParallelFor(std::int64_t n, std::int64_t grain, F&& f) {
  const int num_parts = NumParts(n, grain);
  ParallelParts(num_parts, [&](int part) {
    f(PartBegin(n, part, num_parts), PartBegin(n, part + 1, num_parts));
  });
}

// First row of `part` when rows [0, num_rows) are cut where edges plus rows are equal: a hub does
// not leave the other threads idle, nor do a million empty rows.
inline std::int64_t BalancedRow(const std::int64_t* indptr,  // [num_rows + 1]
                                std::int64_t num_rows, int part, int num_parts) {
  if (part >= num_parts) return num_rows;
  const std::int64_t first = indptr[0];
  const std::int64_t target = PartBegin(indptr[num_rows] - first + num_rows, part, num_parts);
  std::int64_t low = 0, high = num_rows;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (indptr[middle] - first + middle < target) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// Calls f(row_begin, row_end) on pieces of equal work; `grain` is in edges plus rows.
template <typename F>
void ParallelRows(const std::int64_t* indptr,  // [num_rows + 1]
                  std::int64_t num_rows, std::int64_t grain, F&& f) {
  if (num_rows == 0) return;
  const int num_parts = NumParts(indptr[num_rows] - indptr[0] + num_rows, grain);
  ParallelParts(num_parts, [&](int part) {
    f(BalancedRow(indptr, num_rows, part, num_parts),
      BalancedRow(indptr, num_rows, part + 1, num_parts));
  });
}

}  // namespace hopflow
