/* metrics.c: metrics of classes and values. */
#include "train/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"

static double
ratio(double a, double b)
{
	return b == 0 ? 0 : a / b;
}

/* How often a class is the label, the prediction, and both. */
typedef struct ClassCount
{
	uint64_t labelled;
	uint64_t predicted;
	uint64_t right;
} ClassCount;

static bool
count_classes(const ClassPredictions *pairs, ClassCount *counts, uint64_t *confusion,
			  Status *status)
{
	for (size_t i = 0; i < pairs->n; i++)
	{
		int32_t label = pairs->labels[i];
		int32_t prediction = pairs->predictions[i];

		if (label < 0 || (size_t) label >= pairs->classes || prediction < 0 ||
			(size_t) prediction >= pairs->classes)
			return status_fail(status, STATUS_INVALID_ARGUMENT,
							   "label %d or prediction %d is not in 0 .. %zu", label, prediction,
							   pairs->classes - 1);
		counts[label].labelled++;
		counts[prediction].predicted++;
		counts[label].right += label == prediction;
		if (confusion != NULL)
			confusion[(size_t) label * pairs->classes + (size_t) prediction]++;
	}
	return true;
}

bool
metrics_classes(const ClassPredictions *pairs, Arena *arena, uint64_t *confusion,
				ClassMetrics *metrics, Status *status)
{
	size_t classes = pairs->classes;
	double right = 0;
	size_t occurring = 0;
	double f1_sum = 0;
	double f1_weighted = 0;
	double labels_times_predictions = 0;
	double labels_squared = 0;
	double predictions_squared = 0;
	double total = (double) pairs->n;
	ClassCount *counts = arena_alloc_array_zero(arena, classes, sizeof *counts);

	memset(metrics, 0, sizeof *metrics);
	if (counts == NULL)
		return arena_fail(arena, status, "metrics", classes * sizeof *counts);
	if (confusion != NULL)
		memset(confusion, 0, classes * classes * sizeof *confusion);
	if (!count_classes(pairs, counts, confusion, status))
		return false;
	for (size_t c = 0; c < classes; c++)
	{
		double labelled = (double) counts[c].labelled;
		double predicted = (double) counts[c].predicted;
		double f1 = ratio(2 * (double) counts[c].right, labelled + predicted);

		right += (double) counts[c].right;
		occurring += labelled + predicted > 0;
		f1_sum += f1;
		f1_weighted += f1 * labelled;
		labels_times_predictions += labelled * predicted;
		labels_squared += labelled * labelled;
		predictions_squared += predicted * predicted;
	}
	metrics->accuracy = ratio(right, total);
	metrics->f1_macro = ratio(f1_sum, (double) occurring);
	metrics->f1_weighted = ratio(f1_weighted, total);
	metrics->matthews =
		ratio(right * total - labels_times_predictions,
			  sqrt((total * total - labels_squared) * (total * total - predictions_squared)));
	return true;
}

static double
pearson(size_t n, const double *x, const double *y)
{
	double mean_x = 0;
	double mean_y = 0;
	double xx = 0;
	double yy = 0;
	double xy = 0;

	for (size_t i = 0; i < n; i++)
	{
		mean_x += x[i];
		mean_y += y[i];
	}
	mean_x /= (double) n;
	mean_y /= (double) n;
	for (size_t i = 0; i < n; i++)
	{
		xx += (x[i] - mean_x) * (x[i] - mean_x);
		yy += (y[i] - mean_y) * (y[i] - mean_y);
		xy += (x[i] - mean_x) * (y[i] - mean_y);
	}
	return n < 2 || xx == 0 || yy == 0 ? NAN : xy / (sqrt(xx) * sqrt(yy));
}

typedef struct Ranked
{
	double value;
	size_t index;
} Ranked;

static int
compare_ranked(const void *a, const void *b)
{
	double x = ((const Ranked *) a)->value;
	double y = ((const Ranked *) b)->value;

	return (x > y) - (x < y);
}

/* Ranks from 1; equal values share their mean rank. */
static void
make_ranks(size_t n, const double *values, Ranked *sorted, double *ranks)
{
	for (size_t i = 0; i < n; i++)
		sorted[i] = (Ranked){values[i], i};
	qsort(sorted, n, sizeof *sorted, compare_ranked);
	for (size_t from = 0, to; from < n; from = to)
	{
		for (to = from; to < n && sorted[to].value == sorted[from].value; to++)
			;
		for (size_t i = from; i < to; i++)
			ranks[sorted[i].index] = (double) (from + to + 1) / 2;
	}
}

bool
metrics_values(Arena *arena, size_t n, const double *labels, const double *predictions,
			   ValueMetrics *metrics, Status *status)
{
	Ranked *sorted = arena_alloc_array(arena, n, sizeof *sorted);
	double *ranks = arena_alloc_array(arena, n, 2 * sizeof *ranks);

	memset(metrics, 0, sizeof *metrics);
	if (sorted == NULL || ranks == NULL)
		return arena_fail(arena, status, "metrics", n * (sizeof *sorted + 2 * sizeof *ranks));
	for (size_t i = 0; i < n; i++)
	{
		if (!isfinite(labels[i]) || !isfinite(predictions[i]))
			return status_fail(status, STATUS_INVALID_ARGUMENT, "a value is not a number");
		metrics->mse += (labels[i] - predictions[i]) * (labels[i] - predictions[i]);
		metrics->mae += fabs(labels[i] - predictions[i]);
	}
	metrics->mse = ratio(metrics->mse, (double) n);
	metrics->mae = ratio(metrics->mae, (double) n);
	metrics->pearson = pearson(n, labels, predictions);
	make_ranks(n, labels, sorted, ranks);
	make_ranks(n, predictions, sorted, ranks + n);
	metrics->spearman = pearson(n, ranks, ranks + n);
	return true;
}

double
metrics_perplexity(double loss)
{
	return exp(loss);
}
