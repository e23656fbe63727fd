/*
 * kernel_cases.h: one table of cases for every family of kernels: test_kernels.c and
 * test/qemu/kernel_check.c compare each family with the portable one over it, bench/bench_kernels.c
 * times its large shapes.
 *
 * Limits, relative to the sum of absolute products: fp32 and bf16 sums differ by their order only;
 * int8 sums are exact, so that only the last scaling differs. Where Strassen is allowed the limit
 * is three times that of the row with the largest sum. A result rounded to bf16 may differ by one
 * step of bf16 more, a quantized one by one step of the row's scale.
 */
#ifndef KERNEL_CASES_H
#define KERNEL_CASES_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "kernels/choose.h"
#include "kernels/portable.h"

typedef enum CaseData
{
	DATA_UNIFORM, /* -1 .. 1 */
	DATA_LARGE,   /* up to 1e15 */
	DATA_DENORMAL,
	DATA_ZERO_ROWS,  /* every other row is zero */
	DATA_EQUAL_ROWS, /* all values of a row are the same */
	DATA_OUTLIER,    /* one value a thousand times the others */
	DATA_NOT_FINITE  /* NaN and infinities: must come through without harm; not compared */
} CaseData;

typedef struct GemmCase
{
	size_t m;
	size_t n;
	size_t k;
	Activation activation;
	bool bias;
	bool residual;
	CaseData data;
	bool strassen; /* allowed: for fp32 only */
} GemmCase;

/* shapes of models first: the ones that are timed */
static const GemmCase gemm_cases[] = {
	{16, 1152, 384, ACTIVATION_NONE, true, false, DATA_UNIFORM, false},
	{128, 384, 384, ACTIVATION_NONE, true, true, DATA_UNIFORM, false},
	{128, 1536, 384, ACTIVATION_GELU, true, false, DATA_UNIFORM, false},
	{128, 384, 1536, ACTIVATION_NONE, true, true, DATA_UNIFORM, false},
	{56, 3072, 768, ACTIVATION_GELU, true, false, DATA_UNIFORM, false},
	{17, 768, 3072, ACTIVATION_NONE, true, true, DATA_UNIFORM, false},
	{3, 70, 4000, ACTIVATION_NONE, true, false, DATA_UNIFORM, false}, /* sums in parts */
	{200, 65, 33, ACTIVATION_TANH, true, true, DATA_UNIFORM, false},
	{50, 40, 19, ACTIVATION_RELU, false, true, DATA_UNIFORM, false},
	{7, 130, 64, ACTIVATION_GELU_TANH, true, false, DATA_UNIFORM, false},
	{13, 2, 384, ACTIVATION_SILU, true, false, DATA_UNIFORM, false},
	{9, 70, 64, ACTIVATION_QUICK_GELU, true, false, DATA_UNIFORM, false},
	{9, 70, 64, ACTIVATION_MISH, true, true, DATA_UNIFORM, false},
	{6, 40, 70, ACTIVATION_NONE, true, false, DATA_LARGE, false},
	{6, 40, 70, ACTIVATION_NONE, true, false, DATA_DENORMAL, false},
	{6, 40, 70, ACTIVATION_GELU, true, true, DATA_ZERO_ROWS, false},
	{6, 40, 70, ACTIVATION_GELU, true, true, DATA_EQUAL_ROWS, false},
	{6, 40, 70, ACTIVATION_NONE, true, true, DATA_OUTLIER, false},
	{6, 40, 70, ACTIVATION_GELU, true, true, DATA_NOT_FINITE, false},
	/* an odd row; sums in one part */
	{57, 1152, 384, ACTIVATION_NONE, true, false, DATA_UNIFORM, true},
	{128, 384, 1536, ACTIVATION_NONE, true, true, DATA_UNIFORM, true},
	{20, 256, 1536, ACTIVATION_GELU, true, false, DATA_UNIFORM, true}, /* in four */
	/* in blocks of rows */
	{301, 128, 384, ACTIVATION_NONE, false, true, DATA_UNIFORM, true},
	{25, 128, 512, ACTIVATION_SILU, true, false, DATA_UNIFORM, true},
	{25, 128, 384, ACTIVATION_NONE, false, false, DATA_UNIFORM, true},
	/* these four the plain way */
	{25, 128, 384, ACTIVATION_GELU, true, true, DATA_UNIFORM, true},
	{27, 130, 384, ACTIVATION_NONE, true, true, DATA_UNIFORM, true},
	{27, 128, 390, ACTIVATION_NONE, true, true, DATA_UNIFORM, true},
	{5, 128, 384, ACTIVATION_NONE, true, true, DATA_UNIFORM, true},
	{31, 128, 384, ACTIVATION_NONE, true, false, DATA_LARGE, true},
	{31, 128, 384, ACTIVATION_NONE, true, false, DATA_DENORMAL, true},
	{31, 128, 384, ACTIVATION_GELU, true, false, DATA_ZERO_ROWS, true},
	{31, 128, 384, ACTIVATION_NONE, true, true, DATA_OUTLIER, true},
	{31, 128, 384, ACTIVATION_GELU, true, false, DATA_NOT_FINITE, true},
};

