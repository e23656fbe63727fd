/* avx2_vnni.c: the same with byte dot products (AVX-VNNI). */
#if defined(__x86_64__)

#define TARGET_NAME "avx2,fma,f16c,avxvnni"
#define HAVE_VNNI
#include "kernels/vector_avx2.h"
#include "kernels/vector_table.h"

VECTOR_TABLE(kernels_avx2_vnni, "avx2", "AVX2 VNNI", 0x61320001, 0x61321001, 0x61322001);

#endif
