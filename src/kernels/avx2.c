/* avx2.c: the kernels for CPUs with AVX2, FMA and F16C. */
#if defined(__x86_64__)

#define TARGET_NAME "avx2,fma,f16c"
#include "kernels/vector_avx2.h"
#include "kernels/vector_table.h"

VECTOR_TABLE(kernels_avx2, "avx2", "AVX2", 0x61320001, 0x61321001, 0x61322002);

#endif
