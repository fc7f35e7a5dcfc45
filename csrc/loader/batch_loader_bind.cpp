#include "loader/batch_loader.h"

#include <chrono>
#include <memory>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "blocks/blocks_bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kBatchLoaderOp = "BatchLoader";

// How often a wait looks for Ctrl-C.
constexpr std::chrono::milliseconds kPatience{50};

// The maps and lists of a loader's workers, kept from one epoch to the next: a map costs a pass
// over all nodes to make. Touched with the interpreter's lock held only, so fork() finds it whole.
class ScratchCache {
 public:
  std::unique_ptr<cpu::BlocksScratch> Take(const GraphView& graph) {
    if (free_.empty()) {
      return std::make_unique<cpu::BlocksScratch>(graph, cpu::Numbering::kDirect);
    }
    auto scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }
  void Give(std::vector<std::unique_ptr<cpu::BlocksScratch>> scratch) {
    for (auto& one : scratch) free_.push_back(std::move(one));
  }

 private:
  std::vector<std::unique_ptr<cpu::BlocksScratch>> free_;
};

Decoding DecodingOf(const std::string& code, const MaybeTensor& scale, const MaybeTensor& offset,
                    std::int64_t width, const std::string& out) {
  const auto float_type = [](const std::string& name) {
    for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
      if (name == Name(dtype)) return dtype;
    }
    throw std::invalid_argument(StrCat("dtype: expected float32, float16 or bfloat16, got ", name));
  };
  Decoding decoding{.encoding = {}, .width = width, .out_type = float_type(out)};
  if (code == "by_row") {
    decoding.encoding.code = Code::kByRow;
  } else if (code == "by_column") {
    CheckValue(scale && offset, "scale, offset: expected both");
    for (const auto& [name, view] : {Operand{"scale", *scale}, Operand{"offset", *offset}}) {
      Operand{name, view}.OfType(DType::kFloat32).OfSize(width).Contiguous().OnCpu(kBatchLoaderOp);
    }
    decoding.encoding = {Code::kByColumn, scale->as<float>(), offset->as<float>()};
  } else {
    decoding.encoding.code = FloatCode(float_type(code), "column");
  }
  return decoding;
}

// The loader with what keeps its memory alive.
class BoundLoader {
 public:
  BoundLoader(const py::list& relations, std::vector<std::int64_t> num_nodes,
              const py::object& seeds, std::vector<std::vector<std::int64_t>> fanouts, bool replace,
              bool wide_output, std::int64_t batch_size, std::vector<std::int64_t> batches,
              std::uint64_t seed, std::uint64_t epoch, int num_workers, std::int64_t capacity,
              std::shared_ptr<ScratchCache> cache)
      : kept_{py::tuple(relations), seeds}, cache_(std::move(cache)) {
    const auto operands = relations.cast<std::vector<RelationOperand>>();
    for (const RelationOperand& relation : operands) {
      Operand{"indices", std::get<1>(relation)}.OnCpu(kBatchLoaderOp);
    }
    const TensorView seed_view = ViewOf(seeds);
    const Operand operand{"seeds", seed_view};
    operand.OfDim(1).Index().Contiguous().OnCpu(kBatchLoaderOp);
    LoaderPlan plan{
        .graph =
            ViewOfGraph(Place(kBatchLoaderOp, "seeds", seed_view), operands, std::move(num_nodes)),
        .seeds = {.count = seed_view.size(0), .ids = seed_view.data, .id_type = seed_view.dtype},
        .batch_size = batch_size,
        .batches = std::move(batches),
        .fanouts = std::move(fanouts),
        .replace = replace,
        .output_type = wide_output ? DType::kInt64 : DType::kInt32,
        .seed = seed,
        .epoch = epoch,
        .num_workers = num_workers,
        .capacity = capacity};
    num_nodes_ = plan.graph.num_nodes;
    CheckIds(operand, std::accumulate(num_nodes_.begin(), num_nodes_.end(), std::int64_t{0}),
             "number of nodes");
    CheckFanouts(plan.fanouts, operands.size());
    CheckValue(batch_size >= 1 && num_workers >= 0 && capacity >= 1,
               "BatchLoader: num_workers must not be negative, batch_size and capacity at least 1");
    const std::int64_t num_batches =
        plan.seeds.count / batch_size + (plan.seeds.count % batch_size != 0);
    for (const std::int64_t batch : plan.batches) {
      CheckValue(0 <= batch && batch < num_batches, "batches: got number ", batch,
                 ", the seeds fill ", num_batches);
    }
    num_hops_ = static_cast<int>(plan.fanouts.size());
    num_relations_ = static_cast<int>(operands.size());
    id_type_ = plan.graph.id_type;
    output_type_ = plan.output_type;
    std::vector<std::unique_ptr<cpu::BlocksScratch>> scratch;
    for (int w = 0; w < std::max(1, num_workers); ++w) scratch.push_back(cache_->Take(plan.graph));
    loader_ = std::make_unique<BatchLoader>(std::move(plan), std::move(scratch));
  }

