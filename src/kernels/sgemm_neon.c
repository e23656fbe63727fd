/* sgemm_neon.c: training's matrix products for every AArch64 CPU; bf16 without its instructions
 * where the CPU lacks them. */
#if defined(__aarch64__)

#include "kernels/cpu.h"
#include "kernels/train_kernels.h"

#include "kernels/vector_neon.h"
#include "kernels/vector_sgemm.h"

TARGET void
sgemm_neon(const SgemmCall *call, float *scratch)
{
	if (call->bf16 && cpu_features()->neon_bf16)
		sgemm_neon_bf16(call, scratch);
	else
		vector_sgemm(call, scratch);
}

#endif
