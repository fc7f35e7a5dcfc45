#include "owners/owners.h"

#include <limits>
#include <tuple>
#include <vector>

#include "bindings/bind.h"

namespace py = pybind11;

namespace hopflow {
namespace {

constexpr const char* kSplitOp = "split_by_owner";
constexpr const char* kJoinOp = "join_rows";

void SplitBinding(const TensorView& ids, const TensorView& place, const TensorView& starts,
                  const MaybeTensor& cached, const TensorView& offsets, const TensorView& rows,
                  const TensorView& slots) {
  const Operand operand{"ids", ids};
  operand.OfDim(1).Index().Contiguous().OnCpu(kSplitOp);
  Operand{"place", place}.OfDim(1).Index().Contiguous().OnCpu(kSplitOp);
  const Operand start{"starts", starts};
  start.OfDim(1).OfType(DType::kInt64).Contiguous().OnCpu(kSplitOp);
  const std::int64_t num_ids = ids.size(0), num_nodes = place.size(0);
  const std::int64_t num_parts = starts.size(0) - 1;
  CheckValue(num_ids <= std::numeric_limits<std::int32_t>::max(), "ids: at most 2^31 - 1, got ",
             num_ids);
  CheckIndptr(start, num_nodes);
  CheckValue(num_parts >= 1, "starts: expected at least two elements, got one");
  if (cached) Operand{"cached", *cached}.OfType(DType::kInt32).OfSize(num_nodes).Contiguous();
  const Operand offset{"offsets", offsets};
  offset.OfType(DType::kInt64).OfSize(num_parts + (cached ? 2 : 1)).Contiguous();
  Operand{"rows", rows}.Index().OfSize(num_ids).Contiguous();
  Operand{"slots", slots}.OfType(DType::kInt32).OfSize(num_ids).Contiguous();
  py::gil_scoped_release release;
  CheckIds(operand, num_nodes, "number of nodes");
  DispatchIndex(ids.dtype, "ids", [&]<typename Id>(Type<Id>) {
    DispatchIndex(place.dtype, "place", [&]<typename Place>(Type<Place>) {
      DispatchIndex(rows.dtype, "rows", [&]<typename Row>(Type<Row>) {
        const cpu::OwnersView<Place> owners{.num_nodes = num_nodes,
                                            .place = place.as<Place>(),
                                            .num_parts = num_parts,
                                            .starts = starts.as<std::int64_t>(),
                                            .cached = DataOrNull<std::int32_t>(cached)};
        cpu::SplitByOwner(num_ids, owners, ids.as<Id>(), offsets.as<std::int64_t>(), rows.as<Row>(),
                          slots.as<std::int32_t>());
      });
    });
  });
}

// pieces: [(x, ids or None, count)].
void JoinBinding(const std::vector<std::tuple<TensorView, MaybeTensor, std::int64_t>>& pieces,
                 const TensorView& slots, const TensorView& out) {
  const Operand slot{"slots", slots};
  slot.OfType(DType::kInt32).OfDim(1).Contiguous().OnCpu(kJoinOp);
  Operand{"out", out}.Contiguous().OnCpu(kJoinOp);
  CheckValue(out.ndim >= 1 && out.size(0) == slots.size(0), "out: expected ", slots.size(0),
             " rows, got ", out.ShapeString());
  const std::int64_t row_bytes = out.row_numel() * out.item_bytes;
  std::vector<cpu::RowsView> views;
  std::int64_t total = 0;
  DType id_type = DType::kOther;
  for (const auto& [x, ids, count] : pieces) {
    const Operand rows{"x", x};
    rows.RowsContiguous().OnCpu(kJoinOp);
    CheckValue(x.row_numel() * x.item_bytes == row_bytes, "x: expected rows like those of out ",
               out.ShapeString(), ", got ", x.ShapeString());
    if (ids) {
      const Operand own{"ids", *ids};
      own.Index().OfSize(count).Contiguous().OnCpu(kJoinOp);
      CheckType(id_type == DType::kOther || id_type == ids->dtype,
                "ids: expected one dtype for all pieces");
      id_type = ids->dtype;
      CheckIds(own, x.size(0), "rows of x");
    } else {
      CheckValue(0 <= count && count <= x.size(0), "count: expected 0 to ", x.size(0), ", got ",
                 count);
    }
    total += count;
    views.push_back({.count = count,
                     .x = x.data,
                     .row_stride_bytes = x.stride[0] * x.item_bytes,
                     .ids = ids ? ids->data : nullptr});
  }
  if (id_type == DType::kOther) id_type = DType::kInt32;
  py::gil_scoped_release release;
  CheckIds(slot, total, "rows of all pieces");
  DispatchIndex(id_type, "ids", [&]<typename Id>(Type<Id>) {
    cpu::JoinRows<Id>(slots.size(0), row_bytes, views, slots.as<std::int32_t>(), out.data);
  });
}

}  // namespace

void BindOwners(py::module_& module) {
  module.def("split_by_owner", &SplitBinding, py::arg("ids"), py::arg("place"), py::arg("starts"),
             py::arg("cached"), py::arg("offsets"), py::arg("rows"), py::arg("slots"));
  module.def("join_rows", &JoinBinding, py::arg("pieces"), py::arg("slots"), py::arg("out"));
}

}  // namespace hopflow
