// Which vector instructions this CPU has. Kernels are compiled once for each (foreach_isa.h) and
// the best is taken at run time, so one wheel is fast on a new machine and runs on an old one.
#pragma once

// Clang has no `#pragma GCC target`; there, and on other processors, the baseline serves alone.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define HOPFLOW_X86_VARIANTS 1
#else
#define HOPFLOW_X86_VARIANTS 0
#endif

namespace hopflow {

enum class Isa { kBaseline = 0, kAvx2 = 1, kAvx512 = 2 };

// The best of what was compiled and what the CPU has, or what LimitIsa set.
Isa CurrentIsa();

// Caps CurrentIsa(): for tests that compare the variants, and for benchmarks.
void LimitIsa(Isa most);

const char* Name(Isa isa);

}  // namespace hopflow
