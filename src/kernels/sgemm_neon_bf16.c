/* sgemm_neon_bf16.c: training's matrix products for AArch64 with bf16 dot products. */
#if defined(__aarch64__)

#include "kernels/train_kernels.h"

#define TARGET_NAME "arch=armv8.2-a+bf16"
#define HAVE_BF16
#include "kernels/vector_neon.h"
#include "kernels/vector_sgemm.h"

TARGET void
sgemm_neon_bf16(const SgemmCall *call, float *scratch)
{
	vector_sgemm(call, scratch);
}

#endif
