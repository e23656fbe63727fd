/*
 * Runs the tables of cases, of inference and of training, on every family that the CPU can run,
 * without a test library: for emulators, which are slow: small cases only.
 */
#include "kernel_cases.h"
#include "train_cases.h"

int
main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	static const char *const training[] = {"avx512", "avx2", "neon"};
	bool good = true;

	for (const KernelFamily *family = kernel_families; family->kernels != NULL; family++)
		if (family->kernels != &kernels_portable && family->usable())
			good = kernel_cases_run(family->kernels, seed, 1000 * 1000) && good;
	for (size_t i = 0; i < sizeof training / sizeof training[0]; i++)
	{
		Status status;
		const TrainKernels *kernels = train_kernels_choose(training[i], &status);

		good = (kernels == NULL || train_cases_run(kernels, seed)) && good;
	}
	return good ? 0 : 1;
}