#define N_GEMM_CASES (sizeof gemm_cases / sizeof gemm_cases[0])
#define N_TIMED_GEMM_CASES 6

typedef struct AttentionCase
{
	size_t n_tokens;
	size_t n_heads;
	size_t head_size;
} AttentionCase;

static const AttentionCase attention_cases[] = {
	{16, 12, 32},  {57, 12, 32}, {128, 12, 32}, {512, 12, 32}, {128, 12, 64},
	{512, 12, 64}, {1, 1, 32},   {2, 3, 16},    {3, 2, 64},    {11, 2, 33},
	{12, 2, 8},    {13, 2, 24},  {17, 1, 96},   {31, 2, 40},   {33, 1, 128},
	{65, 2, 1},    {127, 1, 7},  {131, 2, 80},  {1030, 1, 32},
};

#define N_ATTENTION_CASES (sizeof attention_cases / sizeof attention_cases[0])
#define N_TIMED_ATTENTION_CASES 6

/*
 * Sanitizers take many times as long: the largest shapes, whose code smaller ones pass through as
 * well, are left out.
 */
#ifdef __SANITIZE_ADDRESS__
#define MOST_PRODUCTS ((size_t) 40 * 1000 * 1000)
#else
#define MOST_PRODUCTS SIZE_MAX
#endif

typedef struct CaseRun
{
	const Kernels *kernels;
	uint64_t seed;
	size_t n_checked;
	size_t n_failed;
} CaseRun;

static void *
case_alloc(size_t size)
{
	void *memory = aligned_alloc(64, (size + 127) / 64 * 64);

	if (memory == NULL)
		abort();
	/* nothing may depend on scratch memory being zero */
	memset(memory, 0xA5, (size + 127) / 64 * 64);
	return memory;
}

static void
case_fill(Rng *rng, CaseData data, size_t m, size_t k, size_t ld, float *x)
{
	for (size_t i = 0; i < m; i++)
	{
		float value = (float) (2 * rng_uniform(rng) - 1);

		for (size_t j = 0; j < ld; j++)
		{
			if (data != DATA_EQUAL_ROWS)
				value = (float) (2 * rng_uniform(rng) - 1);
			x[i * ld + j] = j >= k                                 ? NAN
							: data == DATA_LARGE                   ? value * 1e15f
							: data == DATA_DENORMAL                ? value * 1e-40f
							: data == DATA_ZERO_ROWS && i % 2 == 0 ? 0
																   : value;
		}
		if (data == DATA_OUTLIER)
			x[i * ld + i % k] *= 1000;
		if (data == DATA_NOT_FINITE)
			x[i * ld + i % k] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY;
	}
}

static void
case_fail(CaseRun *run, const char *what, size_t a, size_t b, size_t c, double got, double expected)
{
	if (run->n_failed++ < 20)
		printf("%s (%s): %s %zu %zu %zu: %.9g instead of %.9g, seed %llu\n", run->kernels->name,
			   run->kernels->features, what, a, b, c, got, expected,
			   (unsigned long long) run->seed);
}

/* Parameters: what and three numbers say where, for the message. */
static void
case_near(CaseRun *run, const char *what, size_t a, size_t b, size_t c, double got, double expected,
		  double limit)
{
	run->n_checked++;
	if (!(fabs(got - expected) <= limit) && !(isnan(got) && isnan(expected)) && !(got == expected))
		case_fail(run, what, a, b, c, got, expected);
}

