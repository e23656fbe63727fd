/* head_loss.c: labels as numbers, as a caller of the raw model gives them, to the head's targets.
 */
#include <math.h>
#include <string.h>

#include "nn/loss.h"
#include "nn/params.h"

typedef struct Labels
{
	const BertModel *model;
	const Batch *batch;
	const HeadOutput *output;
	const ForwardLabels *given;
	Arena *arena;
	Status *status;
} Labels;

static bool
check_count(const Labels *labels, size_t expected)
{
	return labels->given->n == expected ||
		   status_fail(labels->status, STATUS_INVALID_ARGUMENT,
					   "%zu labels were given where the head needs %zu", labels->given->n,
					   expected);
}

/* Labels that are classes or, for spans, positions. */
static bool
read_classes(const Labels *labels, size_t expected, const char *what, int64_t **out)
{
	size_t n = labels->given->n;
	int64_t *whole;

	if (!check_count(labels, expected))
		return false;
	*out = whole = arena_alloc_array(labels->arena, n, sizeof *whole);
	if (whole == NULL)
		return arena_fail(labels->arena, labels->status, "labels", n * sizeof *whole);
	for (size_t i = 0; i < n; i++)
	{
		double label = labels->given->values[i];

		if (!(fabs(label) < 1e15) || label != floor(label))
			return status_fail(labels->status, STATUS_INVALID_ARGUMENT, "label %g is not %s", label,
							   what);
		whole[i] = (int64_t) label;
	}
	return true;
}

static bool
read_values(const Labels *labels, HeadTargets *targets)
{
	size_t n = labels->given->n;
	float *values;

	if (!check_count(labels, labels->output->n_rows * labels->output->n_columns))
		return false;
	targets->values = values = arena_alloc_array(labels->arena, n, sizeof *values);
	if (values == NULL)
		return arena_fail(labels->arena, labels->status, "labels", n * sizeof *values);
	for (size_t i = 0; i < n; i++)
		values[i] = (float) labels->given->values[i];
	return true;
}

/* All tokens' labels, in order. */
static bool
read_tokens(const Labels *labels, HeadTargets *targets)
{
	int64_t *tokens;

	if (!read_classes(labels, labels->output->n_rows, "a class", &tokens))
		return false;
	targets->labels = targets->row_labels = tokens;
	targets->n_rows = labels->output->n_rows;
	return true;
}

/*
 * BertLMHeadModel: the logits of a token predict the next one; the last token of a sequence
 * predicts nothing.
 */
static bool
read_causal(const Labels *labels, HeadTargets *targets)
{
	int64_t *tokens;

	if (!read_classes(labels, labels->output->n_rows, "a class", &tokens))
		return false;
	for (size_t b = 0; b < labels->batch->n_sequences; b++)
	{
		size_t first = (size_t) labels->batch->cu_seqlens[b];
		size_t last = (size_t) labels->batch->cu_seqlens[b + 1] - 1;

		memmove(tokens + first, tokens + first + 1, (last - first) * sizeof *tokens);
		tokens[last] = LABEL_IGNORED;
	}
	targets->row_labels = tokens;
	targets->n_rows = labels->output->n_rows;
	return true;
}

/* BertForPreTraining: each sequence's tokens, then its next-sentence label. */
static bool
read_pretraining(const Labels *labels, HeadTargets *targets)
{
	size_t n_sequences = labels->batch->n_sequences;
	size_t n_tokens = labels->output->n_rows;
	int64_t *given;
	int64_t *tokens = arena_alloc_array(labels->arena, n_tokens, sizeof *tokens);
	int64_t *next = arena_alloc_array(labels->arena, n_sequences, sizeof *next);

	if (tokens == NULL || next == NULL)
		return arena_fail(labels->arena, labels->status, "labels",
						  (n_tokens + n_sequences) * sizeof *tokens);
	if (!read_classes(labels, n_tokens + n_sequences, "a class", &given))
		return false;
	for (size_t b = 0; b < n_sequences; b++)
	{
		size_t first = (size_t) labels->batch->cu_seqlens[b];
		size_t end = (size_t) labels->batch->cu_seqlens[b + 1];

		memcpy(tokens + first, given + first + b, (end - first) * sizeof *tokens);
		next[b] = given[end + b];
	}
	targets->row_labels = tokens;
	targets->n_rows = n_tokens;
	targets->next_sentence_label = next;
	return true;
}

