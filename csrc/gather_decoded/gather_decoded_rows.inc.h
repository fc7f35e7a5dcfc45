// The row loops of the decoding gather, compiled by foreach_isa.h: no include guard, no includes.

namespace hopflow::cpu {
namespace HOPFLOW_ISA {
namespace {

// As many bytes as a vector has lanes, from any address, as numbers. GCC widens bytes to four times
// their size by detours, so the one instruction for it is named where there is one.
#if HOPFLOW_X86_VARIANTS && HOPFLOW_VECTOR_BYTES == 64
// With a mask that leaves all in: GCC warns of the plain form's undefined value.
[[gnu::always_inline]] inline FloatVec LoadInt8(const std::byte* q) {
  __m128i bytes;
  __builtin_memcpy(&bytes, q, sizeof bytes);
  return __builtin_convertvector((Int32Vec)_mm512_maskz_cvtepi8_epi32(0xffff, bytes), FloatVec);
}
[[gnu::always_inline]] inline FloatVec LoadUInt8(const std::byte* q) {
  __m128i bytes;
  __builtin_memcpy(&bytes, q, sizeof bytes);
  return __builtin_convertvector((Int32Vec)_mm512_maskz_cvtepu8_epi32(0xffff, bytes), FloatVec);
}
#elif HOPFLOW_X86_VARIANTS && HOPFLOW_VECTOR_BYTES == 32
[[gnu::always_inline]] inline __m128i EightBytes(const std::byte* q) {
  long long bytes;
  __builtin_memcpy(&bytes, q, sizeof bytes);
  return _mm_cvtsi64_si128(bytes);
}
[[gnu::always_inline]] inline FloatVec LoadInt8(const std::byte* q) {
  return __builtin_convertvector((Int32Vec)_mm256_cvtepi8_epi32(EightBytes(q)), FloatVec);
}
[[gnu::always_inline]] inline FloatVec LoadUInt8(const std::byte* q) {
  return __builtin_convertvector((Int32Vec)_mm256_cvtepu8_epi32(EightBytes(q)), FloatVec);
}
#elif defined(__clang__)
template <typename Byte>
[[gnu::always_inline]] inline FloatVec LoadBytes(const std::byte* q) {
  typedef Byte Bytes __attribute__((vector_size(HOPFLOW_VECTOR_BYTES / 4)));
  Bytes bytes;
  __builtin_memcpy(&bytes, q, sizeof bytes);
  return __builtin_convertvector(bytes, FloatVec);
}
[[gnu::always_inline]] inline FloatVec LoadInt8(const std::byte* q) {
  return LoadBytes<std::int8_t>(q);
}
[[gnu::always_inline]] inline FloatVec LoadUInt8(const std::byte* q) {
  return LoadBytes<std::uint8_t>(q);
}
#else
// Every byte four times in a lane of its own, of which a shift or a mask keeps one.
[[gnu::always_inline]] inline Int32Vec SpreadBytes(const std::byte* q) {
  typedef std::uint8_t Bytes __attribute__((vector_size(16)));
  typedef std::uint16_t Pairs __attribute__((vector_size(16)));
  Int32Vec word = {};
  __builtin_memcpy(&word, q, 4);
  const Bytes bytes = (Bytes)word;
  const Pairs twice =
      (Pairs)__builtin_shuffle(bytes, Bytes{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7});
  return (Int32Vec)__builtin_shuffle(twice, Pairs{0, 0, 1, 1, 2, 2, 3, 3});
}
[[gnu::always_inline]] inline FloatVec LoadInt8(const std::byte* q) {
  return __builtin_convertvector(SpreadBytes(q) >> 24, FloatVec);
}
[[gnu::always_inline]] inline FloatVec LoadUInt8(const std::byte* q) {
  return __builtin_convertvector(SpreadBytes(q) & 0xff, FloatVec);
}
#endif

// One element at any address.
template <typename T>
[[gnu::always_inline]] inline T LoadOne(const std::byte* x) {
  T value;
  __builtin_memcpy(&value, x, sizeof value);
  return value;
}

// What one row holds: a vector of its numbers from column `at` on, or one of them.

struct RowByColumn {
  const std::byte* q;
  const float* scale;
  const float* offset;
  [[gnu::always_inline]] FloatVec Vector(std::int64_t at) const {
    return LoadInt8(q + at) * LoadVec(scale + at) + LoadVec(offset + at);
  }
  [[gnu::always_inline]] float One(std::int64_t at) const {
    return static_cast<float>(LoadOne<std::int8_t>(q + at)) * scale[at] + offset[at];
  }
};

struct RowByRow {
  const std::byte* q;
  float scale;
  float bias;
  [[gnu::always_inline]] FloatVec Vector(std::int64_t at) const {
    return LoadUInt8(q + at) * scale + bias;
  }
  [[gnu::always_inline]] float One(std::int64_t at) const {
    return static_cast<float>(LoadOne<std::uint8_t>(q + at)) * scale + bias;
  }
};

template <typename T>
struct RowOfFloats {
  const std::byte* x;
  [[gnu::always_inline]] FloatVec Vector(std::int64_t at) const {
    return LoadVec(reinterpret_cast<const T*>(x) + at);
  }
  [[gnu::always_inline]] float One(std::int64_t at) const {
    return Widen(LoadOne<T>(x + at * static_cast<std::int64_t>(sizeof(T))));
  }
};

// StoreVec, by the instruction that rounds to float16 where there is one: a third of the time less.
// It would keep what a NaN says, unlike the other paths, so those take the long way.
template <typename Out>
[[gnu::always_inline]] inline void StoreNumbers(Out* out, FloatVec v) {
  StoreVec(out, v);
}
#if HOPFLOW_X86_VARIANTS && HOPFLOW_VECTOR_BYTES == 64
[[gnu::always_inline]] inline void StoreNumbers(Float16* out, FloatVec v) {
  if (_mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q) != 0) return StoreVec(out, v);
  const __m256i half = _mm512_maskz_cvtps_ph(0xffff, (__m512)v, _MM_FROUND_TO_NEAREST_INT);
  __builtin_memcpy(out, &half, sizeof half);
}
#elif HOPFLOW_X86_VARIANTS && HOPFLOW_VECTOR_BYTES == 32
[[gnu::always_inline]] inline void StoreNumbers(Float16* out, FloatVec v) {
  const __m256 wide = (__m256)v;
  if (_mm256_movemask_ps(_mm256_cmp_ps(wide, wide, _CMP_UNORD_Q)) != 0) return StoreVec(out, v);
  const __m128i half = _mm256_cvtps_ph(wide, _MM_FROUND_TO_NEAREST_INT);
  __builtin_memcpy(out, &half, sizeof half);
}
#endif

// Asks for all lines that a row touches, up to kPrefetchLines.
[[gnu::always_inline]] inline void PrefetchLines(const std::byte* row, std::int64_t bytes) {
  const std::int64_t most = kPrefetchLines * kCacheLine;
  const std::int64_t ahead = bytes < most ? bytes : most;
  for (std::int64_t byte = 0; byte < ahead; byte += kCacheLine) Prefetch(row + byte);
  Prefetch(row + ahead - 1);  // a row of D + 8 bytes seldom begins with a line
}

template <typename Out, typename Row>
[[gnu::always_inline]] inline void DecodeRow(const Row& row, std::int64_t width, Out* out) {
  constexpr std::int64_t lanes = kLanes<float>;
  if (width < lanes) {
    for (std::int64_t c = 0; c < width; ++c) out[c] = Narrow<Out>(row.One(c));
    return;
  }
  std::int64_t c = 0;
  for (; c + lanes <= width; c += lanes) StoreNumbers(out + c, row.Vector(c));
  // The last vector ends with the row: what it shares with its neighbour is computed twice.
  if (c < width) StoreNumbers(out + width - lanes, row.Vector(width - lanes));
}

// Decodes rows; make_row(address) says what is there, room_for(i) where the numbers of row i go.
template <typename Id, typename MakeRow, typename RoomFor>
void DecodeRows(const GatherDecodedArgs<Id>& a, std::int64_t begin, std::int64_t end,
                const MakeRow& make_row, const RoomFor& room_for) {
  const auto* x = static_cast<const std::byte*>(a.x);
  const std::int64_t bytes = EncodedBytes(a.encoding.code, a.width);
  for (std::int64_t i = begin; i < end; ++i) {
    std::int64_t id = i;
    if (a.ids != nullptr) {
      id = a.ids[i];
      if (i + kPrefetchRows < end) {
        PrefetchLines(x + a.ids[i + kPrefetchRows] * a.row_stride_bytes, bytes);
      }
    }
    DecodeRow(make_row(x + id * a.row_stride_bytes), a.width, room_for(i));
  }
}

template <typename Out, typename Id, typename MakeRow>
void DecodeRows(const GatherDecodedArgs<Id>& a, std::int64_t begin, std::int64_t end,
                const MakeRow& make_row) {
  Out* const out = static_cast<Out*>(a.out);
  const std::int64_t out_bytes = a.width * static_cast<std::int64_t>(sizeof(Out));
  if (out_bytes <= LineStream::kMostBytes && a.num_ids * out_bytes >= kLeastStreamedBytes) {
    LineStream stream(out + begin * a.width);
    DecodeRows(a, begin, end, make_row,
               [&](std::int64_t) { return reinterpret_cast<Out*>(stream.Next(out_bytes)); });
  } else {
    DecodeRows(a, begin, end, make_row, [&](std::int64_t i) { return out + i * a.width; });
  }
}

template <typename Out, typename Id>
void DecodeRowsTo(const GatherDecodedArgs<Id>& a, std::int64_t begin, std::int64_t end) {
  const Encoding& encoding = a.encoding;
  switch (encoding.code) {
    case Code::kByColumn:
      return DecodeRows<Out>(a, begin, end, [&](const std::byte* row) {
        return RowByColumn{row, encoding.scale, encoding.offset};
      });
    case Code::kByRow:
      return DecodeRows<Out>(a, begin, end, [&](const std::byte* row) {
        return RowByRow{row, LoadOne<float>(row + a.width),
                        LoadOne<float>(row + a.width + sizeof(float))};
      });
    case Code::kFloat32:
      return DecodeRows<Out>(a, begin, end,
                             [](const std::byte* row) { return RowOfFloats<float>{row}; });
    case Code::kFloat16:
      return DecodeRows<Out>(a, begin, end,
                             [](const std::byte* row) { return RowOfFloats<Float16>{row}; });
    case Code::kBFloat16:
      return DecodeRows<Out>(a, begin, end,
                             [](const std::byte* row) { return RowOfFloats<BFloat16>{row}; });
  }
}

}  // namespace

template <typename Id>
void GatherDecodedRows(const GatherDecodedArgs<Id>& a, std::int64_t begin, std::int64_t end) {
  DispatchOutput(a.out_type, [&]<typename Out>(Type<Out>) { DecodeRowsTo<Out>(a, begin, end); });
}

}  // namespace HOPFLOW_ISA
}  // namespace hopflow::cpu