static double
absolute_sum(const float *x, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += fabs((double) x[i]);
	return sum;
}

#define SECOND_FEATURES ((size_t) 5) /* of the GEMM that reads the rows of the first */

/* The numbers of one GEMM. */
typedef struct GemmInput
{
	const GemmCase *shape;
	Precision precision;
	size_t lda;
	size_t ldc;
	float *a;        /* (m, lda), off by 4 bytes */
	float *w;        /* (n, k + 1), off by 4 bytes */
	float *w2;       /* (SECOND_FEATURES, n) */
	float *bias;     /* (n), off by 4 bytes */
	float *residual; /* (m, ldc) */
} GemmInput;

/* What a family of kernels makes of them. */
typedef struct GemmResults
{
	float *c;          /* (m, ldc), by gemm */
	uint16_t *rounded; /* (m, ldc), by gemm_bf16 */
	float *c2;         /* (m, SECOND_FEATURES), by a GEMM on what gemm_rows gives */
} GemmResults;

static GemmInput
gemm_input(const GemmCase *shape, Precision precision, Rng *rng)
{
	size_t m = shape->m;
	size_t n = shape->n;
	size_t k = shape->k;
	GemmInput input = {shape, precision, k + 3, n + 5, NULL, NULL, NULL, NULL, NULL};

	input.a = (float *) case_alloc((m * input.lda + 1) * sizeof(float)) + 1;
	input.w = (float *) case_alloc((n * (k + 1) + 1) * sizeof(float)) + 1;
	input.w2 = case_alloc(SECOND_FEATURES * n * sizeof(float));
	input.bias = (float *) case_alloc((n + 1) * sizeof(float)) + 1;
	input.residual = case_alloc(m * input.ldc * sizeof(float));
	case_fill(rng, shape->data, m, k, input.lda, input.a);
	case_fill(rng, DATA_UNIFORM, n, k, k + 1, input.w);
	case_fill(rng, DATA_UNIFORM, SECOND_FEATURES, n, n, input.w2);
	case_fill(rng, DATA_UNIFORM, 1, n, n, input.bias);
	case_fill(rng, DATA_UNIFORM, m, n, input.ldc, input.residual);
	if (n > 2) /* a feature without weights */
		memset(input.w + k + 1, 0, k * sizeof(float));
	return input;
}

static void
gemm_input_free(const GemmInput *input)
{
	free(input->a - 1);
	free(input->w - 1);
	free(input->w2);
	free(input->bias - 1);
	free(input->residual);
}

static GemmResults
gemm_results(const Kernels *kernels, const GemmInput *input)
{
	const GemmCase *shape = input->shape;
	Precision precision = input->precision;
	size_t m = shape->m;
	size_t n = shape->n;
	size_t k = shape->k;
	size_t ldc = input->ldc;
	void *panels = case_alloc(kernels->gemm_packed_size(precision, n, k));
	void *panels2 = case_alloc(kernels->gemm_packed_size(precision, SECOND_FEATURES, n));
	void *buffer = case_alloc(kernels->rows_size(precision, m, k));
	void *buffer2 = case_alloc(kernels->rows_size(precision, m, n));
	size_t scratch_size = kernels->gemm_scratch_size(precision, n, k);
	size_t scratch_size2 = kernels->gemm_scratch_size(precision, SECOND_FEATURES, n);
	void *scratch = case_alloc(scratch_size > scratch_size2 ? scratch_size : scratch_size2);
	PackedMatrix packed = {precision, n, k, panels};
	PackedMatrix packed2 = {precision, SECOND_FEATURES, n, panels2};
	GemmEpilogue nothing = {NULL, ACTIVATION_NONE, NULL, 0, shape->strassen};
	GemmEpilogue epilogue = {shape->bias ? input->bias : NULL, shape->activation, NULL, ldc,
							 shape->strassen};
	GemmResults results = {case_alloc(m * ldc * sizeof(float)),
						   case_alloc(m * ldc * sizeof(uint16_t)),
						   case_alloc(m * SECOND_FEATURES * sizeof(float))};
	Rows rows;
	Rows rows2;

	kernels->gemm_pack(precision, n, k, input->w, k + 1, panels, NULL);
	kernels->gemm_pack(precision, SECOND_FEATURES, n, input->w2, n, panels2, NULL);
	rows = kernels->rows_convert(precision, m, k, input->a, input->lda, buffer);
	if (shape->residual) /* the residual may be C itself */
	{
		memcpy(results.c, input->residual, m * ldc * sizeof(float));
		epilogue.residual = results.c;
	}
	kernels->gemm(&packed, m, rows, results.c, ldc, &epilogue, scratch);
	if (shape->residual)
		epilogue.residual = input->residual;
	kernels->gemm_bf16(&packed, m, rows, results.rounded, ldc, &epilogue, scratch);
	rows2 = kernels->gemm_rows(&packed, m, rows, buffer2, &epilogue, scratch);
	kernels->gemm(&packed2, m, rows2, results.c2, SECOND_FEATURES, &nothing, scratch);
	free(panels);
	free(panels2);
	free(buffer);
	free(buffer2);
	free(scratch);
	return results;
}

