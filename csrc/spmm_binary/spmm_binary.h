// SpMM of two operands: every destination reduces the messages of its in-edges (messages.h), which
// are never written out.
//
//   out[v, k] = reduce over positions p in [indptr[v], indptr[v + 1]) of message[p, k]
//
// Messages and sums are float32 or wider and run in edge order. A destination without in-edges gets
// 0 for every reduction.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "messages/messages.h"
#include "spmm/spmm.h"

namespace hopflow {

template <typename T, typename Id>
struct SpmmBinaryArgs {
  Messages<T, Id> messages;
  // outputs
  T* out;             // [num_dst, width]
  std::int32_t* arg;  // max and min: which in-edge of v won, counted from indptr[v]; -1: no
                      // in-edge. [num_dst, width]; null: not wanted
};

namespace cpu {

template <typename T, typename Id>
void SpmmBinary(const SpmmBinaryArgs<T, Id>& args, Reduce reduce);

}  // namespace cpu

// The same on CUDA, with the same bits.
namespace cuda {

template <typename T, typename Id>
void SpmmBinary(const SpmmBinaryArgs<T, Id>& args, Reduce reduce, Workspace& work);

}  // namespace cuda
}  // namespace hopflow
