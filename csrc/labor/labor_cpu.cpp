#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/parallel.h"
#include "core/prefetch.h"
#include "core/simd.h"
#include "labor/labor.h"
#include "labor/labor_row.h"
#include "labor/source_table.h"

#define HOPFLOW_ISA_FILE "labor/labor_scan.inc.h"
#include "core/foreach_isa.h"
#undef HOPFLOW_ISA_FILE
#include "core/run_best.h"

namespace hopflow::cpu {
namespace {

// Work a thread must have to be worth waking: seeds to size, and edges plus seeds to scan.
constexpr std::int64_t kCountGrain = 4096;
constexpr std::int64_t kScanGrain = 32768;
// Rows whose first ids are asked for before they are read.
constexpr std::int64_t kAhead = 8;
// No sum of expected sources falls by less for so long.
constexpr int kMostSteps = 1000;
constexpr double kConverged = 1e-4;
// What a result may hold beyond twice its size, to be spared a copy.
constexpr std::size_t kSpareBytes = 1 << 16;

// An array that grows at its end.
template <typename T>
struct Growing {
  Buffer memory{};
  std::int64_t size = 0;

  T* data() const { return memory.as<T>(); }
  T* end() const { return data() + size; }
  // Room for so many more.
  void Reserve(std::int64_t more) {
    const auto bytes = static_cast<std::size_t>(size + more) * sizeof(T);
    if (bytes <= memory.bytes()) return;
    Buffer grown(bytes + bytes / 2);
    if (size > 0) std::memcpy(grown.as<T>(), data(), static_cast<std::size_t>(size) * sizeof(T));
    memory = std::move(grown);
  }
};

// The in-edges of one seed that are not excluded, numbered from 0.
template <typename Id>
struct Row {
  std::int64_t degree;
  std::int64_t first;      // position of the first edge of the row, excluded or not
  const Id* ids;           // [degree]
  std::int64_t readable;   // ids that may be read
  const std::int64_t* at;  // [degree]: positions; null: first + edge
  std::int64_t Position(std::int64_t edge) const { return at != nullptr ? at[edge] : first + edge; }
};

// What some consecutive seeds keep.
template <typename Id, typename W, typename Position>
struct Part {
  Growing<Id> neighbors;
  Growing<Position> positions;
  Growing<W> weights;
};

template <typename Id, typename W, typename Position>
class Sampler {
 public:
  explicit Sampler(const LaborArgs<Id, W>& args) : args_(args) {}

  LaborEdges Run() {
    const std::int64_t num_seeds = args_.num_seeds;
    Count();
    if (args_.importance != 0) ImproveImportances();
    LaborEdges edges;
    edges.indptr = Buffer::Of<std::int64_t>(num_seeds + 1);
    auto* const indptr = edges.indptr.template as<std::int64_t>();
    indptr[0] = 0;
    const int num_parts = std::max(1, NumParts(work_[num_seeds] + num_seeds, kScanGrain));
    std::vector<Part<Id, W, Position>> parts(num_parts);
    ParallelParts(num_parts, [&](int part) {
      const std::int64_t begin = BalancedRow(work_.data(), num_seeds, part, num_parts);
      const std::int64_t end = BalancedRow(work_.data(), num_seeds, part + 1, num_parts);
      Sample(begin, end, parts[part], indptr);
    });
    for (std::int64_t i = 0; i < num_seeds; ++i) indptr[i + 1] += indptr[i];
    edges.num_edges = indptr[num_seeds];
    Join(parts, &Part<Id, W, Position>::neighbors, edges.num_edges, edges.neighbors);
    Join(parts, &Part<Id, W, Position>::positions, edges.num_edges, edges.positions);
    if (GivesWeights(args_)) {
      Join(parts, &Part<Id, W, Position>::weights, edges.num_edges, edges.weights);
    }
    return edges;
  }

 private:
  // What a thread works on, row after row.
  struct Scratch {
    std::vector<Id> ids;
    std::vector<std::int64_t> at;
    std::vector<double> weights, importances;
  };