static void
gemm_results_free(const GemmResults *results)
{
	free(results->c);
	free(results->rounded);
	free(results->c2);
}

/* Row i of both; sum: of absolute values of a, which the error grows with. */
static void
compare_gemm_row(CaseRun *run, const GemmInput *input, size_t i, double sum,
				 const GemmResults *expected, const GemmResults *got)
{
	const GemmCase *shape = input->shape;
	Precision precision = input->precision;
	size_t n = shape->n;
	size_t ldc = input->ldc;
	double coarse =
		precision == PRECISION_INT8 && shape->activation == ACTIVATION_GELU ? 1.3e-4 : 0;
	double limit = 1e-6 * sum + 4e-6 + coarse;
	double row_largest = 0;
	double step; /* what rounding a result to the precision's rows may change */

	for (size_t j = 0; j < n; j++)
	{
		double value = expected->c[i * ldc + j];

		row_largest = fmax(row_largest, fabs(value));
		case_near(run, precision_name(precision), i, j, shape->k, got->c[i * ldc + j], value,
				  limit);
		case_near(run, "gemm_bf16", i, j, shape->k, bf16_to_float(got->rounded[i * ldc + j]),
				  bf16_to_float(expected->rounded[i * ldc + j]), limit + fabs(value) / 128);
	}
	/*
	 * n results, each wrong by the limit and rounded, times weights of up to 1; roundings of n
	 * results grow as the root
	 */
	step = precision == PRECISION_FP32   ? 0
		   : precision == PRECISION_BF16 ? row_largest / 64
										 : row_largest / 60;
	for (size_t j = 0; j < SECOND_FEATURES; j++)
		case_near(run, "gemm_rows", i, j, n, got->c2[i * SECOND_FEATURES + j],
				  expected->c2[i * SECOND_FEATURES + j],
				  (limit + 1e-6 * row_largest) * (double) n + step * sqrt((double) n));
	for (size_t j = n; j < ldc; j++) /* nothing was written beside the result */
		if (!shape->residual && memcmp(&got->c[i * ldc + j], "\xA5\xA5\xA5\xA5", 4) != 0)
			case_fail(run, "written beyond a row", i, j, n, got->c[i * ldc + j], 0);
}

/* One shape in one precision: gemm, gemm_bf16, and gemm_rows followed by a second GEMM. */
static void
check_gemm(CaseRun *run, const GemmCase *shape, Precision precision, Rng *rng)
{
	GemmInput input = gemm_input(shape, precision, rng);
	GemmResults expected = gemm_results(run->kernels->meaning[precision], &input);
	GemmResults got = gemm_results(run->kernels, &input);
	double largest_sum = 0; /* of a row's absolute values */

	for (size_t i = 0; i < shape->m; i++)
		largest_sum = fmax(largest_sum, absolute_sum(input.a + i * input.lda, shape->k));
	for (size_t i = 0; i < shape->m && shape->data != DATA_NOT_FINITE; i++)
		compare_gemm_row(run, &input, i,
						 shape->strassen ? 3 * largest_sum
										 : absolute_sum(input.a + i * input.lda, shape->k),
						 &expected, &got);
	gemm_results_free(&expected);
	gemm_results_free(&got);
	gemm_input_free(&input);
}

