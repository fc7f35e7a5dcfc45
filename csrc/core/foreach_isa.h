// Compiles HOPFLOW_ISA_FILE once for every instruction set, each time with
//   HOPFLOW_ISA           the namespace to put it in: baseline, avx2, avx512
//   HOPFLOW_VECTOR_BYTES  the width of one vector register
// The file must have no include guard and include nothing itself: a standard header compiled for
// AVX-512 could replace its baseline twin at link time. (The idea is Highway's foreach_target.)

#define HOPFLOW_ISA baseline
#define HOPFLOW_VECTOR_BYTES 16
#include HOPFLOW_ISA_FILE
#undef HOPFLOW_VECTOR_BYTES
#undef HOPFLOW_ISA

#if HOPFLOW_X86_VARIANTS

#pragma GCC push_options
#pragma GCC target("avx2,f16c")
#define HOPFLOW_ISA avx2
#define HOPFLOW_VECTOR_BYTES 32
#include HOPFLOW_ISA_FILE
#undef HOPFLOW_VECTOR_BYTES
#undef HOPFLOW_ISA
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,f16c,avx512f,avx512bw,avx512vl,avx512dq")
#define HOPFLOW_ISA avx512
#define HOPFLOW_VECTOR_BYTES 64
#include HOPFLOW_ISA_FILE
#undef HOPFLOW_VECTOR_BYTES
#undef HOPFLOW_ISA
#pragma GCC pop_options

#endif
