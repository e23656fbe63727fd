/* avx512.c: the kernels for CPUs with AVX-512 F, BW, DQ and VL. */
#if defined(__x86_64__)

#define TARGET_NAME "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#include "kernels/vector_avx512.h"
#include "kernels/vector_table.h"

VECTOR_TABLE(kernels_avx512, "avx512", "AVX-512", 0x61350001, 0x61351001, 0x61352001);

#endif
