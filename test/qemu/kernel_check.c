/*
 * Runs the table of kernel cases on every family that the CPU can run, without a test library: for
 * emulators, which are slow: small cases only.
 */
#include "kernel_cases.h"

int
main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	bool good = true;

	for (const KernelFamily *family = kernel_families; family->kernels != NULL; family++)
		if (family->kernels != &kernels_portable && family->usable())
			good = kernel_cases_run(family->kernels, seed, 1000 * 1000) && good;
	return good ? 0 : 1;
}
