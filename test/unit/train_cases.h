/*
 * train_cases.h: every function of a table of training kernels against the portable one, over
 * lengths around the vectors' widths; matrix products against sums in double. For
 * test_train_kernels.c and test/qemu/kernel_check.c.
 */
#ifndef TRAIN_CASES_H
#define TRAIN_CASES_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "kernels/portable.h"
#include "kernels/train_kernels.h"

#define TRAIN_ROWS 3
#define TRAIN_LONGEST 200
#define TRAIN_FLOATS (TRAIN_ROWS * TRAIN_LONGEST)

typedef struct TrainRun
{
	const TrainKernels *kernels;
	Rng rng;
	size_t n_checked;
	size_t n_failed;
} TrainRun;

static void
train_fill(TrainRun *run, size_t n, float scale, float *x)
{
	for (size_t i = 0; i < n; i++)
		x[i] = scale * (float) (2 * rng_uniform(&run->rng) - 1);
}

/* got and expected (n): equal to limit, relative to the larger of 1 and the number */
static void
train_near(TrainRun *run, const char *what, size_t n, const float *got, const float *expected,
		   double limit)
{
	for (size_t i = 0; i < n; i++)
	{
		double distance = fabs((double) got[i] - expected[i]);

		run->n_checked++;
		if (distance <= limit * fmax(1, fabs((double) expected[i])))
			continue;
		if (run->n_failed++ < 20)
			printf("not ok - %s: %s, element %zu of %zu: %.9g, portable %.9g\n", run->kernels->name,
				   what, i, n, got[i], expected[i]);
	}
}

static void
train_near_double(TrainRun *run, const char *what, double got, double expected)
{
	float pair[2] = {(float) got, (float) expected};

	train_near(run, what, 1, &pair[0], &pair[1], 1e-5);
}

static void
train_same_bytes(TrainRun *run, const char *what, size_t n, const void *got, const void *expected)
{
	run->n_checked++;
	if (memcmp(got, expected, n) != 0 && run->n_failed++ < 20)
		printf("not ok - %s: %s of %zu bytes differ\n", run->kernels->name, what, n);
}

static void
train_check_elements(TrainRun *run, size_t n)
{
	const TrainKernels *kernels = run->kernels;
	const TrainKernels *portable = &train_kernels_portable;
	const AdamwStep step = {0.5f, 0.9f, 0.999f, 0.1f, 0.001f, 1e-6f, 2e-3f, 1e-4f};
	float x[2][TRAIN_LONGEST + 1];
	float y[2][TRAIN_LONGEST + 1];
	float m[2][TRAIN_LONGEST + 1];
	float v[2][TRAIN_LONGEST + 1];
	size_t size = sizeof x[0];

	for (int activation = 0; activation <= ACTIVATION_NONE; activation++)
	{
		train_fill(run, n + 1, 6, x[0]);
		memcpy(x[1], x[0], size);
		memcpy(y[0], x[0], size);
		memcpy(y[1], x[0], size);
		kernels->activation_forward((Activation) activation, n, x[0], y[0]);
		portable->activation_forward((Activation) activation, n, x[1], y[1]);
		train_near(run, "activation", n + 1, y[0], y[1], 2e-6);
		train_near(run, "derivative", n + 1, x[0], x[1], 4e-6);
	}
	train_fill(run, n + 1, 1, x[0]);
	train_fill(run, n + 1, 1, y[0]);
	memcpy(y[1], y[0], size);
	kernels->axpy(n, 0.3f, x[0], y[0]);
	portable->axpy(n, 0.3f, x[0], y[1]);
	train_near(run, "axpy", n + 1, y[0], y[1], 1e-6);
	kernels->scale(n, 0.7f, y[0]);
	portable->scale(n, 0.7f, y[1]);
	train_near(run, "scale", n + 1, y[0], y[1], 1e-6);
	train_near_double(run, "dot", kernels->dot(n, x[0], y[0]), portable->dot(n, x[0], y[0]));
	train_near_double(run, "sum_squares", kernels->sum_squares(n, x[0]),
					  portable->sum_squares(n, x[0]));
	train_fill(run, n + 1, 0.1f, m[0]);
	for (size_t i = 0; i <= n; i++)
		v[0][i] = m[0][i] * m[0][i];
	memcpy(m[1], m[0], size);
	memcpy(v[1], v[0], size);
	memcpy(y[1], y[0], size);
	kernels->adamw(n, y[0], x[0], m[0], v[0], &step);
	portable->adamw(n, y[1], x[0], m[1], v[1], &step);
	train_near(run, "adamw, weights", n + 1, y[0], y[1], 1e-6);
	train_near(run, "adamw, first moments", n + 1, m[0], m[1], 1e-6);
	train_near(run, "adamw, second moments", n + 1, v[0], v[1], 1e-6);
}

