/*
 * attention_bytes_cases.h: attention in bytes (src/kernels/vector_attention_bytes.h) of a family
 * against what its numbers mean: the exact softmax over queries, keys and values that are rounded
 * to bytes. Probabilities may differ by a step of exponents and by one of 255; what that can do to
 * a result at most is added up for each result.
 */
#ifndef ATTENTION_BYTES_CASES_H
#define ATTENTION_BYTES_CASES_H

#include "kernel_cases.h"

/* A head, rounded: element (t, d) is bytes[t * size + d] * scales[t]. */
typedef struct ByteRows
{
	int *bytes;
	double *scales;
	double *shifts; /* of values: logarithm of the largest scale over their own */
} ByteRows;

typedef struct ByteCase
{
	const Kernels *kernels;
	size_t n_tokens;
	size_t n_heads;
	size_t head_size;
	size_t ld;
	const uint16_t *rows; /* (n_tokens, ld): queries, keys, values of all heads */
	float *context;       /* (n_tokens, n_heads * head_size) */
} ByteCase;

/* part: 0 queries, 1 keys, 2 values */
static inline const uint16_t *
byte_case_row(const ByteCase *one, size_t part, size_t head, size_t row)
{
	return one->rows + row * one->ld + (part * one->n_heads + head) * one->head_size;
}

static inline double
byte_case_largest(const ByteCase *one, size_t part, size_t head, size_t row)
{
	double largest = 0;

	for (size_t i = 0; i < one->head_size; i++)
		largest =
			fmax(largest, fabs((double) bf16_to_float(byte_case_row(one, part, head, row)[i])));
	return largest;
}

/* Queries and keys have a scale each, values a power of two above largest / 127. */
static inline ByteRows
byte_case_round(const ByteCase *one, size_t part, size_t head)
{
	size_t n = one->n_tokens;
	ByteRows rounded = {case_alloc(n * one->head_size * sizeof(int)),
						case_alloc(n * sizeof(double)), case_alloc(n * sizeof(double))};
	double most = 0;

	for (size_t t = 0; t < n; t++)
		most = fmax(most, byte_case_largest(one, part, head, t));
	for (size_t t = 0; t < n; t++)
	{
		float largest = (float) byte_case_largest(one, part, head, t);
		float inverse = largest > 1e-36f ? 127 / largest : 0;

		rounded.scales[t] = largest > 1e-36f ? (double) largest / 127 : 0;
		rounded.shifts[t] = 0;
		if (part == 2)
		{
			int top = ilogb((double) (fmaxf((float) most, 1e-34f) / 127)) + 1;
			int own = ilogb((double) (fmaxf(largest, 1e-34f) / 127)) + 1;

			own = own < top - 6 ? top - 6 : own;
			rounded.scales[t] = ldexp(1, own);
			rounded.shifts[t] = own - top;
			inverse = (float) ldexp(1, -own);
		}
		for (size_t i = 0; i < one->head_size; i++)
			rounded.bytes[t * one->head_size + i] = (int) lrintf(
				fmaf(bf16_to_float(byte_case_row(one, part, head, t)[i]), inverse, QUANTIZE_MAGIC) -
				QUANTIZE_MAGIC);
	}
	return rounded;
}

static inline void
byte_rows_free(ByteRows *rows)
{
	free(rows->bytes);
	free(rows->scales);
	free(rows->shifts);
}

/*
 * Exponents of a query's probabilities over the scales of their values, the highest 0; returns what
 * sums in fp32 may add to one.
 */
static inline double
byte_case_exponents(const ByteCase *one, const ByteRows *rounded, size_t query, double *exponents)
{
	double factor = rounded[0].scales[query] / sqrt((double) one->head_size) * M_LOG2E;
	double highest = -INFINITY;
	double slack = 0;

	for (size_t key = 0; key < one->n_tokens; key++)
	{
		double sum = 0;

		for (size_t i = 0; i < one->head_size; i++)
			sum += rounded[0].bytes[query * one->head_size + i] *
				   rounded[1].bytes[key * one->head_size + i];
		exponents[key] = sum * factor * rounded[1].scales[key] + rounded[2].shifts[key];
		highest = fmax(highest, exponents[key]);
		slack = fmax(slack, 255.0 * 127 * (double) one->head_size * factor *
								rounded[1].scales[key] * 3e-7);
	}
	for (size_t key = 0; key < one->n_tokens; key++)
		exponents[key] -= highest;
	return slack + 1e-5;
}

