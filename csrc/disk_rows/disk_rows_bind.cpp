#include "disk_rows/disk_rows.h"

#include <algorithm>
#include <memory>
#include <string>

#include "bindings/bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

using cpu::DiskRows;
using cpu::Reader;

constexpr const char* kDiskRowsOp = "DiskRows";
constexpr std::int64_t kMostBytes = std::int64_t{1} << 62;

Reader ReaderNamed(const std::string& name) {
  for (const Reader reader : {Reader::kAuto, Reader::kIoUring, Reader::kThreads}) {
    if (name == cpu::Name(reader)) return reader;
  }
  throw std::invalid_argument(
      StrCat("reader: expected auto, io_uring or threads, got '", name, "'"));
}

std::shared_ptr<DiskRows> MakeDiskRows(std::string path, std::int64_t first_byte,
                                       std::int64_t num_rows, std::int64_t row_bytes,
                                       std::int64_t capacity, bool direct, bool writable,
                                       const std::string& reader) {
  CheckValue(first_byte >= 0 && num_rows >= 0 && row_bytes >= 0 && capacity >= 0,
             "DiskRows: sizes must not be negative");
  // What all offsets in the file, and all sizes of the cache, stay below.
  std::int64_t end = 0;
  const bool fits =
      !__builtin_mul_overflow(num_rows, std::max<std::int64_t>(row_bytes, 16), &end) &&
      !__builtin_add_overflow(end, first_byte, &end) && end < kMostBytes;
  CheckValue(fits, "DiskRows: ", num_rows, " rows of ", row_bytes, " bytes from byte ", first_byte,
             " on are more than a file can have");
  const Reader kind = ReaderNamed(reader);
  py::gil_scoped_release release;
  return std::make_shared<DiskRows>(cpu::DiskRowsOptions{.path = std::move(path),
                                                         .first_byte = first_byte,
                                                         .num_rows = num_rows,
                                                         .row_bytes = row_bytes,
                                                         .capacity = capacity,
                                                         .direct = direct,
                                                         .writable = writable,
                                                         .reader = kind});
}

void CheckIdsOf(const DiskRows& disk, const TensorView& ids) {
  const Operand operand{"ids", ids};
  operand.OfDim(1).Index().Contiguous().OnCpu(kDiskRowsOp);
  py::gil_scoped_release release;
  CheckIds(operand, disk.options().num_rows, "rows on disk");
}

void CheckRowsOf(const DiskRows& disk, const char* name, const TensorView& ids,
                 const TensorView& rows) {
  Operand{name, rows}.Contiguous().OnCpu(kDiskRowsOp);
  const std::int64_t bytes = rows.row_numel() * rows.item_bytes;
  CheckValue(rows.ndim >= 1 && rows.size(0) == ids.size(0) && bytes == disk.options().row_bytes,
             name, ": expected ", ids.size(0), " rows of ", disk.options().row_bytes,
             " bytes, got shape ", rows.ShapeString(), " and ", bytes, " bytes a row");
}

void ReadBinding(DiskRows& disk, const TensorView& ids, const TensorView& out) {
  CheckIdsOf(disk, ids);
  CheckRowsOf(disk, "out", ids, out);
  py::gil_scoped_release release;
  DispatchIndex(ids.dtype, "ids",
                [&]<typename Id>(Type<Id>) { disk.Read(ids.size(0), ids.as<Id>(), out.data); });
}

void WriteBinding(DiskRows& disk, const TensorView& ids, const TensorView& rows) {
  CheckIdsOf(disk, ids);
  CheckRowsOf(disk, "rows", ids, rows);
  CheckValue(disk.options().writable, disk.options().path, ": opened for reading alone");
  py::gil_scoped_release release;
  DispatchIndex(ids.dtype, "ids",
                [&]<typename Id>(Type<Id>) { disk.Write(ids.size(0), ids.as<Id>(), rows.data); });
}

void KeepBinding(DiskRows& disk, const TensorView& ids) {
  CheckIdsOf(disk, ids);
  py::gil_scoped_release release;
  DispatchIndex(ids.dtype, "ids",
                [&]<typename Id>(Type<Id>) { disk.cache().Keep(ids.size(0), ids.as<Id>()); });
}

py::dict UseBinding(const DiskRows& disk) {
  const cpu::DiskRowsUse use = disk.use();
  py::dict found;
  found["rows"] = use.rows;
  found["hits"] = use.hits;
  found["requests"] = use.requests;
  found["bytes"] = use.bytes;
  found["wait_ns"] = use.wait_ns;
  return found;
}

}  // namespace

void BindDiskRows(py::module_& module) {
  py::class_<DiskRows, std::shared_ptr<DiskRows>>(module, "DiskRows")
      .def(py::init(&MakeDiskRows), py::arg("path"), py::arg("first_byte"), py::arg("num_rows"),
           py::arg("row_bytes"), py::arg("capacity"), py::arg("direct"), py::arg("writable"),
           py::arg("reader"))
      .def("read", &ReadBinding, py::arg("ids"), py::arg("out"))
      .def("write", &WriteBinding, py::arg("ids"), py::arg("rows"))
      .def("flush", &DiskRows::Flush, py::call_guard<py::gil_scoped_release>())
      .def("keep", &KeepBinding, py::arg("ids"))
      .def("use", &UseBinding)
      .def_property_readonly("capacity", [](DiskRows& disk) { return disk.cache().capacity(); })
      .def_property_readonly("num_cached",
                             [](DiskRows& disk) {
                               // Whoever holds the cache's lock may take a while.
                               const py::gil_scoped_release release;
                               return disk.cache().size();
                             })
      .def_property_readonly("is_direct", &DiskRows::is_direct);
  module.def("best_reader", [] { return cpu::Name(cpu::BestReader()); });
}

}  // namespace hopflow
