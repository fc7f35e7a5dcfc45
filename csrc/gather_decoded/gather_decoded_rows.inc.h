// The row loops of the decoding gather, compiled by foreach_isa.h: no include guard, no includes.

namespace hopflow::cpu {
namespace HOPFLOW_ISA {
namespace {

typedef std::int8_t Int8Quarter __attribute__((vector_size(HOPFLOW_VECTOR_BYTES / 4)));
typedef std::uint8_t UInt8Quarter __attribute__((vector_size(HOPFLOW_VECTOR_BYTES / 4)));

// As many bytes as a vector has lanes, as float32.
template <typename Quarter>
[[gnu::always_inline]] inline FloatVec LoadBytes(const std::byte* q) {
  Quarter bytes;
  __builtin_memcpy(&bytes, q, sizeof bytes);
  return __builtin_convertvector(__builtin_convertvector(bytes, Int32Vec), FloatVec);
}

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
    return LoadBytes<Int8Quarter>(q + at) * LoadVec(scale + at) + LoadVec(offset + at);
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
    return LoadBytes<UInt8Quarter>(q + at) * scale + bias;
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

// Asks for all lines that a row touches, up to kPrefetchLines.
[[gnu::always_inline]] inline void PrefetchLines(const std::byte* row, std::int64_t bytes) {
  const std::int64_t most = kPrefetchLines * kCacheLine;
  const std::int64_t ahead = bytes < most ? bytes : most;
  for (std::int64_t byte = 0; byte < ahead; byte += kCacheLine) Prefetch(row + byte);
  Prefetch(row + ahead - 1);  // a row of D + 8 bytes seldom begins with a line
}

// The row at `row`, by make_row(row), as `width` numbers of Out.
template <typename Out, typename Id, typename MakeRow>
void DecodeRows(const GatherDecodedArgs<Id>& a, std::int64_t begin, std::int64_t end,
                const MakeRow& make_row) {
  const auto* x = static_cast<const std::byte*>(a.x);
  const std::int64_t bytes = EncodedBytes(a.encoding.code, a.width);
  const std::int64_t lanes = kLanes<float>;
  for (std::int64_t i = begin; i < end; ++i) {
    std::int64_t id = i;
    if (a.ids != nullptr) {
      id = a.ids[i];
      if (i + kPrefetchRows < end) {
        PrefetchLines(x + a.ids[i + kPrefetchRows] * a.row_stride_bytes, bytes);
      }
    }
    const auto row = make_row(x + id * a.row_stride_bytes);
    Out* out = static_cast<Out*>(a.out) + i * a.width;
    if (a.width < lanes) {
      for (std::int64_t c = 0; c < a.width; ++c) out[c] = Narrow<Out>(row.One(c));
      continue;
    }
    std::int64_t c = 0;
    for (; c + lanes <= a.width; c += lanes) StoreVec(out + c, row.Vector(c));
    // The last vector ends with the row: what it shares with its neighbour is computed twice.
    if (c < a.width) StoreVec(out + a.width - lanes, row.Vector(a.width - lanes));
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
