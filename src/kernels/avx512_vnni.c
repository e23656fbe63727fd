/* avx512_vnni.c: the same with byte dot products (VNNI). */
#if defined(__x86_64__)

#define TARGET_NAME "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"
#define HAVE_VNNI
#include "kernels/vector_avx512.h"
#include "kernels/vector_table.h"

VECTOR_TABLE(kernels_avx512_vnni, "avx512", "AVX-512 VNNI", 0x61350001, 0x61351001, 0x61352001);

#endif