/* x, or the float that lies so many floats above or below it */
static float
case_neighbour(float x, int distance)
{
	for (; distance > 0; distance--)
		x = nextafterf(x, INFINITY);
	for (; distance < 0; distance++)
		x = nextafterf(x, -INFINITY);
	return x;
}

/*
 * Rows whose smallest value lies in the middle between two steps, or a few floats beside it:
 * rounding must not carry an end of the row out of its byte. Multiplied by one, each value comes
 * back to half a step.
 */
static void
check_quantized_ends(CaseRun *run)
{
	enum
	{
		BESIDE = 3,
		K = 16,
		M = 255 * (2 * BESIDE + 1)
	};
	const Kernels *kernels = run->kernels;
	float *a = case_alloc(M * K * sizeof(float));
	float *c = case_alloc(M * K * sizeof(float));
	float one[K * K] = {0};
	void *panels = case_alloc(kernels->gemm_packed_size(PRECISION_INT8, K, K));
	void *buffer = case_alloc(kernels->rows_size(PRECISION_INT8, M, K));
	void *scratch = case_alloc(kernels->gemm_scratch_size(PRECISION_INT8, K, K));
	PackedMatrix packed = {PRECISION_INT8, K, K, panels};
	GemmEpilogue nothing = {NULL, ACTIVATION_NONE, NULL, 0, false};
	float *row = a;

	for (size_t step = 0; step < 255; step++)
	{
		/* zero, of a range that ends at 1 */
		double below = ((double) step + 0.5) / QUANTIZE_STEPS;

		for (int distance = -BESIDE; distance <= BESIDE; distance++, row += K)
		{
			row[0] = below < 1 ? case_neighbour((float) (-below / (1 - below)), distance) : -1;
			for (size_t j = 1; j < K; j++)
				row[j] = j == K - 1 ? 1 : row[0] + (1 - row[0]) * (float) j / (K - 1);
		}
	}
	for (size_t i = 0; i < K; i++)
		one[i * K + i] = 1;
	kernels->gemm_pack(PRECISION_INT8, K, K, one, K, panels, NULL);
	kernels->gemm(&packed, M, kernels->rows_convert(PRECISION_INT8, M, K, a, K, buffer), c, K,
				  &nothing, scratch);
	for (size_t i = 0; i < M; i++)
		for (size_t j = 0; j < K; j++)
			case_near(run, "quantized ends", i / (2 * BESIDE + 1), i % (2 * BESIDE + 1), j,
					  c[i * K + j], a[i * K + j], 0.52 * (1 - (double) a[i * K]) / QUANTIZE_STEPS);
	free(a);
	free(c);
	free(panels);
	free(buffer);
	free(scratch);
}

/* Weight i of k in a pattern that makes sums of products as large as they can be, or odd. */
static float
extreme_weight(Rng *rng, size_t pattern, size_t i)
{
	static const float rounded_up[4] = {0.500001f, 1.500001f, 2.500001f, 126.500001f};

	switch (pattern)
	{
		case 0:
			return 1;
		case 1:
			return -1;
		case 2:
			return i % 2 == 0 ? 1 : -1;
		case 3: /* the first two of each group of four against the last two */
			return i % 4 < 2 ? 1 : -1;
		case 4:
			return i % 4 < 2 ? -127 : 1;
		case 5: /* one that is as large as all others of a run, at a run's end */
			return i % 16 == 15 ? 127 : 18;
		case 6:
			return i < 16 ? 127 : 0.5f;
		case 7: /* halves, which are all rounded up */
			return rounded_up[rng_u32(rng) % 4];
		case 8:
			return i == 0 ? 1e-38f : 1e-39f;
		default:
			return (float) (2 * rng_uniform(rng) - 1) * (rng_u32(rng) % 4 == 0 ? 100 : 1);
	}
}

/*
 * int8 at the extremes: for each feature rows that are largest exactly where its weights are
 * positive, or negative, and smallest elsewhere, and rows of nothing but the largest. A sum that
 * saturates on its way would be far from what plain C gives.
 */