/* One query: each result and what it may differ by. step: of exponents */
static inline void
byte_case_query(CaseRun *run, const ByteCase *one, const ByteRows *rounded, size_t head,
				size_t query, double step)
{
	size_t n = one->n_tokens;
	double *exponents = case_alloc(n * sizeof(double));
	double loose = exp2(step / 2 + 2 * byte_case_exponents(one, rounded, query, exponents));
	const float *got = one->context + (query * one->n_heads + head) * one->head_size;

	for (size_t i = 0; i < one->head_size; i++)
	{
		double total = 0;
		double least = 0;
		double sum = 0;
		double differs = 0;

		for (size_t key = 0; key < n; key++)
		{
			double weight = exp2(exponents[key] - rounded[2].shifts[key]);

			total += weight;
			sum += weight * rounded[2].bytes[key * one->head_size + i] * rounded[2].scales[key];
		}
		for (size_t key = 0; key < n; key++)
		{
			double weight = 255 * exp2(exponents[key]);
			double below = fmin(weight, weight - weight / loose + 1.02);
			double above = fmin(weight * loose, 255) - weight + 1;
			double value = rounded[2].bytes[key * one->head_size + i] * rounded[2].scales[key];
			double times = exp2(-rounded[2].shifts[key]);

			least += times * (weight - below);
			differs += times * fmax(below, above) * fabs(value - sum / total);
		}
		case_near(run, "attention in bytes", n, query, i, (double) got[i], sum / total,
				  /* the largest of all is 255 */
				  differs / fmax(least, 255) + 1e-6 * fabs(sum / total) + 1e-37);
	}
	free(exponents);
}

/* Computes the case's context. */
static inline void
byte_case_compute(ByteCase *one)
{
	size_t width = one->n_heads * one->head_size;
	AttentionCall call = {.n_tokens = one->n_tokens,
						  .n_heads = one->n_heads,
						  .head_size = one->head_size,
						  .bf16 = true,
						  .bytes = true,
						  .q = one->rows,
						  .k = one->rows + width,
						  .v = one->rows + 2 * width,
						  .qkv_ld = one->ld,
						  .scale = 1 / sqrtf((float) one->head_size),
						  .context_ld = width};
	void *scratch = case_alloc(
		one->kernels->attention_scratch_size(PRECISION_INT8, one->n_tokens, one->head_size));

	one->context = case_alloc(one->n_tokens * width * sizeof(float));
	call.context = one->context;
	one->kernels->attention(&call, scratch);
	free(scratch);
}

typedef enum ByteData
{
	BYTES_USUAL,
	BYTES_SHARP,    /* scores of which few count */
	BYTES_EQUAL,    /* every element of a row is the same: what is largest, everywhere */
	BYTES_ONES,     /* all elements are 1: the largest sums there can be */
	BYTES_OUTLIER,  /* an element a thousand times the others */
	BYTES_ROWS,     /* rows of very different size, values beyond the range of their scales too */
	BYTES_ZERO,     /* every other row is zero */
	BYTES_NOTHING,  /* all are zero */
	BYTES_DENORMAL, /* 1e-40 */
	BYTES_LARGE,    /* 1e15: scores that no exponent holds */
	BYTE_DATA
} ByteData;

static inline void
byte_case_fill(ByteData data, size_t n_tokens, size_t ld, uint16_t *rows, Rng *rng)
{
	for (size_t t = 0; t < n_tokens; t++)
	{
		float row = (float) (2 * rng_uniform(rng) - 1);
		float size = data == BYTES_ROWS ? exp2f(16 * row) : 1;

		for (size_t i = 0; i < ld; i++)
		{
			float x = (float) (2 * rng_uniform(rng) - 1);

			x = data == BYTES_SHARP                         ? 8 * x
				: data == BYTES_EQUAL                       ? row
				: data == BYTES_ONES                        ? 1
				: data == BYTES_OUTLIER && i % 16 == t % 16 ? 1000 * x
				: data == BYTES_ROWS                        ? size * x
				: data == BYTES_ZERO && t % 2 == 0          ? 0
				: data == BYTES_NOTHING                     ? 0
				: data == BYTES_DENORMAL                    ? 1e-40f * x
				: data == BYTES_LARGE                       ? 1e15f * x
															: x;
			rows[t * ld + i] = float_to_bf16(x);
		}
	}
}

static inline void
check_attention_bytes(CaseRun *run, const AttentionCase *shape, ByteData data, double step,
					  Rng *rng)
{
	size_t ld = 3 * shape->n_heads * shape->head_size + 5;
	uint16_t *rows = case_alloc(shape->n_tokens * ld * sizeof(uint16_t));
	ByteCase one = {run->kernels, shape->n_tokens, shape->n_heads, shape->head_size, ld, rows,
					NULL};

	byte_case_fill(data, shape->n_tokens, ld, rows, rng);
	byte_case_compute(&one);
	for (size_t head = 0; head < shape->n_heads; head++)
	{
		ByteRows rounded[3];

		for (size_t part = 0; part < 3; part++)
			rounded[part] = byte_case_round(&one, part, head);
		for (size_t query = 0; query < shape->n_tokens; query++)
			byte_case_query(run, &one, rounded, head, query, step);
		for (size_t part = 0; part < 3; part++)
			byte_rows_free(&rounded[part]);
	}
	free(one.context);
	free(rows);
}