static bool
read_choices(const Labels *labels, HeadTargets *targets)
{
	size_t n_choices = labels->given->n_choices;
	size_t rows = labels->output->n_rows;
	size_t *offsets;
	int64_t *choices;

	if (n_choices == 0 || rows % n_choices != 0)
		return status_fail(labels->status, STATUS_INVALID_ARGUMENT,
						   "%zu sequences are no whole number of questions of %zu choices", rows,
						   n_choices);
	targets->n_examples = rows / n_choices;
	offsets = arena_alloc_array(labels->arena, targets->n_examples + 1, sizeof *offsets);
	if (offsets == NULL)
		return arena_fail(labels->arena, labels->status, "labels",
						  (targets->n_examples + 1) * sizeof *offsets);
	for (size_t e = 0; e <= targets->n_examples; e++)
		offsets[e] = e * n_choices;
	targets->choice_offsets = offsets;
	if (!read_classes(labels, targets->n_examples, "a class", &choices))
		return false;
	targets->labels = choices;
	return true;
}

static bool
read_sequence_labels(const Labels *labels, HeadTargets *targets)
{
	size_t rows = labels->output->n_rows;
	bool classes = labels->given->n != rows * labels->output->n_columns;
	int64_t *whole;

	if (loss_problem_type(&labels->model->config, classes) != PROBLEM_SINGLE_LABEL)
		return read_values(labels, targets);
	if (!read_classes(labels, rows, "a class", &whole))
		return false;
	targets->labels = whole;
	return true;
}

static bool
read_targets(const Labels *labels, HeadTargets *targets)
{
	int64_t *whole;

	switch (labels->model->head)
	{
		case HEAD_PRETRAINING:
			return read_pretraining(labels, targets);
		case HEAD_CAUSAL_LM:
			return read_causal(labels, targets);
		case HEAD_MASKED_LM:
		case HEAD_TOKEN_CLASSIFICATION:
		case HEAD_NEXT_SENTENCE:
			return read_tokens(labels, targets);
		case HEAD_REPLACED_TOKEN:
			return read_values(labels, targets);
		case HEAD_SEQUENCE_CLASSIFICATION:
			return read_sequence_labels(labels, targets);
		case HEAD_MULTIPLE_CHOICE:
			return read_choices(labels, targets);
		case HEAD_QUESTION_ANSWERING:
			if (!read_classes(labels, 2 * labels->batch->n_sequences, "a position", &whole))
				return false;
			targets->labels = whole;
			return true;
		case HEAD_NONE:
		case HEAD_KIND_COUNT:
			break;
	}
	return status_fail(labels->status, STATUS_INVALID_ARGUMENT,
					   "the model has no head and so no loss");
}

bool
head_loss(const BertModel *model, const Batch *batch, const HeadOutput *output,
		  const ForwardLabels *given, Arena *arena, double *loss, Status *status)
{
	Labels labels = {model, batch, output, given, arena, status};
	HeadTargets targets = {0};
	LossCall call = {model->head, &model->config, batch, &targets, output->n_columns, NULL};
	LossCounts counts = {0};

	for (size_t i = 0; i < given->n; i++)
		if (isnan(given->values[i]))
			return status_fail(status, STATUS_INVALID_ARGUMENT, "a label is not a number");
	if (!read_targets(&labels, &targets) || !loss_count(&call, &counts, status))
		return false;
	*loss = loss_value(&call, &counts, output->logits);
	if (model->head == HEAD_PRETRAINING)
		*loss += loss_sentences(&call, &counts, output->seq_relationship_logits);
	return true;
}
