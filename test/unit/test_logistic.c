/*
 * Logistic regression: the weights that scikit-learn 1.9's LogisticRegression (C = 4) finds for the
 * same rows, about their mean and of mean length 1, with classes of equal weights and of others;
 * and those that SciPy's BFGS finds with a penalty about the classes' means. And the layer that
 * computes a mean.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arena_fixture.h"
#include "near.h"
#include "train/logistic.h"
#include "train/mean_layer.h"

#define ROWS 30
#define COLUMNS 5
#define CLASSES 3

typedef struct Expected
{
	const float *weights; /* of the classes */
	double weight[CLASSES * COLUMNS];
	double bias[CLASSES]; /* about their mean: any number may be added to all */
	double centers;
} Expected;

static void
fill(float *rows, uint32_t *labels)
{
	for (uint32_t i = 0; i < ROWS; i++)
	{
		for (uint32_t j = 0; j < COLUMNS; j++)
			rows[i * COLUMNS + j] =
				(float) (sin(pow((double) (i * COLUMNS + j), 1.1)) + (j == i % CLASSES ? 1.5 : 0));
		labels[i] = i % 7 != 0 ? i % CLASSES : (i + 1) % CLASSES;
	}
}

static void
check(Arena *arena, const char *kernels, const Expected *expected)
{
	float rows[ROWS * COLUMNS];
	uint32_t labels[ROWS];
	float weight[CLASSES * COLUMNS];
	float bias[CLASSES];
	LogisticCall call = {.n = ROWS,
						 .columns = COLUMNS,
						 .classes = CLASSES,
						 .rows = rows,
						 .labels = labels,
						 .weights = expected->weights,
						 .strength = 4,
						 .weight = weight,
						 .bias = bias,
						 .centers = expected->centers};
	double mean = 0;
	Status status;

	fill(rows, labels);
	call.kernels = train_kernels_choose(kernels, &status);
	if (call.kernels == NULL)
		return;
	if (!logistic_fit(&call, arena, NULL, &status))
		fail_msg("%s", status.message);
	for (int i = 0; i < CLASSES * COLUMNS; i++)
		assert_near((double) weight[i], expected->weight[i], 1e-3);
	for (int c = 0; c < CLASSES; c++)
		mean += (double) bias[c] / CLASSES;
	for (int c = 0; c < CLASSES; c++)
		assert_near((double) bias[c] - mean, expected->bias[c], 1e-3);
}

static void
test_reference(void **state)
{
	static const char *const kernels[] = {"portable", "avx2", "avx512", "neon"};
	static const float weights[CLASSES] = {1, 2.5f, 0.5f};
	static const Expected expected[] = {
		{NULL,
		 {0.739365, -0.73868, -0.379887, -0.635903, -0.089763, -0.253481, 0.830115, -0.566569,
		  0.393653, -0.759154, -0.485884, -0.091435, 0.946456, 0.242251, 0.848917},
		 {-0.055321, -0.049049, 0.10437},
		 0},
		{weights,
		 {0.751753, -0.80191, -0.243308, -0.667154, 0.212685, -0.28053, 0.980877, -0.675947,
		  0.527324, -1.026559, -0.471223, -0.178967, 0.919255, 0.13983, 0.813874},
		 {-0.179746, 0.592266, -0.41252},
		 0},
		{NULL,
		 {0.856193, -0.821494, -0.414009, -0.675159, -0.066795, -0.259002, 0.893789, -0.624443,
		  0.41482, -0.826014, -0.528164, -0.099271, 0.982843, 0.273669, 0.891873},
		 {-0.097065, -0.046997, 0.144062},
		 2},
	};

	for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++)
		for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
			check(*state, kernels[k], &expected[i]);
}