  ~BoundLoader() { Close(); }

  // columns: [(tensor or DiskRows, or a tuple of one with how it is encoded, type, level)];
  // transposes: [(hop, relation)], hops counted from
  // the seeds outwards.
  void SetRequests(std::int64_t number, const py::list& columns,
                   const std::vector<std::pair<int, int>>& transposes) {
    Requests requests{.number = number, .columns = {}, .transposes = {}};
    for (const py::handle column : columns) {
      const auto [rows, type, level] = column.cast<std::tuple<py::object, int, int>>();
      const auto num_types = static_cast<int>(num_nodes_.size());
      CheckValue(0 <= type && type < num_types, "type: expected 0 to ", num_types - 1, ", got ",
                 type);
      CheckValue(0 <= level && level <= num_hops_, "level: expected 0 to ", num_hops_, ", got ",
                 level);
      requests.columns.push_back(RequestOf(rows, type, level));
    }
    for (const auto& [hop, relation] : transposes) {
      CheckValue(0 <= hop && hop < num_hops_, "hop: expected 0 to ", num_hops_ - 1, ", got ", hop);
      CheckValue(0 <= relation && relation < num_relations_, "relation: expected 0 to ",
                 num_relations_ - 1, ", got ", relation);
      requests.transposes.push_back({hop, relation});
    }
    loader_->SetRequests(std::move(requests));
  }

  ColumnRequest RequestOf(const py::object& column, int type, int level) const {
    ColumnRequest request{.type = type, .level = level};
    std::int64_t num_rows;
    if (py::isinstance<py::tuple>(column)) {
      const auto [rows, code, scale, offset, width, out] =
          column.cast<std::tuple<py::object, std::string, MaybeTensor, MaybeTensor, std::int64_t,
                                 std::string>>();
      request = RequestOf(rows, type, level);
      request.decoding = DecodingOf(code, scale, offset, width, out);
      const std::int64_t bytes = EncodedBytes(request.decoding->encoding.code, width);
      CheckValue(bytes == request.row_bytes, "column: expected rows of ", bytes, " bytes, got ",
                 request.row_bytes);
      return request;
    }
    if (py::isinstance<cpu::DiskRows>(column)) {
      request.on_disk = column.cast<std::shared_ptr<cpu::DiskRows>>();
      request.row_bytes = request.on_disk->options().row_bytes;
      num_rows = request.on_disk->options().num_rows;
    } else {
      const TensorView view = ViewOf(column);
      Operand{"column", view}.RowsContiguous().OnCpu(kBatchLoaderOp);
      request.data = view.data;
      request.row_bytes = view.row_numel() * view.item_bytes;
      request.row_stride_bytes = view.stride[0] * view.item_bytes;
      num_rows = view.size(0);
    }
    CheckValue(num_rows == num_nodes_[type], "column: expected ", num_nodes_[type], " rows, got ",
               num_rows);
    return request;
  }

