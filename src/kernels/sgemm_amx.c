/* sgemm_amx.c: training's matrix products in bf16 for CPUs with AMX. */
#if defined(__x86_64__)

#include "kernels/train_kernels.h"

#define TARGET_NAME \
	"amx-tile,amx-bf16,amx-int8,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c"
#define HAVE_BF16
#define HAVE_AMX
#include "kernels/vector_avx512.h"
#include "kernels/vector_sgemm.h"

/* call->bf16 */
TARGET void
sgemm_amx(const SgemmCall *call, float *scratch)
{
	vector_sgemm(call, scratch);
}

#endif
