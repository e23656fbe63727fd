/* logistic.c: accelerated gradient descent that starts anew where it overshoots. */
#include "train/logistic.h"

#include <math.h>
#include <string.h>

#define MOST_ITERATIONS 2000
#define POWER_ITERATIONS 30
#define TOLERANCE 1e-4 /* of each element of the gradient, for a strength of 1 */

/* A point and what is known there: weights with the bias as their last column. */
typedef struct Fit
{
	const LogisticCall *call;
	size_t columns;  /* of the rows with a column of ones */
	float *rows;     /* (n, columns) */
	float *weights;  /* (classes, columns) */
	float *before;   /* (classes, columns): one iteration ago */
	float *ahead;    /* (classes, columns): where the gradient is taken */
	float *gradient; /* (classes, columns) */
	float *prior;    /* (classes, columns): where the penalty is 0, and where the descent begins */
	float *logits;   /* (n, classes) */
	float *scratch;
	double step;
	double momentum;
} Fit;

static bool
take(Fit *fit, Arena *arena, Status *status)
{
	const LogisticCall *call = fit->call;
	size_t elements = call->classes * fit->columns;

	fit->rows = arena_alloc_array(arena, call->n, fit->columns * sizeof(float));
	fit->weights = arena_alloc_array_zero(arena, elements, sizeof(float));
	fit->before = arena_alloc_array_zero(arena, elements, sizeof(float));
	fit->ahead = arena_alloc_array_zero(arena, elements, sizeof(float));
	fit->gradient = arena_alloc_array(arena, elements, sizeof(float));
	fit->prior = arena_alloc_array_zero(arena, elements, sizeof(float));
	fit->logits = arena_alloc_array(arena, call->n, call->classes * sizeof(float));
	fit->scratch = arena_alloc_array(arena, SGEMM_SCRATCH_FLOATS, sizeof(float));
	if (fit->rows == NULL || fit->weights == NULL || fit->before == NULL || fit->ahead == NULL ||
		fit->gradient == NULL || fit->prior == NULL || fit->logits == NULL || fit->scratch == NULL)
		return arena_fail(arena, status, "a logistic regression",
						  (call->n + 5 * call->classes) * fit->columns * sizeof(float));
	return true;
}

/* Rows about their mean, of mean length 1, which the mean's column (columns) and the factor undo.
 */
static double
standardize(const LogisticCall *call, double *mean)
{
	double squares = 0;

	for (size_t j = 0; j < call->columns; j++)
	{
		mean[j] = 0;
		for (size_t i = 0; i < call->n; i++)
			mean[j] += (double) call->rows[i * call->columns + j];
		mean[j] /= (double) call->n;
		for (size_t i = 0; i < call->n; i++)
		{
			float *value = &call->rows[i * call->columns + j];

			*value = (float) ((double) *value - mean[j]);
			squares += (double) *value * (double) *value;
		}
	}
	return squares > 0 ? 1 / sqrt(squares / (double) call->n) : 1;
}

static void
fill_rows(Fit *fit, double factor)
{
	const LogisticCall *call = fit->call;

	for (size_t i = 0; i < call->n; i++)
	{
		float *row = fit->rows + i * fit->columns;

		for (size_t j = 0; j < call->columns; j++)
			row[j] = (float) ((double) call->rows[i * call->columns + j] * factor);
		row[call->columns] = 1.0f;
	}
}

/*
 * The nearest mean as a linear model: centers (m x - ½ |m|²), of which the bias is where to begin.
 * A class without rows has none.
 */
static void
fill_prior(Fit *fit)
{
	const LogisticCall *call = fit->call;

	for (size_t c = 0; c < call->classes && call->centers > 0; c++)
	{
		float *prior = fit->prior + c * fit->columns;
		double count = 0;
		double square;

		for (size_t i = 0; i < call->n; i++)
			if (call->labels[i] == c)
			{
				call->kernels->axpy(call->columns, 1.0f, fit->rows + i * fit->columns, prior);
				count++;
			}
		if (count == 0)
			continue;
		square = call->kernels->dot(call->columns, prior, prior) / (count * count);
		call->kernels->scale(call->columns, (float) (call->centers / count), prior);
		prior[call->columns] = (float) (-call->centers * square / 2);
	}
	memcpy(fit->weights, fit->prior, call->classes * fit->columns * sizeof(float));
	memcpy(fit->ahead, fit->prior, call->classes * fit->columns * sizeof(float));
}

static double
weight_of(const LogisticCall *call, size_t row)
{
	return call->weights == NULL ? 1 : (double) call->weights[call->labels[row]];
}

