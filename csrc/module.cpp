// The native module: one registrar for each operator.
#include <pybind11/pybind11.h>

#include "bindings/bind.h"

namespace py = pybind11;

PYBIND11_MODULE(_native, module) {
  module.doc() = "hopflow's kernels. Used through hopflow.ops only.";
  py::register_exception<hopflow::Error>(module, "HopflowError", PyExc_RuntimeError);
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const hopflow::TypeError& e) {
      PyErr_SetString(PyExc_TypeError, e.what());
    }
  });
  hopflow::InitTensorCaster();
  hopflow::BindAddToSources(module);
  hopflow::BindBatchLoader(module);
  hopflow::BindBlocks(module);
  hopflow::BindBufferPool(module);
  hopflow::BindCheckIds(module);
  hopflow::BindCompact(module);
  hopflow::BindCsc(module);
  hopflow::BindDevice(module);
  hopflow::BindDiskRows(module);
  hopflow::BindEdgeSoftmax(module);
  hopflow::BindFrontiers(module);
  hopflow::BindGather(module);
  hopflow::BindGatherDecoded(module);
  hopflow::BindGatv2Scores(module);
  hopflow::BindInducedEdges(module);
  hopflow::BindLabor(module);
  hopflow::BindOwners(module);
  hopflow::BindPartition(module);
  hopflow::BindPprNeighbors(module);
  hopflow::BindRandomWalk(module);
  hopflow::BindSample(module);
  hopflow::BindSampleTemporal(module);
  hopflow::BindSampleWeighted(module);
  hopflow::BindSddmm(module);
  hopflow::BindSddmmBinary(module);
  hopflow::BindSpmm(module);
  hopflow::BindSpmmBinary(module);
}
