// Stands in for every *_cuda.cu when the module is built without nvcc. Bindings refuse CUDA tensors
// before they come here (place.cpp); the functions exist so that nothing else needs to know.
#include "blocks/blocks.h"
#include "check_ids/check_ids.h"
#include "compact/compact.h"
#include "core/device.h"
#include "csc/csc.h"
#include "edge_softmax/edge_softmax.h"
#include "gather/gather.h"
#include "gather_decoded/gather_decoded.h"
#include "gatv2_scores/gatv2_scores.h"
#include "induced_edges/induced_edges.h"
#include "labor/labor.h"
#include "random_walk/random_walk.h"
#include "sample/sample.h"
#include "sample_temporal/sample_temporal.h"
#include "sample_weighted/sample_weighted.h"
#include "sddmm/sddmm.h"
#include "sddmm_binary/sddmm_binary.h"
#include "spmm/spmm.h"
#include "spmm_binary/spmm_binary.h"

namespace hopflow::cuda {
namespace {

[[noreturn]] void NotBuilt() { throw Error("hopflow was built without CUDA"); }

}  // namespace

bool IsBuilt() { return false; }
std::string BuildVersion() { return ""; }
std::string BuildArchitectures() { return ""; }
std::vector<DeviceInfo> Devices(std::string* problem) {
  *problem = "built without CUDA";
  return {};
}
int SetDevice(int) { NotBuilt(); }
void WaitForDevices() {}
void* DevicePointer(void*, std::size_t) { return nullptr; }
std::uintptr_t PinMemory(void*, std::size_t) { NotBuilt(); }
void UnpinMemory(std::uintptr_t, bool) { NotBuilt(); }
std::int64_t FirstFall(std::int64_t, std::int64_t, const std::int64_t*, Workspace&) { NotBuilt(); }
DeviceBlocks SampleBlocks(const CscView&, std::int64_t, const void*, const BlocksOptions&,
                          Workspace&) {
  NotBuilt();
}

using I = std::int64_t;

#define HOPFLOW_STUB(Id)                                                                        \
  template <>                                                                                   \
  void GatherRows(I, I, I, const void*, const Id*, const RowCache&, void*, Workspace&) {        \
    NotBuilt();                                                                                 \
  }                                                                                             \
  template <>                                                                                   \
  void GatherDecoded(const GatherDecodedArgs<Id>&, Workspace&) {                                \
    NotBuilt();                                                                                 \
  }                                                                                             \
  template <>                                                                                   \
  I FirstOutside(I, const Id*, I, Workspace&) {                                                 \
    NotBuilt();                                                                                 \
  }                                                                                             \
  template <>                                                                                   \
  I FirstRepeated(I, const Id*, Workspace&) {                                                   \
    NotBuilt();                                                                                 \
  }                                                                                             \
  template <>                                                                                   \
  Id ReadOne(const Id*, Workspace&) {                                                           \
    NotBuilt();                                                                                 \
  }                                                                                             \
  template <>                                                                                   \
  bool IsSorted(I, const Id*, Workspace&) {                                                     \
    NotBuilt();                                                                                 \
  }                                                                                             \
  template <>                                                                                   \
  I CountSampledNeighbors(I, I, I, const I*, const Id*, const SampleOptions&, I*, Workspace&) { \
    NotBuilt();                                                                                 \
  }                                                                                             \
  template <>                                                                                   \
  I CountInducedEdges(I, I, I, I, const I*, const Id*, const I*, const Id*, const I*, I*, I*,   \
                      Workspace&) {                                                             \
    NotBuilt();                                                                                 \
  }                                                                                             \
  template <>                                                                                   \
  void InducedEdges(I, I, I, const I*, const Id*, const I*, const Id*, const I*, const I*, Id*, \
                    I*, Workspace&) {                                                           \
    NotBuilt();                                                                                 \
  }                                                                                             \
  template <>                                                                                   \
  void RandomWalk(const WalkArgs<Id>&, const WalkPath&, Workspace&) {                           \
    NotBuilt();                                                                                 \
  }                                                                                             \
  template <>                                                                                   \
  void Node2vecWalk(const WalkArgs<Id>&, const Node2vecLaw&, Workspace&) {                      \
    NotBuilt();                                                                                 \
  }
HOPFLOW_FOR_ID(HOPFLOW_STUB)
#undef HOPFLOW_STUB

#define HOPFLOW_STUB(A, B)                                                    \
  template <>                                                                 \
  CompactSizes CompactIds(I, I, const A*, const A*, A*, B*, B*, Workspace&) { \
    NotBuilt();                                                               \
  }                                                                           \
  template <>                                                                 \
  void TransposeCsc(I, I, I, const I*, const A*, I*, A*, B*, Workspace&) {    \
    NotBuilt();                                                               \
  }
HOPFLOW_FOR_IDS2(HOPFLOW_STUB)
#undef HOPFLOW_STUB

#define HOPFLOW_STUB(A, B, C)                                                            \
  template <>                                                                            \
  void CooToCsc(I, I, const A*, const A*, I*, B*, C*, Workspace&) {                      \
    NotBuilt();                                                                          \
  }                                                                                      \
  template <>                                                                            \
  void SampleNeighbors(I, I, const I*, const A*, const C*, const B*, const B*, const I*, \
                       const SampleOptions&, A*, C*, Workspace&) {                       \
    NotBuilt();                                                                          \
  }
HOPFLOW_FOR_IDS3(HOPFLOW_STUB)
#undef HOPFLOW_STUB

#define HOPFLOW_STUB(T, Id)                                                       \
  template <>                                                                     \
  void EdgeSoftmax(const EdgeSoftmaxArgs<T, Id>&, Workspace&) {                   \
    NotBuilt();                                                                   \
  }                                                                               \
  template <>                                                                     \
  void EdgeSoftmaxBackward(const EdgeSoftmaxArgs<T, Id>&, Workspace&) {           \
    NotBuilt();                                                                   \
  }                                                                               \
  template <>                                                                     \
  void Gatv2Scores(const Gatv2Args<T, Id>&, Workspace&) {                         \
    NotBuilt();                                                                   \
  }                                                                               \
  template <>                                                                     \
  void Gatv2ScoresBackward(const Gatv2Args<T, Id>&, Workspace&) {                 \
    NotBuilt();                                                                   \
  }                                                                               \
  template <>                                                                     \
  void Spmm(const SpmmArgs<T, Id>&, Reduce, Workspace&) {                         \
    NotBuilt();                                                                   \
  }                                                                               \
  template <>                                                                     \
  void SpmmArgBackward(const SpmmArgBackwardArgs<T, Id>&, Workspace&) {           \
    NotBuilt();                                                                   \
  }                                                                               \
  template <>                                                                     \
  void SpmmEdgeBackward(const SpmmEdgeBackwardArgs<T, Id>&, Reduce, Workspace&) { \
    NotBuilt();                                                                   \
  }                                                                               \
  template <>                                                                     \
  void SddmmDot(const SddmmArgs<T, Id>&, Workspace&) {                            \
    NotBuilt();                                                                   \
  }                                                                               \
  template <>                                                                     \
  void SddmmBinary(const SddmmBinaryArgs<T, Id>&, Workspace&) {                   \
    NotBuilt();                                                                   \
  }                                                                               \
  template <>                                                                     \
  void SpmmBinary(const SpmmBinaryArgs<T, Id>&, Reduce, Workspace&) {             \
    NotBuilt();                                                                   \
  }
HOPFLOW_FOR_FLOAT_ID(HOPFLOW_STUB)
#undef HOPFLOW_STUB

template <>
void InverseDegrees(I, const I*, float*, Workspace&) {
  NotBuilt();
}
template <>
void InverseDegrees(I, const I*, double*, Workspace&) {
  NotBuilt();
}

#define HOPFLOW_STUB(T)                                                   \
  template <>                                                             \
  I CountTemporal(const TimedRows<T>&, I, bool, I*, I*, I*, Workspace&) { \
    NotBuilt();                                                           \
  }
HOPFLOW_STUB(std::int64_t)
HOPFLOW_STUB(double)
#undef HOPFLOW_STUB
#define HOPFLOW_STUB(W)                                                                \
  template <>                                                                          \
  void SampleTemporal(const TemporalArgs<W>&, const I*, const I*, I, I*, Workspace&) { \
    NotBuilt();                                                                        \
  }
HOPFLOW_STUB(float)
HOPFLOW_STUB(double)
#undef HOPFLOW_STUB

I CountWeighted(I, I, const WeightedArgs<float>&, I*, I*, Workspace&) { NotBuilt(); }
#define HOPFLOW_STUB(W)                                                                \
  template <>                                                                          \
  void SumRows(I, const I*, const W*, double*, Workspace&) {                           \
    NotBuilt();                                                                        \
  }                                                                                    \
  template <>                                                                          \
  void SampleWeighted(const WeightedArgs<W>&, const I*, const I*, I, I*, Workspace&) { \
    NotBuilt();                                                                        \
  }
HOPFLOW_STUB(float)
HOPFLOW_STUB(double)
#undef HOPFLOW_STUB

#define HOPFLOW_STUB(Id, W)                                     \
  template <>                                                   \
  LaborEdges SampleLabor(const LaborArgs<Id, W>&, Workspace&) { \
    NotBuilt();                                                 \
  }
HOPFLOW_STUB(std::int32_t, float)
HOPFLOW_STUB(std::int32_t, double)
HOPFLOW_STUB(std::int64_t, float)
HOPFLOW_STUB(std::int64_t, double)
#undef HOPFLOW_STUB

}  // namespace hopflow::cuda
