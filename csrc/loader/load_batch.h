// One batch of sampled blocks with the feature rows it needs.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "blocks/blocks.h"
#include "core/buffer_pool.h"
#include "disk_rows/disk_rows.h"
#include "gather_decoded/gather_decoded.h"

namespace hopflow {

// What becomes of encoded rows.
struct Decoding {
  Encoding encoding;
  std::int64_t width;  // numbers in a row
  DType out_type;
};

// A node column whose rows the batches bring along.
struct ColumnRequest {
  // [num_nodes of the type, row_bytes], rows row_stride_bytes apart; not owned. Null: they are in a
  // file.
  const void* data = nullptr;
  std::int64_t row_bytes = 0;
  std::int64_t row_stride_bytes = 0;
  int type = 0;   // of the nodes
  int level = 0;  // 0: rows of the seeds; l: rows of the nodes that l hops reach
  std::shared_ptr<cpu::DiskRows> on_disk = nullptr;
  // Rows are in few bits and come out decoded.
  std::optional<Decoding> decoding = std::nullopt;
};

// The edges of one relation in one hop, wanted by source too.
struct TransposeRequest {
  int hop;  // from the seeds outwards
  int relation;
};

// What batches bring besides their blocks.
struct Requests {
  std::int64_t number = 0;  // tells the caller which requests a batch has answered
  std::vector<ColumnRequest> columns;
  std::vector<TransposeRequest> transposes;
};

// Edges grouped by source: csc.h, TransposeCsc.
struct TransposedEdges {
  Buffer indptr;     // int64 [num_src + 1]
  Buffer rows;       // int32 [num_edges]
  Buffer positions;  // int32 [num_edges]
};

// What a batch took in the thread that made it, in nanoseconds.
struct BatchTimes {
  std::int64_t sampling = 0;   // and renumbering
  std::int64_t gathering = 0;  // columns in memory
  std::int64_t reading = 0;    // columns on disk, their caches included
  std::int64_t transposing = 0;
};

struct LoadedBatch {
  Blocks blocks;
  BatchTimes times;
  std::int64_t request_number = 0;
  std::vector<Buffer> columns;              // in the order of Requests::columns
  std::vector<TransposedEdges> transposes;  // in the order of Requests::transposes
};

// All that fixes the batches of an epoch. Memory pointed to must outlive the loader.
struct LoaderPlan {
  GraphView graph;
  // In the epoch's order. Nodes of type t are numbered from the number of nodes of the types before
  // it, so that a graph of one type has the nodes' own ids here.
  SeedsView seeds;
  std::int64_t batch_size;
  // Numbers of the batches to make, in this order: batch b holds seeds b * batch_size and
  // following.
  std::vector<std::int64_t> batches;
  // From the seeds outwards; of each hop one for each relation.
  std::vector<std::vector<std::int64_t>> fanouts;
  bool replace;
  DType output_type;
  std::uint64_t seed, epoch;
  int num_workers;        // 0: batches are made in the thread that asks, with all its threads
  std::int64_t capacity;  // batches made ahead at most
};

// Samples one batch and gathers what is requested, with all of OpenMP's threads.
LoadedBatch LoadBatch(const LoaderPlan& plan, std::int64_t batch, const Requests& requests,
                      cpu::BlocksScratch& scratch, const std::atomic<bool>* cancelled);

}  // namespace hopflow