  // None after the last batch, else (ToTensors, request number, columns as bytes, transposes,
  // BatchTimes).
  // Waits for at most so many seconds, if not 0.
  py::object Next(double timeout) {
    const std::int64_t place = loader_->Claim();
    if (place < 0) return py::none();
    const auto start = std::chrono::steady_clock::now();
    std::optional<LoadedBatch> loaded;
    for (;;) {
      {
        py::gil_scoped_release release;
        const auto limit = std::chrono::milliseconds(static_cast<std::int64_t>(1e3 * timeout) + 1);
        loaded = loader_->Wait(place, timeout > 0 && limit < kPatience ? limit : kPatience);
      }
      if (loaded) break;
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - start;
      if (timeout > 0 && waited.count() >= timeout) {
        throw std::runtime_error(StrCat("DataLoader timed out after ", timeout, " seconds"));
      }
    }
    const BatchTimes times = loaded->times;
    py::list columns, transposes;
    for (Buffer& column : loaded->columns) {
      const auto bytes = static_cast<std::int64_t>(column.bytes());
      columns.append(ToTensor(std::move(column), DType::kOther, bytes));
    }
    for (TransposedEdges& edges : loaded->transposes) {
      const auto num_edges = static_cast<std::int64_t>(edges.rows.bytes() / sizeof(std::int32_t));
      const auto num_rows = static_cast<std::int64_t>(edges.indptr.bytes() / sizeof(std::int64_t));
      transposes.append(
          py::make_tuple(ToTensor(std::move(edges.indptr), DType::kInt64, num_rows),
                         ToTensor(std::move(edges.rows), DType::kInt32, num_edges),
                         ToTensor(std::move(edges.positions), DType::kInt32, num_edges)));
    }
    return py::make_tuple(
        ToTensors(std::move(loaded->blocks), id_type_, output_type_), loaded->request_number,
        columns, transposes,
        py::make_tuple(times.sampling, times.gathering, times.reading, times.transposing));
  }

  void Close() {
    std::vector<std::unique_ptr<cpu::BlocksScratch>> scratch;
    {
      py::gil_scoped_release release;
      scratch = loader_->Close();
    }
    cache_->Give(std::move(scratch));
  }

 private:
  std::vector<py::object> kept_;
  std::shared_ptr<ScratchCache> cache_;
  std::vector<std::int64_t> num_nodes_;
  int num_hops_ = 0, num_relations_ = 0;
  DType id_type_ = DType::kOther, output_type_ = DType::kOther;
  std::unique_ptr<BatchLoader> loader_;
};

}  // namespace

void BindBatchLoader(py::module_& module) {
  py::class_<ScratchCache, std::shared_ptr<ScratchCache>>(module, "ScratchCache").def(py::init<>());
  py::class_<BoundLoader>(module, "BatchLoader")
      .def(py::init<const py::list&, std::vector<std::int64_t>, const py::object&,
                    std::vector<std::vector<std::int64_t>>, bool, bool, std::int64_t,
                    std::vector<std::int64_t>, std::uint64_t, std::uint64_t, int, std::int64_t,
                    std::shared_ptr<ScratchCache>>(),
           py::arg("relations"), py::arg("num_nodes"), py::arg("seeds"), py::arg("fanouts"),
           py::arg("replace"), py::arg("wide_output"), py::arg("batch_size"), py::arg("batches"),
           py::arg("seed"), py::arg("epoch"), py::arg("num_workers"), py::arg("capacity"),
           py::arg("cache"))
      .def("set_requests", &BoundLoader::SetRequests, py::arg("number"), py::arg("columns"),
           py::arg("transposes"))
      .def("next", &BoundLoader::Next, py::arg("timeout"))
      .def("close", &BoundLoader::Close);
}

}  // namespace hopflow