/* bits: of dropout, or NULL */
static void
train_check_norm(TrainRun *run, size_t n, const uint8_t *bits)
{
	const TrainKernels *tables[2] = {run->kernels, &train_kernels_portable};
	float gamma[TRAIN_LONGEST];
	float beta[TRAIN_LONGEST];
	float in[TRAIN_FLOATS];
	float dy[TRAIN_FLOATS];
	float s[2][TRAIN_FLOATS];
	float y[2][TRAIN_FLOATS];
	float ds[2][TRAIN_FLOATS];
	float dx[2][TRAIN_FLOATS];
	float columns[2][4][TRAIN_LONGEST];
	float statistics[2][2][TRAIN_ROWS];
	size_t all = TRAIN_ROWS * n;

	train_fill(run, n, 1, gamma);
	train_fill(run, n, 1, beta);
	train_fill(run, all, 2, in);
	train_fill(run, all, 1, dy);
	memset(columns, 0, sizeof columns);
	memset(dx, 0, sizeof dx);
	for (int t = 0; t < 2; t++)
	{
		AddNorm norm = {.m = TRAIN_ROWS,
						.n = n,
						.gamma = gamma,
						.beta = beta,
						.eps = 0.1f,
						.bits = bits,
						.scale = 1.25f,
						.mean = statistics[t][0],
						.rstd = statistics[t][1]};
		AddNormGradients gradients = {ds[t], bits == NULL ? NULL : dx[t], columns[t][0],
									  columns[t][1], columns[t][2]};

		memcpy(s[t], in, sizeof in);
		tables[t]->add_norm_forward(&norm, dy, s[t], y[t]);
		tables[t]->add_norm_backward(&norm, dy, s[t], &gradients);
		tables[t]->column_sum(TRAIN_ROWS, n, in, n, columns[t][2]);
	}
	train_near(run, "add_norm_forward, sums", all, s[0], s[1], 1e-6);
	train_near(run, "add_norm_forward", all, y[0], y[1], 1e-5);
	train_near(run, "add_norm_backward", all, ds[0], ds[1], 2e-5);
	train_near(run, "add_norm_backward, before dropout", all, dx[0], dx[1], 2e-5);
	for (int t = 0; t < 2; t++)
		tables[t]->activation_backward(TRAIN_ROWS, n, in, ds[t], columns[t][3]);
	train_near(run, "activation_backward", all, ds[0], ds[1], 4e-5);
	train_near(run, "gradients of columns", 4 * TRAIN_LONGEST, columns[0][0], columns[1][0], 1e-4);
}

static void
train_check_softmax(TrainRun *run, size_t n, const uint8_t *bits)
{
	const TrainKernels *tables[2] = {run->kernels, &train_kernels_portable};
	const SoftmaxCall call = {TRAIN_ROWS, n, 0.5f, n % 2 == 0 ? 1 : SIZE_MAX, bits, 1.25f};
	float in[TRAIN_FLOATS];
	float gradient[TRAIN_FLOATS];
	float probs[2][TRAIN_FLOATS];
	float dropped[2][TRAIN_FLOATS];
	float dp[2][TRAIN_FLOATS];
	float logits[2][TRAIN_LONGEST];
	double loss[2];
	size_t all = TRAIN_ROWS * n;

	train_fill(run, all, 4, in);
	train_fill(run, all, 1, gradient);
	memset(dropped, 0, sizeof dropped);
	for (int t = 0; t < 2; t++)
	{
		memcpy(probs[t], in, sizeof in);
		memcpy(dp[t], gradient, sizeof gradient);
		memcpy(logits[t], in, n * sizeof(float));
		tables[t]->softmax_forward(&call, probs[t], bits == NULL ? NULL : dropped[t]);
		tables[t]->softmax_backward(&call, probs[t], dp[t]);
		loss[t] = tables[t]->cross_entropy_row(n, logits[t], n / 2, 0.5f);
	}
	train_near(run, "softmax_forward", all, probs[0], probs[1], 1e-6);
	train_near(run, "softmax_forward, dropped", all, dropped[0], dropped[1], 1e-6);
	train_near(run, "softmax_backward", all, dp[0], dp[1], 1e-6);
	train_near_double(run, "cross_entropy_row", loss[0], loss[1]);
	train_near(run, "cross_entropy_row, gradients", n, logits[0], logits[1], 1e-6);
	/* a loss that is no number is not to look like one */
	logits[0][n / 3] = NAN;
	run->n_checked++;
	if (!isnan(tables[0]->cross_entropy_row(n, logits[0], 0, 1)) && run->n_failed++ < 20)
		printf("not ok - %s: cross_entropy_row of NaN\n", tables[0]->name);
}