/* The most that the gradient can change with the weights: the largest eigenvalue of the rows. */
static double
steepest(Fit *fit)
{
	const LogisticCall *call = fit->call;
	float *direction = fit->gradient; /* (columns) */
	float *product = fit->before;     /* (columns) */
	double length = 0;
	double heaviest = 0;

	for (size_t i = 0; i < call->n; i++)
		heaviest = fmax(heaviest, weight_of(call, i));
	for (size_t j = 0; j < fit->columns; j++)
		direction[j] = 1.0f + (float) (j % 7) / 7.0f;
	for (int round = 0; round < POWER_ITERATIONS; round++)
	{
		memset(product, 0, fit->columns * sizeof(float));
		for (size_t i = 0; i < call->n; i++)
		{
			const float *row = fit->rows + i * fit->columns;

			call->kernels->axpy(fit->columns,
								(float) call->kernels->dot(fit->columns, row, direction), row,
								product);
		}
		length = sqrt((double) call->kernels->dot(fit->columns, product, product));
		for (size_t j = 0; j < fit->columns; j++)
			direction[j] = (float) ((double) product[j] / fmax(length, 1e-30));
	}
	memset(product, 0, fit->columns * sizeof(float));
	/* the first rounds may fall short of the eigenvalue by a little */
	return 1 + 1.1 * call->strength * heaviest * length / 2;
}

/* Logits become what the loss's gradient is of them. */
static void
softmax_rows(const Fit *fit)
{
	const LogisticCall *call = fit->call;

	for (size_t i = 0; i < call->n; i++)
	{
		float *logits = fit->logits + i * call->classes;
		double most = (double) logits[0];
		double sum = 0;
		double weight = call->strength * weight_of(call, i);

		for (size_t c = 1; c < call->classes; c++)
			most = fmax(most, (double) logits[c]);
		for (size_t c = 0; c < call->classes; c++)
			sum += exp((double) logits[c] - most);
		for (size_t c = 0; c < call->classes; c++)
			logits[c] = (float) (weight * (exp((double) logits[c] - most) / sum -
										   (c == call->labels[i] ? 1 : 0)));
	}
}

/* fit->gradient at fit->ahead; returns its largest element. */
static double
take_gradient(Fit *fit)
{
	const LogisticCall *call = fit->call;
	SgemmCall forward = {.transpose_b = true,
						 .m = call->n,
						 .n = call->classes,
						 .k = fit->columns,
						 .a = fit->rows,
						 .lda = fit->columns,
						 .b = fit->ahead,
						 .ldb = fit->columns,
						 .c = fit->logits,
						 .ldc = call->classes};
	SgemmCall backward = {.transpose_a = true,
						  .m = call->classes,
						  .n = fit->columns,
						  .k = call->n,
						  .a = fit->logits,
						  .lda = call->classes,
						  .b = fit->rows,
						  .ldb = fit->columns,
						  .c = fit->gradient,
						  .ldc = fit->columns};
	double largest = 0;

	call->kernels->sgemm(&forward, fit->scratch);
	softmax_rows(fit);
	call->kernels->sgemm(&backward, fit->scratch);
	for (size_t c = 0; c < call->classes; c++)
		for (size_t j = 0; j < fit->columns; j++)
		{
			size_t at = c * fit->columns + j;

			if (j < call->columns) /* the bias has no penalty */
				fit->gradient[at] += fit->ahead[at] - fit->prior[at];
			largest = fmax(largest, fabs((double) fit->gradient[at]));
		}
	return largest;
}

static void
descend(Fit *fit)
{
	size_t elements = fit->call->classes * fit->columns;
	double uphill = 0;
	double next;

	for (size_t i = 0; i < elements; i++)
	{
		float now = fit->weights[i];

		fit->weights[i] = fit->ahead[i] - (float) (fit->step * (double) fit->gradient[i]);
		fit->before[i] = now;
		uphill += (double) fit->gradient[i] * ((double) fit->weights[i] - (double) now);
	}
	if (uphill > 0)
		fit->momentum = 1;
	next = (1 + sqrt(1 + 4 * fit->momentum * fit->momentum)) / 2;
	for (size_t i = 0; i < elements; i++)
		fit->ahead[i] =
			fit->weights[i] + (float) ((fit->momentum - 1) / next *
									   ((double) fit->weights[i] - (double) fit->before[i]));
	fit->momentum = next;
}

/* For the rows as they came. */
static void
write_out(const Fit *fit, const double *mean, double factor)
{
	const LogisticCall *call = fit->call;

	for (size_t c = 0; c < call->classes; c++)
	{
		const float *weights = fit->weights + c * fit->columns;
		double bias = (double) weights[call->columns];

		for (size_t j = 0; j < call->columns; j++)
		{
			double weight = (double) weights[j] * factor;

			call->weight[c * call->columns + j] = (float) weight;
			bias -= weight * mean[j];
		}
		call->bias[c] = (float) bias;
	}
}

bool
logistic_fit(const LogisticCall *call, Arena *arena, const MayContinue *question, Status *status)
{
	Fit fit = {.call = call, .columns = call->columns + 1, .momentum = 1};
	double *mean = arena_alloc_array(arena, call->columns, sizeof *mean);
	double factor;

	if (mean == NULL)
		return arena_fail(arena, status, "a logistic regression", call->columns * sizeof *mean);
	if (!take(&fit, arena, status))
		return false;
	factor = standardize(call, mean);
	fill_rows(&fit, factor);
	fit.step = 1 / steepest(&fit);
	fill_prior(&fit);
	for (int i = 0; i < MOST_ITERATIONS; i++)
	{
		if (!may_continue(question, status))
			return false;
		if (take_gradient(&fit) < TOLERANCE * call->strength)
			break;
		descend(&fit);
	}
	write_out(&fit, mean, factor);
	return true;
}
