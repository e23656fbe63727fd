/*
 * label_scores.h: metrics of models that give a row several labels: scikit-learn's f1_score,
 * precision_score and recall_score on a matrix of labels, 0 where they divide by zero.
 *
 * A label is predicted where its sigmoid is at least the threshold. Nothing is kept of the rows but
 * counts, so that memory does not grow with them.
 */
#ifndef BERT_TRAIN_LABEL_SCORES_H
#define BERT_TRAIN_LABEL_SCORES_H

#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"

typedef struct LabelScores LabelScores;

/* One label's. */
typedef struct LabelScore
{
	uint64_t count; /* rows that have it */
	double precision;
	double recall;
	double f1;
} LabelScore;

typedef struct LabelMetrics
{
	double f1_micro;
	double f1_macro;  /* over all labels */
	double precision; /* micro */
	double recall;    /* micro */
	double accuracy;  /* rows whose labels are told exactly */
	/* of 0.01, 0.02 .. 0.99 the one with the best micro-averaged F1 on these rows */
	double best_threshold;
} LabelMetrics;

/* NULL and *status on failure. threshold: above 0, below 1. */
LabelScores *label_scores_create(Arena *arena, size_t n_labels, double threshold, Status *status);

/* A row: labels (n_labels), 1 for those that it has, 0 for the others; logits (n_labels). */
void label_scores_add(LabelScores *scores, const float *labels, const float *logits);

/* Whether the label is predicted. */
bool label_scores_predicts(const LabelScores *scores, float logit);

void label_scores_metrics(const LabelScores *scores, LabelMetrics *metrics);
LabelScore label_scores_of(const LabelScores *scores, size_t label);

#endif
