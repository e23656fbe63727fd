/* Every family of kernels that this CPU can run agrees with the portable one over the table of
 * cases; the chooser. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kernel_cases.h"

static void
families_agree_with_portable(void **state)
{
	for (const KernelFamily *family = kernel_families; family->kernels != NULL; family++)
		if (family->kernels != &kernels_portable && family->usable())
			assert_true(kernel_cases_run(family->kernels, kernel_cases_seed(), MOST_PRODUCTS));
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
		cmocka_unit_test(forced_kernels),
		cmocka_unit_test(sizes_that_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
