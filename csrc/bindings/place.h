// Where a call's operands are, the CPU or one CUDA device, and what a call there needs.
#pragma once

#include <pybind11/pybind11.h>

#include <map>
#include <vector>

#include "core/device.h"
#include "core/tensor_view.h"

namespace hopflow {

// Made at the head of a binding from the operand that decides. On CUDA it makes the device current
// until the call returns and takes torch's current stream; scratch memory comes from torch's
// allocator. Construct and destroy it with Python's lock held.
class Place : public cuda::Workspace {
 public:
  // Throws Error for a device that this build cannot use; the message starts with `op`.
  Place(const char* op, const char* name, const TensorView& decides);
  ~Place() override;
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  bool is_cuda() const { return type_ == DeviceType::kCuda; }

  // Throws Error unless the operand is here.
  void Require(const char* name, const TensorView& view) const;

  // Likewise, but a CUDA kernel may also read page-locked host memory in place: then `view` is
  // turned to the address that the device sees.
  void Reach(const char* name, TensorView& view) const;

  // The tensor of bytes behind what Keep() returned.
  pybind11::object TensorOf(const void* kept) const;

  cuda::Stream stream() const override { return stream_; }
  void* Allocate(std::size_t bytes) override;
  void* Keep(std::size_t bytes) override;
  void Unlocked(const std::function<void()>& f) override;

 private:
  const char* const op_;
  DeviceType type_;
  int index_;
  int device_before_ = -1;
  cuda::Stream stream_ = nullptr;
  std::vector<pybind11::object> scratch_;
  std::map<const void*, pybind11::object> kept_;
};

}  // namespace hopflow
