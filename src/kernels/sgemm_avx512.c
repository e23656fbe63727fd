/* sgemm_avx512.c: training's matrix products for AVX-512 (F, BW, DQ, VL); bf16 without its
 * instructions where the CPU lacks them. */
#if defined(__x86_64__)

#include "kernels/cpu.h"
#include "kernels/train_kernels.h"

#define TARGET_NAME "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#include "kernels/vector_avx512.h"
#include "kernels/vector_sgemm.h"

TARGET void
sgemm_avx512(const SgemmCall *call, float *scratch)
{
	if (call->bf16 && cpu_allow_tiles())
		sgemm_amx(call, scratch);
	else if (call->bf16 && cpu_features()->avx512_bf16)
		sgemm_avx512_bf16(call, scratch);
	else
		vector_sgemm(call, scratch);
}

#endif