  // Edges of each seed that are not excluded, as their sums.
  void Count() {
    work_.assign(args_.num_seeds + 1, 0);
    ParallelFor(args_.num_seeds, kCountGrain, [&](std::int64_t begin, std::int64_t end) {
      const auto in_graph = [&](std::int64_t i) {
        return args_.seeds[i] >= 0 && args_.seeds[i] < args_.num_nodes;
      };
      for (std::int64_t i = begin; i < end; ++i) {
        if (i + kAhead < end && in_graph(i + kAhead))
          Prefetch(args_.indptr + args_.seeds[i + kAhead]);
        const std::int64_t node = args_.seeds[i];
        CheckIndex(in_graph(i), "seeds[", i, "] is ", node, ", but the graph has ", args_.num_nodes,
                   " nodes");
        const std::int64_t first = args_.indptr[node], last = args_.indptr[node + 1];
        CheckValue(0 <= first && first <= last && last <= args_.num_edges, "indptr[", node, ":",
                   node + 2, "] is [", first, ", ", last, "]: no range of the ", args_.num_edges,
                   " edges");
        work_[i + 1] = last - first - (ExcludedFrom(last) - ExcludedFrom(first));
      }
    });
    for (std::int64_t i = 0; i < args_.num_seeds; ++i) work_[i + 1] += work_[i];
  }

  // The first excluded edge at this position or behind it.
  const std::int64_t* ExcludedFrom(std::int64_t position) const {
    if (args_.num_excluded == 0) return args_.excluded;
    return std::lower_bound(args_.excluded, args_.excluded + args_.num_excluded, position);
  }

  // Whether a seed of so many edges keeps them all.
  bool KeepsAll(std::int64_t degree) const { return args_.fanout < 0 || degree <= args_.fanout; }

  Row<Id> RowOf(std::int64_t i, Scratch& scratch) const {
    const std::int64_t first = args_.indptr[args_.seeds[i]];
    const std::int64_t last = args_.indptr[args_.seeds[i] + 1];
    const std::int64_t degree = work_[i + 1] - work_[i];
    if (degree == last - first) {
      return {degree, first, args_.indices + first, args_.num_edges - first, nullptr};
    }
    scratch.ids.clear();
    scratch.at.clear();
    const std::int64_t* next = ExcludedFrom(first);
    const std::int64_t* const end = args_.excluded + args_.num_excluded;
    for (std::int64_t p = first; p < last; ++p) {
      if (next < end && *next == p) {
        ++next;
        continue;
      }
      scratch.ids.push_back(args_.indices[p]);
      scratch.at.push_back(p);
    }
    return {degree, first, scratch.ids.data(), degree, scratch.at.data()};
  }

  // Weights of a row that sum to 1.
  const double* ScaledWeights(const Row<Id>& row, Scratch& scratch) const {
    scratch.weights.resize(row.degree);
    double sum = 0;
    for (std::int64_t e = 0; e < row.degree; ++e) {
      const double weight = args_.weights != nullptr ? args_.weights[row.Position(e)] : 1.0;
      scratch.weights[e] = weight;
      sum += weight;
    }
    for (double& weight : scratch.weights) weight /= sum;
    return scratch.weights.data();
  }

  // The importance of each edge's source: after a step of importance sampling the table's, before
  // the edge's own weight.
  const double* Importances(std::int64_t i, const Row<Id>& row, const double* a,
                            Scratch& scratch) const {
    if (num_steps_ == 0) return a;
    scratch.importances.resize(row.degree);
    const std::uint32_t* const slots = slots_.template as<std::uint32_t>() + work_[i];
    for (std::int64_t e = 0; e < row.degree; ++e) {
      scratch.importances[e] = table_->Importance(slots[e]);
    }
    return scratch.importances.data();
  }

  double ScaleOf(const Row<Id>& row, const double* a, const double* pi) const {
    return SolveScale(
        row.degree, args_.fanout, [a](std::int64_t e) { return a[e]; },
        [pi](std::int64_t e) { return pi[e]; });
  }

  template <typename F>
  void ForRows(F&& f) {
    ParallelRows(work_.data(), args_.num_seeds, kScanGrain,
                 [&](std::int64_t begin, std::int64_t end) {
                   Scratch scratch;
                   for (std::int64_t i = begin; i < end; ++i) f(i, RowOf(i, scratch), scratch);
                 });
  }

  void ImproveImportances() {
    const std::int64_t num_edges = work_[args_.num_seeds];
    table_ = std::make_unique<SourceTable<Id>>(std::min(num_edges, args_.num_src));
    slots_ = Buffer::Of<std::uint32_t>(num_edges);
    auto* const slots = slots_.template as<std::uint32_t>();
    ForRows([&](std::int64_t i, const Row<Id>& row, Scratch&) {
      for (std::int64_t e = 0; e < row.degree; ++e) {
        const Id id = row.ids[e];
        CheckValue(id >= 0 && id < args_.num_src, "indices[", row.Position(e), "] is ", id,
                   ", but there are ", args_.num_src, " source nodes");
        slots[work_[i] + e] = table_->Insert(id);
      }
    });
    const std::int64_t most = args_.importance < 0 ? kMostSteps : args_.importance;
    double expected_before = std::numeric_limits<double>::infinity();
    while (num_steps_ < most) {
      ForRows([&](std::int64_t i, const Row<Id>& row, Scratch& scratch) {
        RaiseImportances(i, row, slots + work_[i], scratch);
      });
      const auto expected = static_cast<double>(table_->Advance());
      ++num_steps_;
      if (args_.importance < 0 && expected >= expected_before * (1 - kConverged)) break;
      expected_before = expected;
    }
  }

