// What the build and the machine offer beyond the CPU.
#pragma once

#include <string>
#include <vector>

namespace hopflow::cuda {

struct DeviceInfo {
  std::string name;
  int major;  // compute capability
  int minor;
};

// Whether CUDA code is in this module, and the CUDA version it was built with ("" if none).
bool IsBuilt();
std::string BuildVersion();

// The devices that the driver shows; empty without a driver. Never throws: `problem` says why none
// were found.
std::vector<DeviceInfo> Devices(std::string* problem);

}  // namespace hopflow::cuda
