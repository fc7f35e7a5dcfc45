// SDDMM of two operands: the message of every edge (messages.h), written out by edge.
//
//   out[eids[p], k] = message[p, k]
#pragma once

#include <cstdint>

#include "core/device.h"
#include "messages/messages.h"

namespace hopflow {

template <typename T, typename Id>
struct SddmmBinaryArgs {
  Messages<T, Id> messages;
  std::int64_t num_edges;
  // outputs
  T* out;  // [num_edges, width]
};

namespace cpu {

template <typename T, typename Id>
void SddmmBinary(const SddmmBinaryArgs<T, Id>& args);

}  // namespace cpu

// The same on CUDA, with the same bits.
namespace cuda {

template <typename T, typename Id>
void SddmmBinary(const SddmmBinaryArgs<T, Id>& args, Workspace& work);

}  // namespace cuda
}  // namespace hopflow
