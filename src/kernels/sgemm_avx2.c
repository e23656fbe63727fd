/* sgemm_avx2.c: training's matrix products for AVX2 and FMA. */
#if defined(__x86_64__)

#include "kernels/train_kernels.h"

#define TARGET_NAME "avx2,fma,f16c"
#include "kernels/vector_avx2.h"
#include "kernels/vector_sgemm.h"

TARGET void
sgemm_avx2(const SgemmCall *call, float *scratch)
{
	vector_sgemm(call, scratch);
}

#endif
