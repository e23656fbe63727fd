/* head_loss.c: which loss a head's labels call for, as each class of the reference decides it. */
#include <math.h>
#include <string.h>

#include "nn/loss.h"
#include "nn/params.h"

typedef struct LossCall
{
	const BertModel *model;
	const Batch *batch;
	const HeadOutput *output;
	const double *labels;
	size_t n_labels;
	Arena *arena;
	double *loss;
	Status *status;
} LossCall;

static bool
check_count(const LossCall *call, size_t expected)
{
	return call->n_labels == expected ||
		   status_fail(call->status, STATUS_INVALID_ARGUMENT,
					   "%zu labels were given where the head needs %zu", call->n_labels, expected);
}

/* Labels that are classes; NULL and *status when one is no whole number. */
static int64_t *
whole_labels(const LossCall *call)
{
	int64_t *whole = arena_alloc_array(call->arena, call->n_labels, sizeof(int64_t));

	if (whole == NULL)
	{
		arena_fail(call->arena, call->status, "labels", call->n_labels * sizeof(int64_t));
		return NULL;
	}
	for (size_t i = 0; i < call->n_labels; i++)
	{
		if (!(fabs(call->labels[i]) < 1e15) || call->labels[i] != floor(call->labels[i]))
		{
			status_fail(call->status, STATUS_INVALID_ARGUMENT, "label %g is not a class",
						call->labels[i]);
			return NULL;
		}
		whole[i] = (int64_t) call->labels[i];
	}
	return whole;
}

static float *
real_labels(const LossCall *call)
{
	float *real = arena_alloc_array(call->arena, call->n_labels, sizeof(float));

	if (real == NULL)
		arena_fail(call->arena, call->status, "labels", call->n_labels * sizeof(float));
	else
		for (size_t i = 0; i < call->n_labels; i++)
			real[i] = (float) call->labels[i];
	return real;
}

/* One class per row of the logits. */
static bool
class_loss(const LossCall *call, size_t rows, size_t classes)
{
	int64_t *labels;

	return check_count(call, rows) && (labels = whole_labels(call)) != NULL &&
		   loss_cross_entropy(call->output->logits, rows, classes, labels, NULL, call->loss,
							  call->status);
}

/*
 * BertLMHeadModel: the logits of a token predict the next one; the last token of a sequence
 * predicts nothing.
 */
static bool
causal_loss(const LossCall *call)
{
	size_t n_tokens = call->output->n_rows;
	int64_t *labels;

	if (!check_count(call, n_tokens) || (labels = whole_labels(call)) == NULL)
		return false;
	for (size_t b = 0; b < call->batch->n_sequences; b++)
	{
		size_t first = (size_t) call->batch->cu_seqlens[b];
		size_t last = (size_t) call->batch->cu_seqlens[b + 1] - 1;

		memmove(labels + first, labels + first + 1, (last - first) * sizeof(int64_t));
		labels[last] = LABEL_IGNORED;
	}
	return loss_cross_entropy(call->output->logits, n_tokens, call->output->n_columns, labels, NULL,
							  call->loss, call->status);
}

/* BertForPreTraining: the sum of both losses. */
static bool
pretraining_loss(const LossCall *call)
{
	size_t n_sequences = call->batch->n_sequences;
	size_t n_tokens = call->output->n_rows;
	int64_t *labels;
	int64_t *tokens = arena_alloc_array(call->arena, n_tokens, sizeof(int64_t));
	int64_t *next = arena_alloc_array(call->arena, n_sequences, sizeof(int64_t));
	double token_loss;
	double next_loss;

	if (tokens == NULL || next == NULL)
		return arena_fail(call->arena, call->status, "labels",
						  (n_tokens + n_sequences) * sizeof(int64_t));
	if (!check_count(call, n_tokens + n_sequences) || (labels = whole_labels(call)) == NULL)
		return false;
	for (size_t b = 0; b < n_sequences; b++)
	{
		size_t first = (size_t) call->batch->cu_seqlens[b];
		size_t end = (size_t) call->batch->cu_seqlens[b + 1];

		memcpy(tokens + first, labels + first + b, (end - first) * sizeof(int64_t));
		next[b] = labels[end + b];
	}
	if (!loss_cross_entropy(call->output->logits, n_tokens, call->output->n_columns, tokens, NULL,
							&token_loss, call->status) ||
		!loss_cross_entropy(call->output->seq_relationship_logits, n_sequences, 2, next, NULL,
							&next_loss, call->status))
		return false;
	*call->loss = token_loss + next_loss;
	return true;
}

