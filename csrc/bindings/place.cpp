#include "bindings/place.h"

#include <algorithm>
#include <string>
#include <utility>

#include "bindings/tensor_caster.h"
#include "core/check.h"

namespace py = pybind11;

namespace hopflow {
namespace {

std::string NameOf(DeviceType type, int index) {
  if (type == DeviceType::kCpu) return "the CPU";
  return type == DeviceType::kCuda ? StrCat("cuda:", index) : "another device";
}

}  // namespace

Place::Place(const char* op, const char* name, const TensorView& decides)
    : op_(op), type_(decides.device), index_(decides.device_index) {
  if (type_ == DeviceType::kCpu) return;
  if (type_ != DeviceType::kCuda) {
    throw Error(StrCat(op, ": ", name, " is on a device that is neither the CPU nor CUDA"));
  }
  if (!cuda::IsBuilt()) {
    throw Error(StrCat(op, ": ", name, " is on ", NameOf(type_, index_),
                       ", but hopflow was built without CUDA; `hopflow doctor` says how to build "
                       "it with. Or move the tensor with .to(\"cpu\")"));
  }
  stream_ = CurrentStream(index_);
  device_before_ = cuda::SetDevice(index_);
}

Place::~Place() {
  if (device_before_ < 0 || device_before_ == index_) return;
  try {
    cuda::SetDevice(device_before_);
  } catch (const Error&) {
    // A destructor has nobody to tell; the device's next use will.
  }
}

void Place::Require(const char* name, const TensorView& view) const {
  const bool same = view.device == type_ && (!is_cuda() || view.device_index == index_);
  if (same) return;
  throw Error(StrCat(op_, ": ", name, " is on ", NameOf(view.device, view.device_index),
                     ", the other operands on ", NameOf(type_, index_)));
}

void Place::Reach(const char* name, TensorView& view) const {
  if (!is_cuda() || view.device != DeviceType::kCpu) return Require(name, view);
  if (view.numel() == 0) return;
  // From the first element to the last, which may have gaps between them.
  std::int64_t span = 1;
  for (int d = 0; d < view.ndim; ++d) span += (view.shape[d] - 1) * view.stride[d];
  view.data = cuda::DevicePointer(view.data, static_cast<std::size_t>(span * view.item_bytes));
  if (view.data == nullptr) {
    throw Error(StrCat(op_, ": ", name, " is in ordinary host memory, the other operands on ",
                       NameOf(type_, index_),
                       ". Pin it (pin_memory()) for the device to read it "
                       "in place, or move it there"));
  }
}

void* Place::Allocate(std::size_t bytes) {
  scratch_.push_back(NewBytes(bytes, index_));
  return ViewOf(scratch_.back()).data;
}

void* Place::Keep(std::size_t bytes) {
  // At least something, so that no two have one address, and whole elements of any dtype.
  py::object made = NewBytes(std::max<std::size_t>((bytes + 15) / 16 * 16, 16), index_);
  void* const data = ViewOf(made).data;
  kept_[data] = std::move(made);
  return data;
}

py::object Place::TensorOf(const void* kept) const { return kept_.at(kept); }

void Place::Unlocked(const std::function<void()>& f) {
  py::gil_scoped_release release;
  f();
}

}  // namespace hopflow
