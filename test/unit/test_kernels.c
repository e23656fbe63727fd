/* Every family of kernels that this CPU can run agrees with the portable one over the table of
 * cases; the chooser. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kernel_cases.h"
#include "kernels/cpu.h"

static void
families_agree_with_portable(void **state)
{
	for (const KernelFamily *family = kernel_families; family->kernels != NULL; family++)
		if (family->kernels != &kernels_portable && family->usable())
			assert_true(kernel_cases_run(family->kernels, kernel_cases_seed(), MOST_PRODUCTS));
}

/* Whatever the weights, sums of a run's products with bytes fit 16 bits, and few bits are lost. */
static void
bounded_weights(void **state)
{
	Rng rng;

	rng_init(&rng, kernel_cases_seed(), 1);
	for (size_t round = 0; round < 20000; round++)
	{
		float w[100];
		size_t k = rng_u32(&rng) % 100 + 1;
		Int8Scale scale;

		for (size_t i = 0; i < k; i++)
			w[i] = extreme_weight(&rng, round % 12, i);
		scale = int8_scale(true, k, w);
		for (size_t run = 0; run < k; run += 4 * INT8_RUN)
			for (size_t half = 0; half < 4; half += 2)
			{
				int above = 0;
				int below = 0;

				for (size_t i = run + half; i < run + 4 * INT8_RUN; i += 4)
					for (size_t j = i; j < i + 2 && j < k; j++)
					{
						int q = int8_weight(w[j], scale.inverse);

						above += q > 0 ? q : 0;
						below += q < 0 ? q : 0;
						assert_true(fabs(q * (double) scale.scale - (double) w[j]) <=
									0.501 * (double) scale.scale + 1e-36);
					}
				assert_true(255 * above <= INT16_MAX && 255 * below >= INT16_MIN);
			}
	}
}

static void
forced_kernels(void **state)
{
	Status status = {0};

	assert_ptr_equal(kernels_choose("portable", &status), &kernels_portable);
	assert_null(kernels_choose("sse9", &status));
	assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
	for (const char *const *name = kernels_names(); *name != NULL; name++)
	{
		const Kernels *kernels = kernels_choose(*name, &status);

		if (kernels != NULL)
			assert_string_equal(kernels->name, *name);
		else
			assert_int_equal(status.code, STATUS_UNSUPPORTED);
		if (name > kernels_names())
			assert_string_not_equal(*name, name[-1]);
		/* Intel's products of bf16 by AVX-512 are slower than those of fp32: weights are widened */
		if (kernels != NULL && strcmp(*name, "avx512") == 0 && cpu_features()->intel)
			assert_ptr_equal(kernels->meaning[PRECISION_BF16], &kernels_portable_narrow);
	}
	assert_non_null(kernels_choose("auto", &status));
	assert_ptr_equal(kernels_choose("auto", &status), kernels_choose("auto", &status));
}

static void
sizes_that_overflow(void **state)
{
	for (const KernelFamily *family = kernel_families; family->kernels != NULL; family++)
		for (int p = 0; p < PRECISION_COUNT; p++)
		{
			assert_int_equal(family->kernels->gemm_packed_size((Precision) p, SIZE_MAX / 2, 4), 0);
			assert_int_equal(family->kernels->gemm_packed_size((Precision) p, (size_t) 1 << 40,
															   (size_t) 1 << 40),
							 0);
			assert_int_equal(
				family->kernels->rows_size((Precision) p, (size_t) 1 << 40, (size_t) 1 << 40), 0);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(families_agree_with_portable),
		cmocka_unit_test(bounded_weights),
		cmocka_unit_test(forced_kernels),
		cmocka_unit_test(sizes_that_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
