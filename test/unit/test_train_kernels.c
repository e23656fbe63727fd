/* The training kernels of every instruction set that this CPU has, against the portable ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "train_cases.h"

static void
test_cases(void **state)
{
	static const char *const names[] = {"avx512", "avx2", "neon"};
	const char *seed = getenv("KERNEL_SEED");
	int tried = 0;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
	{
		Status status = {0};
		const TrainKernels *kernels = train_kernels_choose(names[i], &status);

		if (kernels == NULL)
		{
			assert_int_equal(status.code, STATUS_UNSUPPORTED);
			continue;
		}
		assert_string_equal(kernels->name, names[i]);
		assert_true(train_cases_run(kernels, seed == NULL ? 1 : strtoull(seed, NULL, 10)));
		tried++;
	}
#if defined(__aarch64__)
	assert_true(tried > 0);
#endif
	print_message("%d instruction sets\n", tried);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};

	return cmocka_run_group_tests_name("training kernels", tests, NULL, NULL);
}