static void
check_int8_extremes(CaseRun *run, size_t k, bool from_zero, Rng *rng)
{
	enum
	{
		N = 33,
		M = 2 * N + 1
	};
	const Kernels *tables[2] = {run->kernels->meaning[PRECISION_INT8], run->kernels};
	float *a = case_alloc(M * k * sizeof(float));
	float *w = case_alloc(N * k * sizeof(float));
	float *c[2];
	GemmEpilogue nothing = {NULL, ACTIVATION_NONE, NULL, 0, false};

	for (size_t j = 0; j < N; j++)
		for (size_t i = 0; i < k; i++)
			w[j * k + i] = extreme_weight(rng, j, i);
	for (size_t row = 0; row < M; row++)
		for (size_t i = 0; i < k; i++)
		{
			float sign = row % 2 == 0 ? 1 : -1;

			a[row * k + i] = row == 2 * N || sign * w[row / 2 * k + i] > 0 ? 1 : from_zero ? 0 : -1;
		}
	for (int t = 0; t < 2; t++)
	{
		const Kernels *kernels = tables[t];
		void *panels = case_alloc(kernels->gemm_packed_size(PRECISION_INT8, N, k));
		void *buffer = case_alloc(kernels->rows_size(PRECISION_INT8, M, k));
		void *scratch = case_alloc(kernels->gemm_scratch_size(PRECISION_INT8, N, k));
		PackedMatrix packed = {PRECISION_INT8, N, k, panels};

		c[t] = case_alloc(M * N * sizeof(float));
		kernels->gemm_pack(PRECISION_INT8, N, k, w, k, panels, NULL);
		kernels->gemm(&packed, M, kernels->rows_convert(PRECISION_INT8, M, k, a, k, buffer), c[t],
					  N, &nothing, scratch);
		free(panels);
		free(buffer);
		free(scratch);
	}
	for (size_t row = 0; row < M; row++)
		for (size_t j = 0; j < N; j++)
			case_near(run, "int8 extremes", row, j, k, c[1][row * N + j], c[0][row * N + j],
					  2e-6 * absolute_sum(w + j * k, k));
	free(a);
	free(w);
	free(c[0]);
	free(c[1]);
}

static void
check_attention(CaseRun *run, const AttentionCase *shape, bool bf16, float spread, Rng *rng)
{
	size_t width = shape->n_heads * shape->head_size;
	size_t ld = 3 * width + 1;
	size_t size = shape->n_tokens * ld;
	float *numbers = case_alloc(size * sizeof(float));
	uint16_t *rounded = case_alloc(size * sizeof(uint16_t));
	float *context[2];

	case_fill(rng, DATA_UNIFORM, shape->n_tokens, ld, ld, numbers);
	for (size_t i = 0; i < size; i++)
	{
		numbers[i] *= spread;
		rounded[i] = float_to_bf16(numbers[i]);
	}
	for (int t = 0; t < 2; t++)
	{
		const Kernels *kernels = t == 0 ? &kernels_portable : run->kernels;
		void *scratch = case_alloc(kernels->attention_scratch_size(
			bf16 ? PRECISION_BF16 : PRECISION_FP32, shape->n_tokens, shape->head_size));
		AttentionCall call = {
			.n_tokens = shape->n_tokens,
			.n_heads = shape->n_heads,
			.head_size = shape->head_size,
			.bf16 = bf16,
			.qkv_ld = ld,
			.scale = 1 / sqrtf((float) shape->head_size),
			.context_ld = width + 2,
		};

		context[t] = case_alloc(shape->n_tokens * (width + 2) * sizeof(float));
		call.context = context[t];
		call.q = bf16 ? (void *) rounded : (void *) numbers;
		call.k = bf16 ? (void *) (rounded + width) : (void *) (numbers + width);
		call.v = bf16 ? (void *) (rounded + 2 * width) : (void *) (numbers + 2 * width);
		kernels->attention(&call, scratch);
		free(scratch);
	}
	for (size_t i = 0; i < shape->n_tokens; i++)
		for (size_t j = 0; j < width; j++)
			case_near(run, bf16 ? "attention bf16" : "attention", shape->n_tokens, shape->head_size,
					  j, context[1][i * (width + 2) + j], context[0][i * (width + 2) + j],
					  spread * (bf16 ? 6e-3 : 4e-6 * fmax(1, spread)));
	free(numbers);
	free(rounded);
	free(context[0]);
	free(context[1]);
}

/* n numbers so many floats beyond an aligned address: usual ones, large, tiny, huge, equal, and
 * -inf among them. */