  // What one seed asks of the next importances of its sources.
  void RaiseImportances(std::int64_t i, const Row<Id>& row,
                        const std::uint32_t* slots,  // [row.degree]
                        Scratch& scratch) const {
    if (row.degree == 0 || args_.fanout <= 0) return;  // nobody draws
    const auto k = static_cast<double>(args_.fanout), d = static_cast<double>(row.degree);
    const bool is_first = num_steps_ == 0;
    if (is_first && args_.weights == nullptr) {
      for (std::int64_t e = 0; e < row.degree; ++e) table_->Raise(slots[e], k / d);
      return;
    }
    const double* const a = ScaledWeights(row, scratch);
    const double* const pi = Importances(i, row, a, scratch);
    double scale;
    if (KeepsAll(row.degree)) {
      // As without weights, but so that all are certain.
      scale = std::max(is_first ? k : k / d, 1 / *std::min_element(pi, pi + row.degree));
    } else {
      scale = ScaleOf(row, a, pi);
    }
    for (std::int64_t e = 0; e < row.degree; ++e) table_->Raise(slots[e], scale * pi[e]);
  }

  void Sample(std::int64_t begin, std::int64_t end, Part<Id, W, Position>& to,
              std::int64_t* indptr) const {  // [num_seeds + 1], gets counts
    Scratch scratch;
    for (std::int64_t i = begin; i < end; ++i) {
      if (i + 2 * kAhead < end) Prefetch(args_.indptr + args_.seeds[i + 2 * kAhead]);
      if (i + kAhead < end) Prefetch(args_.indices + args_.indptr[args_.seeds[i + kAhead]]);
      const Row<Id> row = RowOf(i, scratch);
      to.neighbors.Reserve(row.degree);
      to.positions.Reserve(row.degree);
      const std::int64_t before = to.neighbors.size;
      if (KeepsAll(row.degree)) {
        std::copy_n(row.ids, row.degree, to.neighbors.end());
        for (std::int64_t e = 0; e < row.degree; ++e) {
          to.positions.end()[e] = static_cast<Position>(row.Position(e));
        }
        if (GivesWeights(args_)) {
          Weigh(
              row, row.degree, [](std::int64_t e) { return e; }, [](std::int64_t) { return 1.0; },
              to);
        }
        to.neighbors.size += row.degree;
        to.positions.size += row.degree;
      } else if (args_.fanout > 0) {
        Draw(i, row, to, scratch);
      }
      indptr[i + 1] = to.neighbors.size - before;
    }
  }

  // Appends the edges of a row that are kept; there is room for all.
  void Draw(std::int64_t i, const Row<Id>& row, Part<Id, W, Position>& to, Scratch& scratch) const {
    Id* const neighbors = to.neighbors.end();
    Position* const positions = to.positions.end();
    std::int64_t count = 0;
    if (!GivesWeights(args_)) {
      const double p = static_cast<double>(args_.fanout) / static_cast<double>(row.degree);
      count = Scan(row, ThresholdOf(p), neighbors, positions);
    } else {
      const double* const a = ScaledWeights(row, scratch);
      const double* const pi = Importances(i, row, a, scratch);
      const double scale = ScaleOf(row, a, pi);
      // Most edges are passed over by the greatest threshold, the others meet their own.
      const double most = *std::max_element(pi, pi + row.degree);
      const auto threshold = [&](std::int64_t e) { return ThresholdOf(Probability(scale, pi[e])); };
      const std::int64_t candidates =
          Scan(row, ThresholdOf(Probability(scale, most)), neighbors, positions);
      for (std::int64_t c = 0; c < candidates; ++c) {
        const auto edge = static_cast<std::int64_t>(positions[c]);
        if (args_.variates(static_cast<std::uint64_t>(neighbors[c])) >= threshold(edge)) continue;
        neighbors[count] = neighbors[c];
        positions[count++] = positions[c];
      }
      Weigh(
          row, count, [&](std::int64_t k) { return static_cast<std::int64_t>(positions[k]); },
          [&](std::int64_t e) { return Probability(scale, pi[e]); }, to);
    }
    for (std::int64_t k = 0; k < count; ++k) {
      positions[k] = static_cast<Position>(row.Position(static_cast<std::int64_t>(positions[k])));
    }
    to.neighbors.size += count;
    to.positions.size += count;
  }

