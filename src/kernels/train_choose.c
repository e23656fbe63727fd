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

	(void) cpu_allow_tiles(); /* asks before there are threads */

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
	const CpuFeatures *cpu = cpu_features();

	/* a Xeon with AMX multiplied bf16 half as fast by AVX-512 as fp32 */
	return cpu_allow_tiles() || (cpu->avx512_bf16 && !cpu->intel) || cpu->neon_bf16;
}
