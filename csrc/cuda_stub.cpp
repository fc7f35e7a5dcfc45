// Stands in for every *_cuda.cu when the module is built without nvcc.
#include "device.h"

namespace hopflow::cuda {

bool IsBuilt() { return false; }

std::string BuildVersion() { return ""; }

std::vector<DeviceInfo> Devices(std::string* problem) {
  *problem = "built without CUDA";
  return {};
}

}  // namespace hopflow::cuda
