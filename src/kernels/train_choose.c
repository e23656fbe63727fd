/* train_choose.c: picks the table of training kernels. */
#include "kernels/train_kernels.h"

#include <string.h>

#include "kernels/blas.h"
#include "kernels/cpu.h"

typedef struct Choice
{
	const TrainKernels *kernels;
	bool usable;
} Choice;

const TrainKernels *
train_kernels_choose(const char *name, Status *status)
{
	const CpuFeatures *cpu = cpu_features();
	/* best first */
	const Choice choices[] = {
#if defined(__x86_64__)
		{&train_kernels_avx512, cpu->avx512},
		{&train_kernels_avx2, cpu->avx2},
#elif defined(__aarch64__)
		{&train_kernels_neon, cpu->neon},
#endif
		{&train_kernels_portable, true}
	};
	bool automatic = strcmp(name, "auto") == 0;

	for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++)
	{
		const TrainKernels *kernels = choices[i].kernels;

		if (choices[i].usable && (automatic || strcmp(name, kernels->name) == 0))
			return kernels != &train_kernels_portable || blas_load(status) ? kernels : NULL;
	}
	status_fail(status, STATUS_UNSUPPORTED, "training kernels \"%s\" cannot run on this machine",
				name);
	return NULL;
}

bool
train_bf16_is_faster(void)
{
	return cpu_features()->avx512_bf16 || cpu_features()->neon_bf16;
}
