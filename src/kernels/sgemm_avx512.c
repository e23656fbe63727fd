/*
 * sgemm_avx512.c: training's matrix products for AVX-512 (F, BW, DQ, VL); bf16 by its instructions
 * where the CPU has them and they are fast: Intel's cores take twice as long for one as for one of
 * fp32.
 */
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
	else if (call->bf16 && cpu_features()->avx512_bf16 && !cpu_features()->intel)
		sgemm_avx512_bf16(call, scratch);
	else
		vector_sgemm(call, scratch);
}

#endif