static void
check_vector(CaseRun *run, Rng *rng, size_t n, size_t offset, int kind)
{
	const Kernels *kernels = run->kernels;
	float memory[5][80];
	float *x = memory[0] + offset;
	float *y = memory[1] + offset;
	float *z = memory[2] + offset;
	float *gamma = memory[3] + offset;
	float *beta = memory[4] + offset;
	float scale = kind == 1 ? 50 : kind == 2 ? 1e-39f : kind == 3 ? 1e18f : 1;
	float product[2];

	for (size_t i = 0; i < n + 2; i++)
	{
		x[i] = kind == 4 ? 3 : scale * (float) (2 * rng_uniform(rng) - 1);
		gamma[i] = (float) (2 * rng_uniform(rng) - 1);
		beta[i] = (float) (2 * rng_uniform(rng) - 1);
	}
	if (kind == 5 && n > 1)
		x[n / 2] = -INFINITY;

	if (kind != 3 && kind != 5)
	{
		product[0] = kernels_portable.dot(n, x, gamma);
		product[1] = kernels->dot(n, x, gamma);
		case_near(run, "dot", n, offset, (size_t) kind, product[1], product[0],
				  1e-6 * n * fabsf(scale) + 1e-5);
		memcpy(y, gamma, n * sizeof(float));
		memcpy(z, gamma, n * sizeof(float));
		kernels_portable.axpy(n, 0.3f, x, y);
		kernels->axpy(n, 0.3f, x, z);
		for (size_t i = 0; i < n; i++)
			case_near(run, "axpy", n, i, (size_t) kind, z[i], y[i], 1e-6 * fmaxf(1, scale));
	}
	memcpy(y, x, (n + 2) * sizeof(float));
	memcpy(z, x, (n + 2) * sizeof(float));
	kernels_portable.softmax(1, n, y, n);
	kernels->softmax(1, n, z, n);
	for (size_t i = 0; i < n + 2; i++)
		case_near(run, "softmax", n, i, (size_t) kind, z[i], y[i], i < n ? 1e-6 : 0);
	if (kind == 5)
		return;
	memset(y, 0, sizeof memory[0] - 16);
	memset(z, 0, sizeof memory[0] - 16);
	LayerNorm norm = {n, gamma, beta, 1e-12f};

	kernels_portable.layer_norm(&norm, 1, x, n, y, n);
	kernels->layer_norm(&norm, 1, x, n, z, n);
	/* equal or tiny values: what is left of them is rounding, and it is divided by its own size */
	for (size_t i = 0; i < n + 2; i++)
		case_near(run, "layer_norm", n, i, (size_t) kind, z[i], y[i],
				  i >= n                ? 0
				  : kind == 4 || n == 1 ? 4
										: 1e-4);
}

/* Lengths 1 .. 2 * 16 + 1 from unaligned addresses. */
static void
check_vectors(CaseRun *run, Rng *rng)
{
	for (size_t n = 1; n <= 33; n++)
		for (size_t offset = 0; offset < 3; offset++)
			for (int kind = 0; kind < 6; kind++)
				check_vector(run, rng, n, offset, kind);
}