static void
train_check_dropout(TrainRun *run, size_t n, uint8_t (*bits)[TRAIN_FLOATS])
{
	const DropoutKey key = {rng_u32(&run->rng), 5, 13107, 1.25f};
	float x[2][TRAIN_FLOATS];

	memset(bits[0], 0xA5, TRAIN_FLOATS);
	memset(bits[1], 0xA5, TRAIN_FLOATS);
	run->kernels->dropout_bits(&key, 7, TRAIN_ROWS, n, bits[0]);
	train_kernels_portable.dropout_bits(&key, 7, TRAIN_ROWS, n, bits[1]);
	train_same_bytes(run, "dropout_bits", TRAIN_FLOATS, bits[0], bits[1]);
	train_fill(run, TRAIN_ROWS * n, 1, x[0]);
	memcpy(x[1], x[0], sizeof x[0]);
	run->kernels->dropout_apply(TRAIN_ROWS, n, bits[1], key.scale, x[0], n);
	train_kernels_portable.dropout_apply(TRAIN_ROWS, n, bits[1], key.scale, x[1], n);
	train_same_bytes(run, "dropout_apply", TRAIN_ROWS * n * sizeof(float), x[0], x[1]);
}

static void
train_check_product(TrainRun *run, int variant, float *scratch)
{
	size_t m = 1 + rng_below(&run->rng, 30);
	size_t n = 1 + rng_below(&run->rng, 90);
	size_t k = 1 + rng_below(&run->rng, 50);
	float a[30 * 50];
	float b[90 * 50];
	float c[30 * 90];
	SgemmCall call = {.transpose_a = variant & 1,
					  .transpose_b = variant & 2,
					  .bf16 = variant & 4,
					  .m = m,
					  .n = n,
					  .k = k,
					  .a = a,
					  .lda = variant & 1 ? m : k,
					  .b = b,
					  .ldb = variant & 2 ? k : n,
					  .c = c,
					  .ldc = n};

	train_fill(run, m * k, 1, a);
	train_fill(run, n * k, 1, b);
	for (size_t i = 0; i < m * k && call.bf16; i++)
		a[i] = bf16_to_float(float_to_bf16(a[i]));
	for (size_t i = 0; i < n * k && call.bf16; i++)
		b[i] = bf16_to_float(float_to_bf16(b[i]));
	run->kernels->sgemm(&call, scratch);
	for (size_t i = 0; i < m; i++)
		for (size_t j = 0; j < n; j++)
		{
			double sum = 0;

			for (size_t p = 0; p < k; p++)
				sum += (double) a[call.transpose_a ? p * m + i : i * k + p] *
					   b[call.transpose_b ? j * k + p : p * n + j];
			train_near_double(run, "sgemm", c[i * n + j], sum);
		}
}

/* Every derivative against differences of the values, but at relu's corner; large ones too. */
static void
train_check_derivatives(TrainRun *run)
{
	enum
	{
		POINTS = 201
	};
	const float h = 0.01f;

	for (int activation = 0; activation <= ACTIVATION_NONE; activation++)
	{
		float x[3][POINTS];
		float y[3][POINTS];
		float slope[POINTS];

		for (int i = 0; i < POINTS; i++)
			for (int side = 0; side < 3; side++)
				x[side][i] = (float) (i - POINTS / 2) * 0.1f + 0.05f + (float) (side - 1) * h;
		x[1][0] = -1e4f;
		x[1][POINTS - 1] = 1e4f;
		for (int side = 0; side < 3; side++)
			run->kernels->activation_forward((Activation) activation, POINTS, x[side], y[side]);
		for (int i = 0; i < POINTS; i++)
			slope[i] = (y[2][i] - y[0][i]) / (2 * h);
		slope[0] = activation == ACTIVATION_NONE ? 1 : 0;
		slope[POINTS - 1] = activation == ACTIVATION_TANH ? 0 : 1;
		train_near(run, "derivative and differences", POINTS, x[1], slope, 1e-3);
	}
}

static inline bool
train_cases_run(const TrainKernels *kernels, uint64_t seed)
{
	TrainRun run = {.kernels = kernels};
	float *scratch = aligned_alloc(64, SGEMM_SCRATCH_FLOATS * sizeof(float));

	rng_init(&run.rng, seed, 0);
	for (size_t n = 1; n <= TRAIN_LONGEST; n += n < 70 ? 1 : 13)
	{
		uint8_t bits[2][TRAIN_FLOATS];

		train_check_elements(&run, n);
		train_check_dropout(&run, n, bits);
		train_check_norm(&run, n, NULL);
		train_check_norm(&run, n, bits[1]);
		train_check_softmax(&run, n, NULL);
		train_check_softmax(&run, n, bits[1]);
	}
	train_check_derivatives(&run);
	for (int i = 0; scratch != NULL && i < 80; i++)
		train_check_product(&run, i % 8, scratch);
	free(scratch);
	printf("# training, %s: %zu/%zu, seed %llu\n", kernels->name, run.n_checked - run.n_failed,
		   run.n_checked, (unsigned long long) seed);
	return run.n_checked > 1000 && run.n_failed == 0;
}

#endif
