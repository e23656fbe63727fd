/* Training's matrix products: every table of kernels against sums in double, over sizes around the
 * tiles, and split in parts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/arena.h"
#include "core/rng.h"
#include "kernels/portable.h"
#include "kernels/train_kernels.h"

#define SLACK 5 /* columns between rows, which must stay as they are */
#define UNTOUCHED 12345.0f

typedef struct Size
{
	size_t m;
	size_t n;
	size_t k;
} Size;

/*
 * Around tiles of 6 and 12 rows, panels of 16, 32 and 64 columns, parts of 192 rows, 512 of the sum
 * and 1536 columns; and none.
 */
static const Size sizes[] = {
	{1, 1, 1},      {1, 64, 7},    {2, 3, 5},     {5, 31, 32},    {6, 32, 33},  {7, 33, 16},
	{12, 48, 31},   {13, 64, 64},  {32, 32, 32},  {31, 65, 40},   {64, 96, 17}, {17, 97, 128},
	{18, 128, 511}, {6, 64, 512},  {11, 63, 513}, {191, 16, 24},  {192, 15, 3}, {193, 70, 20},
	{3, 1535, 9},   {2, 1536, 10}, {4, 1537, 8},  {195, 70, 520}, {9, 3080, 2}, {25, 130, 1100},
	{5, 9, 0},      {0, 4, 4},     {4, 0, 4},
};

typedef struct Matrices
{
	Arena *arena;
	float *a;
	float *b;
	float *bias;
	float *before; /* C, before */
	float *c;
	float *scratch;
	size_t c_floats;
	SgemmCall call;
} Matrices;

static float *
random_floats(Arena *arena, Rng *rng, size_t n)
{
	float *x = arena_alloc_array(arena, n + 1, sizeof(float));

	assert_non_null(x);
	for (size_t i = 0; i < n; i++)
		x[i] = (float) (rng_uniform(rng) * 2 - 1);
	return x;
}

static void
matrices_make(Matrices *test, Rng *rng, const Size *size, bool transpose_a, bool transpose_b,
			  int onto, bool bf16)
{
	SgemmCall *call = &test->call;

	memset(test, 0, sizeof *test);
	test->arena = arena_create(&allocator_malloc, 0);
	call->transpose_a = transpose_a;
	call->transpose_b = transpose_b;
	call->bf16 = bf16;
	call->m = size->m;
	call->n = size->n;
	call->k = size->k;
	call->lda = (transpose_a ? size->m : size->k) + SLACK;
	call->ldb = (transpose_b ? size->k : size->n) + SLACK;
	call->ldc = size->n + SLACK;
	test->a = random_floats(test->arena, rng, (transpose_a ? size->k : size->m) * call->lda);
	test->b = random_floats(test->arena, rng, (transpose_b ? size->n : size->k) * call->ldb);
	test->bias = random_floats(test->arena, rng, size->n);
	test->c_floats = size->m * call->ldc;
	test->before = random_floats(test->arena, rng, test->c_floats);
	test->c = random_floats(test->arena, rng, test->c_floats);
	test->scratch = arena_alloc_array(test->arena, SGEMM_SCRATCH_FLOATS, sizeof(float));
	for (size_t i = 0; i < size->m; i++)
		for (size_t j = size->n; j < call->ldc; j++)
			test->before[i * call->ldc + j] = UNTOUCHED;
	memcpy(test->c, test->before, test->c_floats * sizeof(float));
	call->a = test->a;
	call->b = test->b;
	call->c = test->c;
	call->bias = onto == 1 ? test->bias : NULL;
	call->accumulate = onto == 2;
}

static double
element(const SgemmCall *call, float x)
{
	return call->bf16 ? bf16_to_float(float_to_bf16(x)) : x;
}

static void
check(const Matrices *test, const char *kernels)
{
	const SgemmCall *call = &test->call;

	for (size_t i = 0; i < call->m; i++)
		for (size_t j = 0; j < call->ldc; j++)
		{
			double sum = call->accumulate     ? test->before[i * call->ldc + j]
						 : call->bias != NULL ? call->bias[j < call->n ? j : 0]
											  : 0;
			double size = 1;
			float got = test->c[i * call->ldc + j];

			for (size_t p = 0; p < call->k && j < call->n; p++)
			{
				double term =
					element(call,
							call->a[call->transpose_a ? p * call->lda + i : i * call->lda + p]) *
					element(call,
							call->b[call->transpose_b ? j * call->ldb + p : p * call->ldb + j]);

				sum += term;
				size += fabs(term);
			}
			if (j < call->n ? !(fabs(got - sum) <= 1e-6 * size) : got != UNTOUCHED)
				fail_msg("%s: (%zu,%zu,%zu)%s%s%s%s%s: C[%zu][%zu] is %.9g, not %.9g", kernels,
						 call->m, call->n, call->k, call->bf16 ? " bf16" : "",
						 call->transpose_a ? " A^T" : "", call->transpose_b ? " B^T" : "",
						 call->bias != NULL ? " bias" : "", call->accumulate ? " onto C" : "", i, j,
						 got, sum);
		}
}

/* The same product in four parts, split between two rows and two columns: not a bit may differ. */
static void
check_parts(Matrices *test, const TrainKernels *kernels, Rng *rng)
{
	SgemmCall whole = test->call;
	size_t middle_row = whole.m == 0 ? 0 : rng_below(rng, whole.m);
	size_t middle_column = whole.n == 0 ? 0 : rng_below(rng, whole.n);
	float *together = arena_alloc_array(test->arena, test->c_floats + 1, sizeof(float));

	memcpy(together, test->c, test->c_floats * sizeof(float));
	memcpy(test->c, test->before, test->c_floats * sizeof(float));
	for (int part = 0; part < 4; part++)
	{
		SgemmCall call = whole;
		size_t row = part / 2 == 0 ? 0 : middle_row;
		size_t column = part % 2 == 0 ? 0 : middle_column;

		call.m = part / 2 == 0 ? middle_row : whole.m - middle_row;
		call.n = part % 2 == 0 ? middle_column : whole.n - middle_column;
		call.a += whole.transpose_a ? row : row * whole.lda;
		call.b += whole.transpose_b ? column * whole.ldb : column;
		call.bias = whole.bias == NULL ? NULL : whole.bias + column;
		call.c += row * whole.ldc + column;
		kernels->sgemm(&call, test->scratch);
	}
	assert_memory_equal(test->c, together, test->c_floats * sizeof(float));
}

static void
products(void **state)
{
	static const char *const names[] = {"avx512", "avx2", "neon", "portable"};
	Rng rng;
	int ran = 0;

	rng_init(&rng, 3, 0);
	for (size_t t = 0; t < sizeof names / sizeof names[0]; t++)
	{
		Status status = {0};
		const TrainKernels *kernels = train_kernels_choose(names[t], &status);

		if (kernels == NULL)
		{
			assert_int_equal(status.code, STATUS_UNSUPPORTED);
			continue;
		}
		ran++;
		for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
			for (int variant = 0; variant < 24; variant++)
			{
				Matrices test;

				matrices_make(&test, &rng, &sizes[s], variant & 1, variant & 2, variant / 4 % 3,
							  variant >= 12);
				kernels->sgemm(&test.call, test.scratch);
				check(&test, names[t]);
				/* OpenBLAS promises no order of sums */
				if (strcmp(names[t], "portable") != 0)
					check_parts(&test, kernels, &rng);
				arena_destroy(test.arena);
			}
	}
	assert_true(ran > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(products)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
