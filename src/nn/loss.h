/*
 * loss.h: the reference's losses over a head's logits, with their gradients: the one place that
 * knows them. Training, evaluation and bert.forward all come here.
 *
 * A loss is a mean over the labels that count. What it is a mean over is given (LossCounts), for a
 * batch may be one part of an optimizer step: the loss of a step, and its gradient, is the sum over
 * its parts, each divided by the labels of the whole step, as the reference's Trainer does it with
 * num_items_in_batch. A mean over no labels is NaN, as in the reference.
 *
 * Labels of -100 are ignored. A class outside its range is STATUS_INVALID_ARGUMENT, said by
 * loss_count, which must be called first.
 */
#ifndef BERT_NN_LOSS_H
#define BERT_NN_LOSS_H

#include "nn/model.h"

#define LABEL_IGNORED (-100)

/* What the head is asked; which fields count depends on the head. */
typedef struct HeadTargets
{
	/* (B) classes; (examples) choices; (T) of tokens; (B, 2) start, end; -100: ignored */
	const int64_t *labels;
	/*
	 * (B, labels) for regression and multi-label; labels is NULL then. (T) for replaced tokens: 1
	 * where one was, 0 where not, -100: ignored
	 */
	const float *values;
	const int64_t *next_sentence_label; /* (B) for pretraining: 0 b follows a, 1 it does not */
	/* language models: the token rows that are predicted, and what they should be */
	size_t n_rows;
	const size_t *rows;
	const int64_t *row_labels;
	/* multiple choice: sequences choice_offsets[e] .. choice_offsets[e+1]-1 are example e's */
	size_t n_examples;
	const size_t *choice_offsets;
} HeadTargets;

/* Labels that count. */
typedef struct LossCounts
{
	size_t labels;    /* classes, choices, rows of values, predicted tokens; starts of spans */
	size_t ends;      /* of spans */
	size_t sentences; /* next-sentence labels of pretraining */
	double weight;    /* of the labels, where classes have weights; else their number */
} LossCounts;

/*
 * What training may ask of the losses of classes and labels, as torch's cross_entropy (weight,
 * label_smoothing) and binary_cross_entropy_with_logits (pos_weight) define it. Without weights the
 * smoothed loss is the reference's LabelSmoother. Evaluations ask for neither.
 */
typedef struct LossSettings
{
	double smoothing; /* 0: none; of one class a row, of tokens' classes and of choices */
	/*
	 * above 0: one class a row is learned from another model's logits, targets->values (B, labels):
	 * torch's kl_div of the softmax of both, divided by this, times its square
	 */
	double temperature;
	/* (columns) of classes; of several labels: where they are there; or NULL */
	const float *weights;
} LossSettings;

/* What is asked of which head. columns: of the logits (the vocabulary's, where there is one). */
typedef struct LossCall
{
	HeadKind head;
	const BertConfig *config;
	const Batch *batch;
	const HeadTargets *targets;
	size_t columns;
	const LossSettings *settings; /* or NULL */
} LossCall;

/*
 * What a sequence classifier's config means; where it does not say, one label is a regression, and
 * labels that are classes (classes: true) are of a single-label model, as in the reference.
 */
ProblemType loss_problem_type(const BertConfig *config, bool classes);

/* Checks the labels and adds how many count. */
bool loss_count(const LossCall *call, LossCounts *counts, Status *status);

/* True when nothing counts: no loss and no gradient. */
bool loss_counts_none(const LossCounts *counts);

/*
 * Cross-entropy of one row of n logits in place: returns the loss; the logits become its gradient
 * times scale. The training kernels have it for every instruction set.
 */
typedef double (*CrossEntropyRow)(size_t n, float *logits, size_t label, float scale);

/*
 * The loss of the head's logits: (T, columns) tokens and spans, (B, columns), (n_rows, V) language
 * models; choices: one logit a sequence. d_logits: NULL, or a copy of the logits, which becomes the
 * gradient by row; scratch: (longest sequence) for the spans' gradient. Not for pretraining, whose
 * two losses are those of masked_lm and next_sentence: see loss_sentences.
 */
double loss_value(const LossCall *call, const LossCounts *counts, const float *logits);
double loss_gradient(const LossCall *call, const LossCounts *counts, float *d_logits,
					 float *scratch, CrossEntropyRow row);

/* Pretraining's next-sentence part, of logits (B, 2). */
double loss_sentences(const LossCall *call, const LossCounts *counts, const float *logits);
double loss_sentences_gradient(const LossCall *call, const LossCounts *counts, float *d_logits,
							   CrossEntropyRow row);

/* log of the sum of exp over n logits, in double. */
double log_sum_exp(const float *logits, size_t n);

#endif
