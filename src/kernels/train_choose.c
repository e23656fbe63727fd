/* train_choose.c: picks the table of training kernels. __builtin_cpu_supports asks CPUID and
 * XGETBV. */
#include "kernels/train_kernels.h"

#include <string.h>

#include "kernels/blas.h"

static bool
supported(const char *name)
{
	if (strcmp(name, "portable") == 0)
		return true;
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (strcmp(name, "avx512") == 0)
		return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
			   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
	if (strcmp(name, "avx2") == 0)
		return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
	return false;
}

const TrainKernels *
train_kernels_choose(const char *name, Status *status)
{
	static const TrainKernels *const tables[] = {
#if defined(__x86_64__)
		&train_kernels_avx512,
		&train_kernels_avx2,
#endif
		&train_kernels_portable
	};
	bool automatic = strcmp(name, "auto") == 0;

	for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
		if ((automatic || strcmp(name, tables[i]->name) == 0) && supported(tables[i]->name))
			return tables[i] != &train_kernels_portable || blas_load(status) ? tables[i] : NULL;
	status_fail(status, STATUS_UNSUPPORTED, "training kernels \"%s\" cannot run on this machine",
				name);
	return NULL;
}
