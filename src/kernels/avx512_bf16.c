/* avx512_bf16.c: the same with byte (VNNI) and bf16 dot products. */
#if defined(__x86_64__)

#define TARGET_NAME "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c"
#define HAVE_VNNI
#define HAVE_BF16
#include "kernels/vector_avx512.h"
#include "kernels/vector_table.h"

VECTOR_TABLE(kernels_avx512_bf16, "avx512", "AVX-512 VNNI BF16", 0x61350001, 0x61351001,
			 0x61352001);

#endif