/*
 * A key that everybody looks at, with `far` times the probability of each of the other 511, which
 * together have more: their part must not be rounded away. Their values are 1, its own is 0.
 */
static inline void
check_long_tail(CaseRun *run, float far)
{
	enum
	{
		N = 512,
		SIZE = 32,
		LD = 3 * SIZE
	};
	uint16_t *rows = case_alloc(N * LD * sizeof(uint16_t));
	ByteCase one = {run->kernels, N, 1, SIZE, LD, rows, NULL};
	double expected = (N - 1) / ((double) far + N - 1);

	for (size_t t = 0; t < N; t++)
		for (size_t i = 0; i < SIZE; i++)
		{
			float key = t == 0 && i == 0 ? logf(far) * sqrtf(SIZE) : 0;

			rows[t * LD + i] = float_to_bf16(i == 0 ? 1 : 0);
			rows[t * LD + SIZE + i] = float_to_bf16(key);
			rows[t * LD + 2 * SIZE + i] = float_to_bf16(t == 0 && i > 0 ? 0 : 1);
		}
	byte_case_compute(&one);
	for (size_t t = 0; t < N; t++)
		for (size_t i = 1; i < SIZE; i++)
			case_near(run, "attention in bytes, long tail", t, i, (size_t) far,
					  (double) one.context[t * SIZE + i], expected, 0.08);
	free(one.context);
	free(rows);
}

/* As many keys as there may be in a model, all bytes at their ends: results are what values are. */
static inline void
check_many_keys(CaseRun *run, float value)
{
	enum
	{
		N = 20000,
		SIZE = 16,
		LD = 3 * SIZE
	};
	uint16_t *rows = case_alloc(N * LD * sizeof(uint16_t));
	ByteCase one = {run->kernels, N, 1, SIZE, LD, rows, NULL};

	for (size_t i = 0; i < N * LD; i++)
		rows[i] = float_to_bf16(value);
	byte_case_compute(&one);
	for (size_t i = 0; i < N * SIZE; i++)
		case_near(run, "attention in bytes, many keys", i / SIZE, i % SIZE, 0,
				  (double) one.context[i], (double) value, 1e-5 * fabs((double) value));
	free(one.context);
	free(rows);
}

/* A number that is none harms no row but those that have it: as query its own, as key or value no
 * other's sums. */
static inline void
check_not_finite(CaseRun *run, size_t part, float number, Rng *rng)
{
	enum
	{
		N = 70,
		SIZE = 32,
		LD = 3 * SIZE
	};
	uint16_t rows[N * LD];
	ByteCase one = {run->kernels, N, 1, SIZE, LD, rows, NULL};

	byte_case_fill(BYTES_USUAL, N, LD, rows, rng);
	rows[13 * LD + part * SIZE + 3] = float_to_bf16(number);
	byte_case_compute(&one);
	for (size_t i = 0; i < N * SIZE; i++)
		if (part != 0 || i / SIZE != 13)
			case_near(run, "attention in bytes, not finite", i / SIZE, i % SIZE, part,
					  (double) one.context[i], 0, 1.01);
	free(one.context);
}

static inline bool
attention_bytes_cases_run(const Kernels *kernels, uint64_t seed)
{
	static const AttentionCase shapes[] = {
		{1, 1, 32},   {2, 2, 16},    {7, 2, 64},   {12, 1, 48},  {13, 3, 32},
		{16, 2, 32},  {31, 1, 96},   {33, 2, 64},  {64, 2, 32},  {65, 1, 128},
		{100, 2, 32}, {129, 1, 256}, {200, 1, 80}, {512, 1, 64},
	};
	CaseRun run = {kernels, seed, 0, 0};
	double step = strcmp(kernels->name, "avx2") == 0 ? 1.0 / 8 : 1.0 / 32;
	Rng rng;

	rng_init(&rng, seed, 5);
	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
		for (int data = 0; data < BYTE_DATA; data++)
			check_attention_bytes(&run, &shapes[i], (ByteData) data, step, &rng);
	for (float far = 4; far < 3000; far *= 3)
		check_long_tail(&run, far);
	check_many_keys(&run, 126);
	check_many_keys(&run, -3);
	for (size_t part = 0; part < 3; part++)
	{
		check_not_finite(&run, part, NAN, &rng);
		check_not_finite(&run, part, INFINITY, &rng);
		check_not_finite(&run, part, -INFINITY, &rng);
	}
	printf("%s (%s), attention in bytes: %zu/%zu\n", kernels->name, kernels->features,
		   run.n_checked - run.n_failed, run.n_checked);
	return run.n_failed == 0;
}

#endif