/* Where the rows hardly count the nearest mean decides; a class without rows is none. */
static void
test_nearest_mean(void **state)
{
	float rows[4 * 2] = {0, 0, 0, 2, 6, 0, 6, 2};
	const uint32_t labels[4] = {0, 0, 1, 1};
	float weight[3 * 2];
	float bias[3];
	Status status;
	LogisticCall call = {.n = 4,
						 .columns = 2,
						 .classes = 3,
						 .rows = rows,
						 .labels = labels,
						 .strength = 1e-9,
						 .kernels = train_kernels_choose("auto", &status),
						 .weight = weight,
						 .bias = bias,
						 .centers = 1};

	/* about (3, 1), of mean length the root of 10: the means are (-3, 0) and (3, 0) */
	if (!logistic_fit(&call, *state, NULL, &status))
		fail_msg("%s", status.message);
	assert_near((double) weight[0], -0.3, 1e-5);
	assert_near((double) weight[2], 0.3, 1e-5);
	assert_near((double) weight[1], 0, 1e-5);
	assert_near((double) weight[3], 0, 1e-5);
	assert_near((double) bias[1] - (double) bias[0], -1.8, 1e-5);
	assert_near((double) weight[4], 0, 1e-5);
	assert_near((double) weight[5], 0, 1e-5);
}

/* Rows that do not differ say nothing but how frequent the classes are. */
static void
test_equal_rows(void **state)
{
	float rows[4 * 2] = {3, 1, 3, 1, 3, 1, 3, 1};
	uint32_t labels[4] = {0, 0, 0, 1};
	float weight[4];
	float bias[2];
	Status status;
	LogisticCall call = {
		4, 2, 2, rows, labels, NULL, 100, train_kernels_choose("auto", &status), weight, bias, 0};

	if (!logistic_fit(&call, *state, NULL, &status))
		fail_msg("%s", status.message);
	for (int i = 0; i < 4; i++)
		assert_near((double) weight[i], 0, 1e-6);
	assert_near((double) bias[0] - (double) bias[1], log(3), 1e-3);
}

static bool
refuse(void *context)
{
	(void) context;
	return false;
}

static void
test_cancel(void **state)
{
	static const MayContinue no = {refuse, NULL};
	float rows[ROWS * COLUMNS];
	uint32_t labels[ROWS];
	float weight[CLASSES * COLUMNS];
	float bias[CLASSES];
	Status status;
	LogisticCall call = {ROWS,   COLUMNS, CLASSES, rows,
						 labels, NULL,    1,       train_kernels_choose("auto", &status),
						 weight, bias,    0};

	fill(rows, labels);
	assert_false(logistic_fit(&call, *state, &no, &status));
	assert_int_equal(status.code, STATUS_CANCELLED);
}

/* Of two tokens whose states are the rows of a matrix: uniform attention, LayerNorm. */
static void
test_mean_layer(void **state)
{
	const TensorSpec value = {.role = ROLE_VALUE_WEIGHT, .shape = {3, 3}, .elements = 9};
	const TensorSpec output = {
		.role = ROLE_ATTENTION_OUTPUT_WEIGHT, .shape = {3, 3}, .elements = 9};
	const TensorSpec query = {.role = ROLE_QUERY_WEIGHT, .shape = {3, 3}, .elements = 9};
	const TensorSpec norm = {.role = ROLE_OUTPUT_NORM_WEIGHT, .shape = {3, 0}, .elements = 3};
	const float mean[3] = {1, 2, 6};
	float weight[9];
	float out[3];

	(void) state;
	mean_layer_fill(&value, weight);
	for (int i = 0; i < 9; i++)
		assert_true(weight[i] == (i % 4 == 0 ? 1.0f : 0.0f));
	mean_layer_fill(&output, weight);
	for (int i = 0; i < 9; i++)
		assert_true(weight[i] == (i % 4 == 0 ? MEAN_LAYER_SCALE : 0.0f));
	mean_layer_fill(&query, weight);
	for (int i = 0; i < 9; i++)
		assert_true(weight[i] == 0.0f);
	mean_layer_fill(&norm, weight);
	for (int i = 0; i < 3; i++)
		assert_true(weight[i] == 1.0f);
	mean_layer_state(3, 1e-12, mean, out);
	for (int i = 0; i < 3; i++)
		assert_near((double) out[i], ((double) mean[i] - 3) / sqrt(14.0 / 3), 1e-6);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reference),  cmocka_unit_test(test_nearest_mean),
		cmocka_unit_test(test_equal_rows), cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_mean_layer),
	};

	return cmocka_run_group_tests(tests, open_arena, close_arena);
}