static void
check_activations(CaseRun *run)
{
	static const Activation all[] = {
		ACTIVATION_GELU, ACTIVATION_GELU_TANH,  ACTIVATION_RELU, ACTIVATION_SILU,
		ACTIVATION_TANH, ACTIVATION_QUICK_GELU, ACTIVATION_MISH, ACTIVATION_NONE,
	};
	/* what the reference's functions give at these five */
	static const float points[] = {-3, -1, -0.125f, 0.5f, 2.5f};
	static const float values[][5] = {
		{-0.0040498674f, -0.15865529f, -0.056282721f, 0.3457312f, 2.4844759f},
		{-0.0036374331f, -0.15880799f, -0.0562828f, 0.345714f, 2.4849157f},
		{0, 0, 0, 0.5f, 2.5f},
		{-0.14227761f, -0.26894143f, -0.058598828f, 0.31122968f, 2.3103545f},
		{-0.99505478f, -0.76159418f, -0.124353f, 0.46211717f, 0.98661429f},
		{-0.018071311f, -0.15420423f, -0.055876527f, 0.35038844f, 2.465014f},
		{-0.14564747f, -0.30340144f, -0.069979906f, 0.37524524f, 2.4713924f},
		{-3, -1, -0.125f, 0.5f, 2.5f},
	};
	static const float extremes[] = {0.0f,   -0.0f,   1e-40f, -1e-40f, 1e30f, -1e30f, INFINITY,
									 100.0f, -100.0f, 88.8f,  -88.8f,  5.6f,  -5.6f,  3e38f};
	float got[1000];
	float expected[1000];

	for (size_t a = 0; a < sizeof all / sizeof all[0]; a++)
	{
		memcpy(got, points, sizeof points);
		run->kernels->activation(all[a], 5, got);
		for (size_t i = 0; i < 5; i++)
			case_near(run, "activation as the reference", a, 0, i, got[i], values[a][i], 5e-7);
		for (size_t from = 0; from < 40000; from += 1000)
		{
			for (size_t i = 0; i < 1000; i++)
				expected[i] = got[i] = -20 + 0.001f * (float) (from + i);
			if (from == 0)
				memcpy(got, extremes, sizeof extremes);
			if (from == 0)
				memcpy(expected, extremes, sizeof extremes);
			kernels_portable.activation(all[a], 1000 - from / 1000, expected);
			run->kernels->activation(all[a], 1000 - from / 1000, got);
			for (size_t i = 0; i < 1000; i++)
				case_near(run, "activation", a, from, i, got[i], expected[i],
						  1.2e-6 * fmax(1, fabs((double) expected[i])));
		}
		for (size_t i = 0; i < 33; i++)
			got[i] = NAN;
		run->kernels->activation(all[a], 33, got);
		for (size_t i = 0; i < 33; i++)
			case_near(run, "activation of NaN", a, i, 0, got[i], NAN, 0);
	}
}

/* The same in each run; others with KERNEL_SEED. */
static inline uint64_t
kernel_cases_seed(void)
{
	const char *given = getenv("KERNEL_SEED");

	return given != NULL ? strtoull(given, NULL, 10) : 1;
}

/*
 * All cases of up to so many products; false when one failed, after saying so on standard output.
 */
static inline bool
kernel_cases_run(const Kernels *kernels, uint64_t seed, size_t most)
{
	CaseRun run = {kernels, seed, 0, 0};
	CaseRun portable = {&kernels_portable, seed, 0, 0}; /* where it is not the measure */
	Rng rng;

	rng_init(&rng, seed, 0);
	for (int p = 0; p < PRECISION_COUNT; p++)
	{
		for (size_t i = 0; i < N_GEMM_CASES; i++)
			if (gemm_cases[i].m * gemm_cases[i].n * gemm_cases[i].k <= most &&
				(p == PRECISION_FP32 || !gemm_cases[i].strassen))
				check_gemm(&run, &gemm_cases[i], (Precision) p, &rng);
		/* every number of rows of the micro-kernels, every width of a last panel, short sums */
		for (size_t i = 1; i <= 130; i++)
		{
			GemmCase shape = {i % 20 + 1, i,          i % 9 + 1,    ACTIVATION_GELU,
							  i % 2 == 0, i % 3 == 0, DATA_UNIFORM, false};

			check_gemm(&run, &shape, (Precision) p, &rng);
		}
	}
	check_quantized_ends(&portable);
	check_quantized_ends(&run);
	for (size_t k = 1; k <= 70; k++)
		check_int8_extremes(&run, k, k % 2 == 0, &rng);
	check_int8_extremes(&run, 4096, true, &rng);
	for (size_t i = 0; i < N_ATTENTION_CASES; i++)
		for (int bf16 = 0; bf16 < 2; bf16++)
		{
			const AttentionCase *shape = &attention_cases[i];

			if (shape->n_tokens * shape->n_tokens * shape->n_heads * shape->head_size > most)
				continue;
			check_attention(&run, shape, bf16, 1, &rng);
			check_attention(&run, shape, bf16, 8, &rng);
		}
	for (size_t i = 1; i <= 40; i++)
		check_attention(&run, &(AttentionCase){i, 2, 32}, i % 2, 1, &rng);
	check_vectors(&run, &rng);
	check_activations(&run);
	printf("%s (%s): %zu/%zu\n", kernels->name, kernels->features, run.n_checked - run.n_failed,
		   run.n_checked);
	return run.n_failed + portable.n_failed == 0;
}

#endif
