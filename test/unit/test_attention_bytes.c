/* Attention in bytes of every family of kernels that has it and that this CPU can run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "attention_bytes_cases.h"

static void
families_agree_with_exact_softmax(void **state)
{
	for (const KernelFamily *family = kernel_families; family->kernels != NULL; family++)
		if (family->usable() && family->kernels->attention_bytes_from(32, 512) != SIZE_MAX)
			assert_true(attention_bytes_cases_run(family->kernels, kernel_cases_seed()));
}

/* Heads that are no whole vectors, and heads or texts longer than sums allow, take other ways. */
static void
heads_that_it_takes(void **state)
{
	for (const KernelFamily *family = kernel_families; family->kernels != NULL; family++)
	{
		assert_true(family->kernels->attention_bytes_from(33, 512) == SIZE_MAX);
		assert_true(family->kernels->attention_bytes_from(8, 512) == SIZE_MAX);
		assert_true(family->kernels->attention_bytes_from(1024, 512) == SIZE_MAX);
		assert_true(family->kernels->attention_bytes_from(64, 32768) ==
					family->kernels->attention_bytes_from(64, 512));
		assert_true(family->kernels->attention_bytes_from(64, 32769) == SIZE_MAX);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(families_agree_with_exact_softmax),
		cmocka_unit_test(heads_that_it_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