static bool
sequence_loss(const LossCall *call)
{
	size_t rows = call->output->n_rows;
	size_t columns = call->output->n_columns;
	ProblemType type = call->model->config.problem_type;
	float *labels;

	if (type == PROBLEM_UNSET)
		type = columns == 1                       ? PROBLEM_REGRESSION
			   : call->n_labels == rows * columns ? PROBLEM_MULTI_LABEL
												  : PROBLEM_SINGLE_LABEL;
	if (type == PROBLEM_SINGLE_LABEL)
		return class_loss(call, rows, columns);
	if (!check_count(call, rows * columns) || (labels = real_labels(call)) == NULL)
		return false;
	return type == PROBLEM_REGRESSION
			   ? loss_mse(call->output->logits, rows, columns, labels, NULL, call->loss,
						  call->status)
			   : loss_bce_with_logits(call->output->logits, rows, columns, labels, NULL, call->loss,
									  call->status);
}

/*
 * Column 0 or 1 of the logits (T, 2), as one row per sequence; positions past the end are ignored,
 * below 0 they are 0.
 */
static bool
span_loss(const LossCall *call, size_t column, double *total, size_t *counted)
{
	for (size_t b = 0; b < call->batch->n_sequences; b++)
	{
		size_t first = (size_t) call->batch->cu_seqlens[b];
		size_t length = (size_t) call->batch->cu_seqlens[b + 1] - first;
		float *row = arena_alloc_array(call->arena, length, sizeof(float)); /* (length) */
		double position = call->labels[2 * b + column];
		int64_t label;
		double loss;

		if (row == NULL)
			return arena_fail(call->arena, call->status, "labels", length * sizeof(float));
		if (position != floor(position))
			return status_fail(call->status, STATUS_INVALID_ARGUMENT, "label %g is not a position",
							   position);
		if (position >= (double) length)
			continue;
		label = position < 0.0 ? 0 : (int64_t) position;
		for (size_t t = 0; t < length; t++)
			row[t] = call->output->logits[2 * (first + t) + column];
		if (!loss_cross_entropy(row, 1, length, &label, NULL, &loss, call->status))
			return false;
		*total += loss;
		(*counted)++;
	}
	return true;
}

/* BertForQuestionAnswering: the mean of the losses of start and end. */
static bool
answer_loss(const LossCall *call)
{
	double totals[2] = {0.0, 0.0};
	size_t counted[2] = {0, 0};

	if (!check_count(call, 2 * call->batch->n_sequences) ||
		!span_loss(call, 0, &totals[0], &counted[0]) ||
		!span_loss(call, 1, &totals[1], &counted[1]))
		return false;
	*call->loss = (totals[0] / (double) counted[0] + totals[1] / (double) counted[1]) / 2.0;
	return true;
}

bool
head_loss(const BertModel *model, const Batch *batch, const HeadOutput *output, size_t n_choices,
		  const double *labels, size_t n_labels, Arena *arena, double *loss, Status *status)
{
	LossCall call = {model, batch, output, labels, n_labels, arena, loss, status};

	for (size_t i = 0; i < n_labels; i++)
		if (isnan(labels[i]))
			return status_fail(status, STATUS_INVALID_ARGUMENT, "a label is not a number");
	switch (model->head)
	{
		case HEAD_PRETRAINING:
			return pretraining_loss(&call);
		case HEAD_CAUSAL_LM:
			return causal_loss(&call);
		case HEAD_MASKED_LM:
		case HEAD_NEXT_SENTENCE:
		case HEAD_TOKEN_CLASSIFICATION:
			return class_loss(&call, output->n_rows, output->n_columns);
		case HEAD_SEQUENCE_CLASSIFICATION:
			return sequence_loss(&call);
		case HEAD_MULTIPLE_CHOICE:
			if (n_choices == 0 || output->n_rows % n_choices != 0)
				return status_fail(status, STATUS_INVALID_ARGUMENT,
								   "%zu sequences are no whole number of questions of %zu choices",
								   output->n_rows, n_choices);
			return class_loss(&call, output->n_rows / n_choices, n_choices);
		case HEAD_QUESTION_ANSWERING:
			return answer_loss(&call);
		case HEAD_NONE:
		case HEAD_KIND_COUNT:
			break;
	}
	return status_fail(status, STATUS_INVALID_ARGUMENT, "the model has no head and so no loss");
}
