// Gather of rows that are kept in few bits and come out as floating point:
//
//   out[i, c] = decode(x[ids[i], :])[c]
//
// Arithmetic is float32 with two roundings, round(round(scale * q) + offset), never fused, then one
// more to the output's type: every instruction set and the device give the same bits.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/dtype.h"
#include "core/host_device.h"

namespace hopflow {

// How a row holds its `width` numbers.
enum class Code : std::uint8_t {
  kByColumn,  // width of int8; scale[c] * q + offset[c]
  kByRow,     // width of uint8, then a float32 scale and a float32 bias; scale * q + bias
  kFloat32,
  kFloat16,
  kBFloat16,
};

struct Encoding {
  Code code = Code::kFloat32;
  const float* scale = nullptr;   // [width], of kByColumn
  const float* offset = nullptr;  // [width], of kByColumn
};

// Bytes behind the integers of a row of kByRow.
constexpr std::int64_t kRowScaleBytes = 2 * sizeof(float);

HOPFLOW_HOST_DEVICE inline std::int64_t EncodedBytes(Code code, std::int64_t width) {
  switch (code) {
    case Code::kByColumn:
      return width;
    case Code::kByRow:
      return width + kRowScaleBytes;
    case Code::kFloat32:
      return 4 * width;
    default:
      return 2 * width;
  }
}

// The code of plain numbers. Throws TypeError for a dtype that is none of the three.
inline Code FloatCode(DType dtype, const char* operand) {
  switch (dtype) {
    case DType::kFloat32:
      return Code::kFloat32;
    case DType::kFloat16:
      return Code::kFloat16;
    case DType::kBFloat16:
      return Code::kBFloat16;
    default:
      throw TypeError(
          StrCat(operand, ": expected float32, float16 or bfloat16, got ", Name(dtype)));
  }
}

// Ids are checked by the caller, out_type is float32, float16 or bfloat16.
template <typename Id>
struct GatherDecodedArgs {
  std::int64_t num_ids;
  std::int64_t width;
  std::int64_t row_stride_bytes;
  Encoding encoding;
  const void* x;  // [num_rows, EncodedBytes(code, width)], rows row_stride_bytes apart, any address
  const Id* ids;  // [num_ids], or null: row i for every i
  DType out_type;
  void* out;  // [num_ids, width], contiguous; shares no memory with x
};

// Calls f(Type<Out>) for the type of the output.
template <typename F>
decltype(auto) DispatchOutput(DType out_type, F&& f) {
  switch (FloatCode(out_type, "dtype")) {
    case Code::kFloat16:
      return f(Type<Float16>{});
    case Code::kBFloat16:
      return f(Type<BFloat16>{});
    default:
      return f(Type<float>{});
  }
}

namespace cpu {

template <typename Id>
void GatherDecoded(const GatherDecodedArgs<Id>& args);

}  // namespace cpu

namespace cuda {

// The same; x may be page-locked host memory, read in place.
template <typename Id>
void GatherDecoded(const GatherDecodedArgs<Id>& args, Workspace& work);

}  // namespace cuda
}  // namespace hopflow
