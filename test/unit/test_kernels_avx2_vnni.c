/*
 * The family for CPUs with AVX-VNNI but without AVX-512, where a CPU has the byte dot products in
 * AVX-512's encoding only: the same code with the other intrinsic. What is left untested there is
 * the encoding, which is the compiler's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "attention_bytes_cases.h"
#include "kernels/cpu.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET_NAME "avx2,fma,f16c,avx512vl,avx512vnni"
#define HAVE_VNNI
#define _mm256_dpbusd_avx_epi32 _mm256_dpbusd_epi32
#include "kernels/vector_avx2.h"
#include "kernels/vector_table.h"

extern const Kernels kernels_avx2_vnni_elsewhere;

VECTOR_TABLE(kernels_avx2_vnni_elsewhere, "avx2", "AVX2 VNNI by AVX-512", 0, 0, 0);

#endif

static void
agrees_with_portable(void **state)
{
#if defined(__x86_64__)
	if (cpu_features()->avx512_vnni)
	{
		assert_true(
			kernel_cases_run(&kernels_avx2_vnni_elsewhere, kernel_cases_seed(), MOST_PRODUCTS));
		assert_true(attention_bytes_cases_run(&kernels_avx2_vnni_elsewhere, kernel_cases_seed()));
		return;
	}
#endif
	skip();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_portable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
