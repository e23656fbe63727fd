/* sgemm_avx512_bf16.c: training's matrix products for AVX-512 with BF16 dot products. */
#if defined(__x86_64__)

#include "kernels/train_kernels.h"

#define TARGET_NAME "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c"
#define HAVE_BF16
#include "kernels/vector_avx512.h"
#include "kernels/vector_sgemm.h"

TARGET void
sgemm_avx512_bf16(const SgemmCall *call, float *scratch)
{
	vector_sgemm(call, scratch);
}

#endif
