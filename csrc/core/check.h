// Errors that reach Python. The binding layer maps std::invalid_argument to ValueError,
// std::out_of_range to IndexError, TypeError to TypeError and Error to hopflow.HopflowError.
#pragma once

#include <exception>
#include <sstream>
#include <stdexcept>
#include <string>

namespace hopflow {

// Something the machine or the build cannot do (no CUDA in this build, a CUDA launch that failed).
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class TypeError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace cpu {
// Thrown where a batch was given up; the loader keeps it to itself.
class Cancelled : public std::exception {};
}  // namespace cpu

template <typename... Parts>
std::string StrCat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <typename... Parts>
void CheckValue(bool ok, const Parts&... parts) {
  if (!ok) throw std::invalid_argument(StrCat(parts...));
}

template <typename... Parts>
void CheckIndex(bool ok, const Parts&... parts) {
  if (!ok) throw std::out_of_range(StrCat(parts...));
}

template <typename... Parts>
void CheckType(bool ok, const Parts&... parts) {
  if (!ok) throw TypeError(StrCat(parts...));
}

}  // namespace hopflow
