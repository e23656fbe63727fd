/*
 * The family with AMX at the edges of its tiles: rows and groups that fill them or miss by one,
 * sums in parts; int8 to the last bit as by AVX-512, whose weights it shares; the largest sums that
 * a model can have; bf16 rows that do not depend on what lies beside them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "files/config.h"
#include "kernel_cases.h"
#include "kernels/cpu.h"

#if defined(__x86_64__)

/* 255 is the largest quantized element, 127 the largest weight: no sum leaves 32 bits. */
_Static_assert((int64_t) 255 * 127 * CONFIG_MAX_INTERMEDIATE <= INT32_MAX, "int8 sums fit");

static const size_t edges[] = {1,  2,  4,  5,  15, 16, 17,  31,  32,
							   33, 48, 63, 64, 65, 80, 191, 192, 200};

#define N_EDGES (sizeof edges / sizeof edges[0])

/* m rows of k groups and some elements more, every width of a last panel in turn. */
static GemmCase
edge_case(size_t m, size_t groups, size_t i)
{
	return (GemmCase){
		m,          i % 129 + 1, 4 * groups + i % 5, i % 3 == 0 ? ACTIVATION_GELU : ACTIVATION_NONE,
		i % 2 == 0, i % 5 == 0,  DATA_UNIFORM,       false};
}

static void
edges_of_tiles(void **state)
{
	CaseRun run = {&kernels_amx, kernel_cases_seed(), 0, 0};
	Rng rng;
	size_t i = 0;

	if (!cpu_allow_tiles())
		skip();
	rng_init(&rng, run.seed, 2);
	for (size_t row = 0; row < N_EDGES; row++)
		for (size_t group = 0; group < N_EDGES; group += 2, i++)
		{
			GemmCase shape = edge_case(edges[row], edges[group], i);

			check_gemm(&run, &shape, PRECISION_INT8, &rng);
			shape.k = shape.k / 2 + 1;
			check_gemm(&run, &shape, PRECISION_BF16, &rng);
		}
	for (size_t m = 1; m < 40; m += 19) /* in several parts, the last not whole */
		for (size_t k = 6000; k < 6003; k++)
		{
			const GemmCase shape = {m, 70, k, ACTIVATION_NONE, true, true, DATA_UNIFORM, false};

			check_gemm(&run, &shape, PRECISION_INT8, &rng);
			check_gemm(&run, &shape, PRECISION_BF16, &rng);
		}
	assert_int_equal(run.n_failed, 0);
}

static void
int8_to_the_last_bit(void **state)
{
	Rng rng;
	size_t i = 0;

	if (!cpu_allow_tiles())
		skip();
	rng_init(&rng, kernel_cases_seed(), 3);
	for (size_t row = 0; row < N_EDGES; row++)
		for (size_t group = 1; group < N_EDGES; group += 2, i++)
		{
			const GemmCase shape = edge_case(edges[row], edges[group], i);
			GemmInput input = gemm_input(&shape, PRECISION_INT8, &rng);
			GemmResults tiles = gemm_results(&kernels_amx, &input);
			GemmResults vectors = gemm_results(&kernels_avx512_bf16, &input);

			assert_memory_equal(tiles.c, vectors.c, shape.m * input.ldc * sizeof(float));
			assert_memory_equal(tiles.rounded, vectors.rounded,
								shape.m * input.ldc * sizeof(uint16_t));
			assert_memory_equal(tiles.c2, vectors.c2, shape.m * SECOND_FEATURES * sizeof(float));
			gemm_results_free(&tiles);
			gemm_results_free(&vectors);
			gemm_input_free(&input);
		}
}

/* c (m) = rows of k elements that are all `value`, times weights that are all `sign` */
static void
sums_of_ones(size_t m, size_t k, float value, float sign, float *c)
{
	const Kernels *kernels = &kernels_amx;
	float *a = case_alloc(m * k * sizeof(float));
	float *w = case_alloc(k * sizeof(float));
	void *panels = case_alloc(kernels->gemm_packed_size(PRECISION_INT8, 1, k));
	void *buffer = case_alloc(kernels->rows_size(PRECISION_INT8, m, k));
	void *scratch = case_alloc(kernels->gemm_scratch_size(PRECISION_INT8, 1, k));
	const PackedMatrix packed = {PRECISION_INT8, 1, k, panels};
	const GemmEpilogue nothing = {NULL, ACTIVATION_NONE, NULL, 0, false};

	for (size_t i = 0; i < m * k; i++)
		a[i] = value;
	for (size_t i = 0; i < k; i++)
		w[i] = sign;
	kernels->gemm_pack(PRECISION_INT8, 1, k, w, k, panels, NULL);
	kernels->gemm(&packed, m, kernels->rows_convert(PRECISION_INT8, m, k, a, k, buffer), c, 1,
				  &nothing, scratch);
	free(a);
	free(w);
	free(panels);
	free(buffer);
	free(scratch);
}

/* The widest model there can be, every byte and every weight at its end. */
static void
largest_sums(void **state)
{
	const size_t k = CONFIG_MAX_INTERMEDIATE;
	float c[20];

	if (!cpu_allow_tiles())
		skip();
	for (int sign = -1; sign <= 1; sign += 2)
	{
		sums_of_ones(20, k, 1, (float) sign, c);
		for (size_t i = 0; i < 20; i++)
			assert_true(fabs((double) c[i] / (double) k - sign) < 1e-4);
	}
}

/* Each row alone gives the same bits as between others, NaN among them. */
static void
rows_apart(void **state)
{
	const Kernels *kernels = &kernels_amx;
	enum
	{
		M = 37,
		N = 70,
		K = 96
	};
	float a[M * K];
	float w[N * K];
	float together[M * N];
	float alone[N];
	void *panels = case_alloc(kernels->gemm_packed_size(PRECISION_BF16, N, K));
	void *buffer = case_alloc(kernels->rows_size(PRECISION_BF16, M, K));
	void *scratch = case_alloc(kernels->gemm_scratch_size(PRECISION_BF16, N, K));
	const PackedMatrix packed = {PRECISION_BF16, N, K, panels};
	const GemmEpilogue nothing = {NULL, ACTIVATION_NONE, NULL, 0, false};
	Rng rng;

	if (!cpu_allow_tiles())
		skip();
	rng_init(&rng, kernel_cases_seed(), 4);
	case_fill(&rng, DATA_UNIFORM, M, K, K, a);
	case_fill(&rng, DATA_UNIFORM, N, K, K, w);
	a[5 * K] = NAN;
	kernels->gemm_pack(PRECISION_BF16, N, K, w, K, panels, NULL);
	kernels->gemm(&packed, M, kernels->rows_convert(PRECISION_BF16, M, K, a, K, buffer), together,
				  N, &nothing, scratch);
	for (size_t i = 0; i < M; i++)
	{
		kernels->gemm(&packed, 1, kernels->rows_convert(PRECISION_BF16, 1, K, a + i * K, K, buffer),
					  alone, N, &nothing, scratch);
		if (i != 5)
			assert_memory_equal(alone, together + i * N, sizeof alone);
		assert_true(isnan(alone[0]) == (i == 5) && isnan(together[i * N]) == (i == 5));
	}
	free(panels);
	free(buffer);
	free(scratch);
}

#else

static void
edges_of_tiles(void **state)
{
	skip();
}
#define int8_to_the_last_bit edges_of_tiles
#define largest_sums edges_of_tiles
#define rows_apart edges_of_tiles

#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edges_of_tiles),
		cmocka_unit_test(int8_to_the_last_bit),
		cmocka_unit_test(largest_sums),
		cmocka_unit_test(rows_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