  // Sources and numbers of a row's edges whose variate is below a threshold.
  std::int64_t Scan(const Row<Id>& row, std::uint64_t threshold, Id* neighbors,
                    Position* edges) const {  // [row.degree], both
    std::int64_t count = 0;
    const auto scan = [&](auto&& one_key, auto&& two_keys) {
      const auto& keep = args_.variates.share == 0 ? one_key : two_keys;
      count = keep(row.ids, row.degree, row.readable, args_.variates, threshold, neighbors, edges);
    };
    RunBest(
        [&] {
          scan(avx512::KeepBelow<false, Id, Position>, avx512::KeepBelow<true, Id, Position>);
        },
        [&] { scan(avx2::KeepBelow<false, Id, Position>, avx2::KeepBelow<true, Id, Position>); },
        [&] {
          scan(baseline::KeepBelow<false, Id, Position>, baseline::KeepBelow<true, Id, Position>);
        });
    return count;
  }

  // Appends the weights of `count` edges of a row, `edge_of(k)` being the k-th.
  template <typename EdgeOf, typename ChanceOf>
  void Weigh(const Row<Id>& row, std::int64_t count, const EdgeOf& edge_of,
             const ChanceOf& chance_of, Part<Id, W, Position>& to) const {
    to.weights.Reserve(count);
    W* const out = to.weights.end();
    to.weights.size += count;
    const auto weight_of = [&](std::int64_t k) -> double {
      return args_.weights != nullptr ? args_.weights[row.Position(edge_of(k))] : 1.0;
    };
    double unit = 1, factor = 1;
    const auto inverse_chance = [&](std::int64_t k) {
      return weight_of(k) / unit / chance_of(edge_of(k));
    };
    if (args_.normalize && count > 0) {
      // Ratios are all that counts: of denormal weights the factor, of huge ones the sum would be
      // infinite.
      unit = 0;
      for (std::int64_t k = 0; k < count; ++k) unit = std::max(unit, weight_of(k));
      double sum = 0;
      for (std::int64_t k = 0; k < count; ++k) sum += inverse_chance(k);
      factor = static_cast<double>(count) / sum;
    }
    for (std::int64_t k = 0; k < count; ++k) out[k] = static_cast<W>(inverse_chance(k) * factor);
  }

  // One array from those of all parts, without a copy if there is one part.
  template <typename T>
  static void Join(std::vector<Part<Id, W, Position>>& parts,
                   Growing<T> Part<Id, W, Position>::* member, std::int64_t count, Buffer& to) {
    const auto bytes = static_cast<std::size_t>(count) * sizeof(T);
    if (Buffer& only = (parts[0].*member).memory; parts.size() == 1 && only) {
      if (only.bytes() <= 2 * bytes + kSpareBytes) {
        to = std::move(only);
        return;
      }
    }
    to = Buffer::Of<T>(count);
    std::vector<std::int64_t> begins{0};
    for (auto& part : parts) begins.push_back(begins.back() + (part.*member).size);
    ParallelParts(static_cast<int>(parts.size()), [&](int p) {
      const Growing<T>& from = parts[p].*member;
      std::copy_n(from.data(), from.size, to.template as<T>() + begins[p]);
    });
  }

  const LaborArgs<Id, W>& args_;
  std::vector<std::int64_t> work_;  // [num_seeds + 1]: edges before each seed's
  std::unique_ptr<SourceTable<Id>> table_;
  Buffer slots_;  // uint32, of each of these edges; without importance sampling none
  std::int64_t num_steps_ = 0;
};

}  // namespace

template <typename Id, typename W>
LaborEdges SampleLabor(const LaborArgs<Id, W>& args) {
  LaborEdges edges;
  const bool is_narrow = args.num_edges <= std::numeric_limits<std::int32_t>::max();
  const DType type = is_narrow ? DType::kInt32 : DType::kInt64;
  DispatchIndex(type, "positions", [&]<typename Position>(Type<Position>) {
    edges = Sampler<Id, W, Position>(args).Run();
  });
  edges.position_type = type;
  return edges;
}

#define HOPFLOW_INSTANTIATE(Id, W) template LaborEdges SampleLabor<Id, W>(const LaborArgs<Id, W>&);
HOPFLOW_INSTANTIATE(std::int32_t, float)
HOPFLOW_INSTANTIATE(std::int32_t, double)
HOPFLOW_INSTANTIATE(std::int64_t, float)
HOPFLOW_INSTANTIATE(std::int64_t, double)
#undef HOPFLOW_INSTANTIATE

}  // namespace hopflow::cpu
