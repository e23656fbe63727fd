/*
 * metrics.h: evaluation metrics, equal to the reference implementations' on the same predictions:
 * scikit-learn (accuracy, F1, Matthews), SciPy (Pearson, Spearman), seqeval 1.2.2 in its default
 * mode (spans), the SQuAD 2.0 evaluation script (exact match, F1; two answers without words agree).
 *
 * Where a reference divides by zero and answers 0, so do these; where it answers NaN (a correlation
 * with a constant), so do these.
 */
#ifndef BERT_TRAIN_METRICS_H
#define BERT_TRAIN_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"

typedef struct ClassMetrics
{
	double accuracy;
	double f1_macro;    /* over the classes that occur in labels or predictions */
	double f1_weighted; /* by how often a class is the label */
	double matthews;
} ClassMetrics;

typedef struct ClassPredictions
{
	size_t n;
	size_t classes;
	const int32_t *labels;      /* (n), each in 0 .. classes-1 */
	const int32_t *predictions; /* (n), each in 0 .. classes-1 */
} ClassPredictions;

/* confusion (classes, classes), rows are labels, or NULL. */
bool metrics_classes(const ClassPredictions *pairs, Arena *arena, uint64_t *confusion,
					 ClassMetrics *metrics, Status *status);

typedef struct ValueMetrics
{
	double pearson;
	double spearman; /* ties have their mean rank */
	double mse;
	double mae;
} ValueMetrics;

bool metrics_values(Arena *arena, size_t n, const double *labels, const double *predictions,
					ValueMetrics *metrics, Status *status);

/*
 * Spans in tags of the IOB family ("B-PER", "I-PER", "E-", "S-", "O"). Counts add up over calls,
 * one per sentence; metrics_spans_finish makes micro-averaged precision, recall and F1 of them.
 */
typedef struct SpanMetrics
{
	uint64_t labelled;
	uint64_t predicted;
	uint64_t right;
	double precision;
	double recall;
	double f1;
} SpanMetrics;

void metrics_spans_add(SpanMetrics *metrics, size_t n, const char *const *labels,
					   const char *const *predictions);
void metrics_spans_finish(SpanMetrics *metrics);

typedef struct AnswerText
{
	const char *bytes; /* UTF-8 */
	size_t length;
} AnswerText;

/* One answer against one of its right answers: *exact 0 or 1, *f1 0 .. 1. */
bool metrics_answer(Arena *arena, AnswerText label, AnswerText prediction, double *exact,
					double *f1, Status *status);

/* exp of a mean cross-entropy */
double metrics_perplexity(double loss);

#endif
