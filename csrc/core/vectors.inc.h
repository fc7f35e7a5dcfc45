// One vector register of HOPFLOW_ISA and how element types load into it. Compiled by foreach_isa.h:
// no include guard, no includes. GCC's vector extensions lower to whatever the target has, so the
// same text serves SSE2, AVX2, AVX-512 and NEON.

namespace hopflow::cpu {
namespace HOPFLOW_ISA {
namespace {

typedef float FloatVec __attribute__((vector_size(HOPFLOW_VECTOR_BYTES)));
typedef double DoubleVec __attribute__((vector_size(HOPFLOW_VECTOR_BYTES)));
typedef std::int32_t Int32Vec __attribute__((vector_size(HOPFLOW_VECTOR_BYTES)));
typedef std::int64_t Int64Vec __attribute__((vector_size(HOPFLOW_VECTOR_BYTES)));
typedef std::uint32_t UInt32Vec __attribute__((vector_size(HOPFLOW_VECTOR_BYTES)));
typedef std::uint16_t HalfBits __attribute__((vector_size(HOPFLOW_VECTOR_BYTES / 2)));

template <typename Acc>
struct VectorOf;
template <>
struct VectorOf<float> {
  using Vec = FloatVec;
  using Int = Int32Vec;  // what a comparison gives
  using IntLane = std::int32_t;
};
template <>
struct VectorOf<double> {
  using Vec = DoubleVec;
  using Int = Int64Vec;
  using IntLane = std::int64_t;
};

template <typename T>
using VecFor = typename VectorOf<Accumulator<T>>::Vec;
template <typename T>
using IntFor = typename VectorOf<Accumulator<T>>::Int;
template <typename T>
constexpr std::int64_t kLanes = HOPFLOW_VECTOR_BYTES / sizeof(Accumulator<T>);

[[gnu::always_inline]] inline FloatVec LoadVec(const float* x) {
  FloatVec v;
  __builtin_memcpy(&v, x, sizeof v);
  return v;
}
[[gnu::always_inline]] inline DoubleVec LoadVec(const double* x) {
  DoubleVec v;
  __builtin_memcpy(&v, x, sizeof v);
  return v;
}
[[gnu::always_inline]] inline UInt32Vec LoadHalfBits(const void* x) {
  HalfBits bits;
  __builtin_memcpy(&bits, x, sizeof bits);
  return __builtin_convertvector(bits, UInt32Vec);
}
[[gnu::always_inline]] inline FloatVec LoadVec(const BFloat16* x) {
  const UInt32Vec bits = LoadHalfBits(x) << 16;
  FloatVec v;
  __builtin_memcpy(&v, &bits, sizeof v);
  return v;
}
// Widen(Float16) of dtype.h, a vector at a time.
[[gnu::always_inline]] inline FloatVec LoadVec(const Float16* x) {
  const UInt32Vec half = LoadHalfBits(x);
  const UInt32Vec magnitude = (half & 0x7fffu) << 13;
  FloatVec value;
  __builtin_memcpy(&value, &magnitude, sizeof value);
  value *= 0x1p112f;
  UInt32Vec bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  const UInt32Vec special = (half & 0x7c00u) == 0x7c00u;  // all ones where infinity or NaN
  bits = (special & (magnitude | 0x7f800000u)) | (~special & bits);
  bits |= (half & 0x8000u) << 16;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

[[gnu::always_inline]] inline void StoreVec(float* out, FloatVec v) {
  __builtin_memcpy(out, &v, sizeof v);
}
[[gnu::always_inline]] inline void StoreVec(double* out, DoubleVec v) {
  __builtin_memcpy(out, &v, sizeof v);
}
[[gnu::always_inline]] inline void StoreHalfBits(void* out, UInt32Vec bits) {
  const HalfBits half = __builtin_convertvector(bits, HalfBits);
  __builtin_memcpy(out, &half, sizeof half);
}
// Narrow<BFloat16> of dtype.h, a vector at a time.
[[gnu::always_inline]] inline void StoreVec(BFloat16* out, FloatVec v) {
  UInt32Vec bits;
  __builtin_memcpy(&bits, &v, sizeof bits);
  const UInt32Vec nan = UInt32Vec{} + 0x7fc0u;
  const UInt32Vec rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  StoreHalfBits(out, (bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}
// Narrow<Float16> of dtype.h, a vector at a time: all cases are computed and the right one chosen.
[[gnu::always_inline]] inline void StoreVec(Float16* out, FloatVec v) {
  UInt32Vec bits;
  __builtin_memcpy(&bits, &v, sizeof bits);
  const UInt32Vec sign = (bits >> 16) & 0x8000u;
  bits &= 0x7fffffffu;
  FloatVec magnitude;
  __builtin_memcpy(&magnitude, &bits, sizeof magnitude);
  magnitude += 0.5f;
  UInt32Vec subnormal;
  __builtin_memcpy(&subnormal, &magnitude, sizeof subnormal);
  subnormal -= 0x3f000000u;
  const UInt32Vec normal = (bits + 0xc8000fffu + ((bits >> 13) & 1u)) >> 13;
  const UInt32Vec infinity = UInt32Vec{} + 0x7c00u;
  const UInt32Vec nan = UInt32Vec{} + 0x7e00u;
  UInt32Vec half = bits < 0x38800000u ? subnormal : normal;
  half = bits >= 0x47800000u ? infinity : half;
  half = bits > 0x7f800000u ? nan : half;
  StoreHalfBits(out, half | sign);
}

// Vectors of a row kept in registers at a time: 8 of 16 (AVX2) or 32 (AVX-512).
constexpr int kMostVecs = 8;

// Vectors cover [column, column + n) of a row; the last one is pushed back to end with the row and
// overlaps its neighbour, which computes the same numbers twice instead of handling a tail.
template <int kVecs, typename T>
[[gnu::always_inline]] inline void VecOffsets(std::int64_t column, std::int64_t width,
                                              std::int64_t* offset) {  // [kVecs]
  for (int i = 0; i < kVecs; ++i) {
    const std::int64_t at = column + i * kLanes<T>;
    offset[i] = at + kLanes<T> <= width ? at : width - kLanes<T>;
  }
}

// Calls f.template operator()<kVecs>(column) for the blocks of columns of a row that is at least
// one vector wide.
template <typename T, typename F>
[[gnu::always_inline]] inline void ForVecColumns(std::int64_t width, const F& f) {
  for (std::int64_t column = 0; column < width; column += kMostVecs * kLanes<T>) {
    const std::int64_t vecs = (width - column + kLanes<T> - 1) / kLanes<T>;
    if (vecs > 4) {
      f.template operator()<8>(column);
    } else if (vecs > 2) {
      f.template operator()<4>(column);
    } else if (vecs == 2) {
      f.template operator()<2>(column);
    } else {
      f.template operator()<1>(column);
    }
  }
}

}  // namespace
}  // namespace HOPFLOW_ISA
}  // namespace hopflow::cpu
