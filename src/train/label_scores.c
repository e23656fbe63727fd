/* label_scores.c: counts of right and wrong labels, and what they come to. */
#include "train/label_scores.h"

#include <math.h>

/* Steps of the thresholds that are tried. */
#define GRID 100

/* How often a label is there, is predicted, and both. */
typedef struct LabelCount
{
	uint64_t labelled;
	uint64_t predicted;
	uint64_t right;
} LabelCount;

struct LabelScores
{
	size_t n_labels;
	double threshold;
	LabelCount *counts; /* (n_labels) */
	uint64_t rows;
	uint64_t exact;
	/* by sigmoid, in steps of 1 / GRID: labels that are there, and all */
	uint64_t there[GRID + 1];
	uint64_t all[GRID + 1];
};

LabelScores *
label_scores_create(Arena *arena, size_t n_labels, double threshold, Status *status)
{
	LabelScores *scores = arena_alloc_zero(arena, sizeof *scores);
	LabelCount *counts = arena_alloc_array_zero(arena, n_labels, sizeof *counts);

	if (scores == NULL || counts == NULL)
	{
		arena_fail(arena, status, "scores of labels", n_labels * sizeof *counts);
		return NULL;
	}
	scores->n_labels = n_labels;
	scores->threshold = threshold;
	scores->counts = counts;
	return scores;
}

static double
sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

bool
label_scores_predicts(const LabelScores *scores, float logit)
{
	return sigmoid(logit) >= scores->threshold;
}

void
label_scores_add(LabelScores *scores, const float *labels, const float *logits)
{
	bool exact = true;

	for (size_t i = 0; i < scores->n_labels; i++)
	{
		LabelCount *count = &scores->counts[i];
		double probability = sigmoid(logits[i]);
		/* what is not a number is predicted nowhere */
		size_t place = probability >= 0 ? (size_t) (probability * GRID) : 0;
		bool there = labels[i] != 0;
		bool predicted = label_scores_predicts(scores, logits[i]);

		count->labelled += there;
		count->predicted += predicted;
		count->right += there && predicted;
		scores->there[place] += there;
		scores->all[place]++;
		exact = exact && there == predicted;
	}
	scores->rows++;
	scores->exact += exact;
}

static double
ratio(double a, double b)
{
	return b == 0 ? 0 : a / b;
}

static LabelScore
score_of(const LabelCount *count)
{
	double right = (double) count->right;

	return (LabelScore){.count = count->labelled,
						.precision = ratio(right, (double) count->predicted),
						.recall = ratio(right, (double) count->labelled),
						.f1 =
							ratio(2 * right, (double) count->labelled + (double) count->predicted)};
}

LabelScore
label_scores_of(const LabelScores *scores, size_t label)
{
	return score_of(&scores->counts[label]);
}

/* From the highest threshold down; the middle of equally good ones. */
static double
best_threshold(const LabelScores *scores)
{
	LabelCount count = {0};
	double best = -1;
	int highest = 0;
	int lowest = 0;

	for (int i = 0; i <= GRID; i++)
		count.labelled += scores->there[i];
	for (int i = GRID; i > 0; i--)
	{
		double f1;

		count.right += scores->there[i];
		count.predicted += scores->all[i];
		f1 = score_of(&count).f1;
		if (i == GRID)
			continue;
		if (f1 > best)
		{
			best = f1;
			highest = i;
		}
		if (f1 == best)
			lowest = i;
	}
	return (highest + lowest) / 2.0 / GRID;
}

void
label_scores_metrics(const LabelScores *scores, LabelMetrics *metrics)
{
	LabelCount all = {0};
	double sum = 0;
	LabelScore micro;

	for (size_t i = 0; i < scores->n_labels; i++)
	{
		all.labelled += scores->counts[i].labelled;
		all.predicted += scores->counts[i].predicted;
		all.right += scores->counts[i].right;
		sum += score_of(&scores->counts[i]).f1;
	}
	micro = score_of(&all);
	*metrics = (LabelMetrics){.f1_micro = micro.f1,
							  .f1_macro = ratio(sum, (double) scores->n_labels),
							  .precision = micro.precision,
							  .recall = micro.recall,
							  .accuracy = ratio((double) scores->exact, (double) scores->rows),
							  .best_threshold = best_threshold(scores)};
}
