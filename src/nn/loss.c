/* loss.c: cross-entropy, squared error, binary cross-entropy, and which of them a head calls for.
 */
#include "nn/loss.h"

#include <math.h>
#include <string.h>

/* One computation: of the value alone, or of the gradient, in place of a copy of the logits. */
typedef struct Loss
{
	const LossCall *call;
	const float *logits;
	bool gradient;   /* the three below count only then */
	float *d_logits; /* the logits' own memory */
	float *scratch;
	CrossEntropyRow row;
} Loss;

static double
log_sum_exp_strided(const float *logits, size_t n, size_t stride)
{
	double largest = -INFINITY;
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		largest = fmax(largest, logits[i * stride]);
	for (size_t i = 0; i < n; i++)
		sum += exp(logits[i * stride] - largest);
	return largest + log(sum);
}

double
log_sum_exp(const float *logits, size_t n)
{
	return log_sum_exp_strided(logits, n, 1);
}

static double
divided_log_sum_exp(const float *logits, size_t n, double divisor)
{
	double largest = -INFINITY;
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		largest = fmax(largest, logits[i] / divisor);
	for (size_t i = 0; i < n; i++)
		sum += exp(logits[i] / divisor - largest);
	return largest + log(sum);
}

ProblemType
loss_problem_type(const BertConfig *config, bool classes)
{
	if (config->problem_type != PROBLEM_UNSET)
		return config->problem_type;
	if (config->num_labels == 1)
		return PROBLEM_REGRESSION;
	return classes ? PROBLEM_SINGLE_LABEL : PROBLEM_MULTI_LABEL;
}

static bool
is_values(const LossCall *call)
{
	if (call->head == HEAD_REPLACED_TOKEN)
		return true;
	return call->head == HEAD_SEQUENCE_CLASSIFICATION &&
		   loss_problem_type(call->config, call->targets->labels != NULL) != PROBLEM_SINGLE_LABEL;
}

/* The loss has weights or is smoothed: not for language models and positions. */
static bool
has_settings(const LossCall *call)
{
	const LossSettings *settings = call->settings;

	if (settings == NULL ||
		(settings->smoothing == 0 && settings->weights == NULL && settings->temperature == 0))
		return false;
	return call->head == HEAD_SEQUENCE_CLASSIFICATION || call->head == HEAD_TOKEN_CLASSIFICATION ||
		   call->head == HEAD_MULTIPLE_CHOICE;
}

static double
weight_of(const LossCall *call, size_t label)
{
	return has_settings(call) && call->settings->weights != NULL ? call->settings->weights[label]
																 : 1;
}

/* Labels of heads with one class a row, and how many rows there are. */
static const int64_t *
row_labels(const LossCall *call, size_t *rows)
{
	if (head_has_vocabulary(call->head))
	{
		*rows = call->targets->n_rows;
		return call->targets->row_labels;
	}
	*rows = call->head == HEAD_TOKEN_CLASSIFICATION
				? (size_t) call->batch->cu_seqlens[call->batch->n_sequences]
				: call->batch->n_sequences;
	return call->targets->labels;
}

static bool
count_classes(const int64_t *labels, size_t rows, size_t classes, size_t *count, Status *status)
{
	for (size_t row = 0; row < rows; row++)
	{
		if (labels[row] == LABEL_IGNORED)
			continue;
		if (labels[row] < 0 || (uint64_t) labels[row] >= classes)
			return status_fail(status, STATUS_INVALID_ARGUMENT,
							   "label %lld is outside the %zu classes", (long long) labels[row],
							   classes);
		(*count)++;
	}
	return true;
}

static bool
count_choices(const LossCall *call, LossCounts *counts, Status *status)
{
	const HeadTargets *targets = call->targets;

	for (size_t e = 0; e < targets->n_examples; e++)
		if (!count_classes(&targets->labels[e], 1,
						   targets->choice_offsets[e + 1] - targets->choice_offsets[e],
						   &counts->labels, status))
			return false;
	counts->weight += (double) counts->labels;
	return true;
}

static size_t
sequence_length(const LossCall *call, size_t b)
{
	return (size_t) (call->batch->cu_seqlens[b + 1] - call->batch->cu_seqlens[b]);
}

/* Rows of values: the sequences, or every token. */
static size_t
value_rows(const LossCall *call)
{
	return call->head == HEAD_REPLACED_TOKEN
			   ? (size_t) call->batch->cu_seqlens[call->batch->n_sequences]
			   : call->batch->n_sequences;
}

/* Hidden tokens do not count, nor those whose label says so. */
static bool
value_row_counts(const LossCall *call, size_t row)
{
	return call->head != HEAD_REPLACED_TOKEN ||
		   ((call->batch->attention_mask == NULL || call->batch->attention_mask[row] != 0) &&
			call->targets->values[row] != (float) LABEL_IGNORED);
}

bool
loss_count(const LossCall *call, LossCounts *counts, Status *status)
{
	const int64_t *labels;
	size_t rows;

	if (is_values(call))
	{
		for (size_t row = 0; row < value_rows(call); row++)
			counts->labels += value_row_counts(call, row);
		return true;
	}
	if (call->head == HEAD_MULTIPLE_CHOICE)
		return count_choices(call, counts, status);
	if (call->head == HEAD_QUESTION_ANSWERING)
	{
		for (size_t b = 0; b < call->batch->n_sequences; b++)
		{
			int64_t length = (int64_t) sequence_length(call, b);

			counts->labels += call->targets->labels[2 * b] < length;
			counts->ends += call->targets->labels[2 * b + 1] < length;
		}
		return true;
	}
	if (call->head == HEAD_PRETRAINING &&
		!count_classes(call->targets->next_sentence_label, call->batch->n_sequences, 2,
					   &counts->sentences, status))
		return false;
	labels = row_labels(call, &rows);
	if (!count_classes(labels, rows, call->columns, &counts->labels, status))
		return false;
	for (size_t row = 0; row < rows; row++)
		if (labels[row] != LABEL_IGNORED)
			counts->weight += weight_of(call, (size_t) labels[row]);
	return true;
}

bool
loss_counts_none(const LossCounts *counts)
{
	return counts->labels == 0 && counts->ends == 0 && counts->sentences == 0;
}

/* The loss of the n logits at `at`; the gradient in their place, if wanted. */
static double
row_loss(const Loss *loss, size_t at, size_t n, int64_t label, float scale)
{
	if (label == LABEL_IGNORED)
	{
		if (loss->gradient)
			memset(loss->d_logits + at, 0, n * sizeof(float));
		return 0;
	}
	if (loss->gradient)
		return loss->row(n, loss->d_logits + at, (size_t) label, scale);
	return log_sum_exp(loss->logits + at, n) - loss->logits[at + (size_t) label];
}

/*
 * The same with weights w and smoothing e: with p the softmax of n logits and y the label,
 * -(1 - e) w[y] log p[y] - e / n sum(w log p).
 */
static double
settled_loss(const Loss *loss, size_t at, size_t n, int64_t label, double scale)
{
	const LossCall *call = loss->call;
	const float *logits = loss->logits + at;
	double total = log_sum_exp(logits, n);
	double rest = call->settings->smoothing / (double) n;
	double own = (1 - call->settings->smoothing) * weight_of(call, (size_t) label);
	double value = own * (total - logits[label]);
	double all = own;

	for (size_t i = 0; i < n; i++)
	{
		value += rest * weight_of(call, i) * (total - logits[i]);
		all += rest * weight_of(call, i);
	}
	for (size_t i = 0; loss->gradient && i < n; i++)
	{
		double target = rest * weight_of(call, i) + ((int64_t) i == label ? own : 0);

		loss->d_logits[at + i] = (float) (scale * (all * exp(logits[i] - total) - target));
	}
	return value;
}

/* The loss of a row whose n logits are to be like the teacher's, all divided by the temperature. */
static double
taught_loss(const Loss *loss, size_t at, size_t n, double scale)
{
	double temperature = loss->call->settings->temperature;
	const float *teacher = loss->call->targets->values + at;
	const float *logits = loss->logits + at;
	double own = divided_log_sum_exp(logits, n, temperature);
	double other = divided_log_sum_exp(teacher, n, temperature);
	double value = 0;

	for (size_t i = 0; i < n; i++)
		value += exp(teacher[i] / temperature - other) *
				 ((teacher[i] / temperature - other) - (logits[i] / temperature - own));
	for (size_t i = 0; loss->gradient && i < n; i++)
		loss->d_logits[at + i] =
			(float) (scale * temperature *
					 (exp(logits[i] / temperature - own) - exp(teacher[i] / temperature - other)));
	return temperature * temperature * value;
}

static double
settled_row(const Loss *loss, size_t at, size_t n, int64_t label, double scale)
{
	if (label == LABEL_IGNORED)
		return row_loss(loss, at, n, label, 0);
	return loss->call->settings->temperature > 0 ? taught_loss(loss, at, n, scale)
												 : settled_loss(loss, at, n, label, scale);
}

/* The mean over the rows' weights. */
static double
settled_rows(const Loss *loss, const LossCounts *counts)
{
	const LossCall *call = loss->call;
	const HeadTargets *targets = call->targets;
	bool choices = call->head == HEAD_MULTIPLE_CHOICE;
	size_t rows = targets->n_examples;
	const int64_t *labels = choices ? targets->labels : row_labels(call, &rows);
	double sum = 0;

	for (size_t row = 0; row < rows; row++)
	{
		size_t at = choices ? targets->choice_offsets[row] : row * call->columns;
		size_t n = choices ? targets->choice_offsets[row + 1] - at : call->columns;

		sum += settled_row(loss, at, n, labels[row], 1 / counts->weight);
	}
	return sum / counts->weight;
}

static double
classes_loss(const Loss *loss, const int64_t *labels, size_t rows, size_t columns, size_t count)
{
	double sum = 0;

	for (size_t row = 0; row < rows; row++)
		sum += row_loss(loss, row * columns, columns, labels[row], 1.0f / (float) count);
	return sum / (double) count;
}

/* Choices are classes of as many logits as the example has sequences. */
static double
choices_loss(const Loss *loss, size_t count)
{
	const HeadTargets *targets = loss->call->targets;
	double sum = 0;

	for (size_t e = 0; e < targets->n_examples; e++)
		sum += row_loss(loss, targets->choice_offsets[e],
						targets->choice_offsets[e + 1] - targets->choice_offsets[e],
						targets->labels[e], 1.0f / (float) count);
	return sum / (double) count;
}

/*
 * The loss of one end of one span: a class over the tokens of the sequence, whose logits lie every
 * second float.
 */
static double
end_loss(const Loss *loss, size_t from, size_t length, int64_t label, float scale)
{
	float *column;
	double value = 0;

	if (!loss->gradient)
		return log_sum_exp_strided(loss->logits + from, length, 2) -
			   loss->logits[from + 2 * (size_t) label];
	column = loss->d_logits + from;
	for (size_t t = 0; t < length; t++)
		loss->scratch[t] = column[2 * t];
	value = loss->row(length, loss->scratch, (size_t) label, scale);
	for (size_t t = 0; t < length; t++)
		column[2 * t] = loss->scratch[t];
	return value;
}

/*
 * The mean of the losses of start and end. Positions past the end are ignored, negative ones are 0,
 * as in the reference.
 */
static double
spans_loss(const Loss *loss, const LossCounts *counts)
{
	const Batch *batch = loss->call->batch;
	double total = 0;

	for (size_t side = 0; side < 2; side++)
	{
		size_t count = side == 0 ? counts->labels : counts->ends;
		double sum = 0;

		for (size_t b = 0; b < batch->n_sequences; b++)
		{
			int64_t label = loss->call->targets->labels[2 * b + side];
			size_t length = sequence_length(loss->call, b);
			size_t from = 2 * (size_t) batch->cu_seqlens[b] + side;

			if (label < (int64_t) length)
				sum += end_loss(loss, from, length, label < 0 ? 0 : label, 0.5f / (float) count);
			else if (loss->gradient)
				for (size_t t = 0; t < length; t++)
					loss->d_logits[from + 2 * t] = 0;
		}
		total += 0.5 * sum / (double) count;
	}
	return total;
}

static double
values_loss(const Loss *loss, size_t count)
{
	const LossCall *call = loss->call;
	const float *logits = loss->logits;
	bool squares = call->head != HEAD_REPLACED_TOKEN &&
				   loss_problem_type(call->config, false) == PROBLEM_REGRESSION;
	size_t n = value_rows(call) * call->columns;
	double mean_of = (double) count * (double) call->columns;
	double total = 0;

	for (size_t i = 0; i < n; i++)
	{
		double x = logits[i];
		double label = call->targets->values[i];
		double weight = squares ? 1 : weight_of(call, i % call->columns);
		bool counted = value_row_counts(call, i / call->columns);
		double slope;

		/* squares, or -(w y log s(x) + (1 - y) log(1 - s(x))) without overflow */
		if (squares)
			slope = 2 * (x - label);
		else
			slope = (weight * label + 1 - label) / (1 + exp(-x)) - weight * label;
		if (counted)
			total += squares ? (x - label) * (x - label)
							 : (1 - label) * x + (1 + (weight - 1) * label) *
													 (fmax(-x, 0) + log1p(exp(-fabs(x))));
		if (loss->gradient)
			loss->d_logits[i] = counted ? (float) (slope / mean_of) : 0.0f;
	}
	return total / mean_of;
}

static double
compute(const Loss *loss, const LossCounts *counts)
{
	const LossCall *call = loss->call;
	const int64_t *labels;
	size_t rows;

	if (is_values(call))
		return values_loss(loss, counts->labels);
	if (has_settings(call))
		return settled_rows(loss, counts);
	if (call->head == HEAD_MULTIPLE_CHOICE)
		return choices_loss(loss, counts->labels);
	if (call->head == HEAD_QUESTION_ANSWERING)
		return spans_loss(loss, counts);
	labels = row_labels(call, &rows);
	return classes_loss(loss, labels, rows, call->columns, counts->labels);
}

double
loss_value(const LossCall *call, const LossCounts *counts, const float *logits)
{
	return compute(&(Loss){.call = call, .logits = logits}, counts);
}

double
loss_gradient(const LossCall *call, const LossCounts *counts, float *d_logits, float *scratch,
			  CrossEntropyRow row)
{
	Loss loss = {.call = call,
				 .logits = d_logits,
				 .gradient = true,
				 .d_logits = d_logits,
				 .scratch = scratch,
				 .row = row};

	return compute(&loss, counts);
}

double
loss_sentences(const LossCall *call, const LossCounts *counts, const float *logits)
{
	return classes_loss(&(Loss){.call = call, .logits = logits}, call->targets->next_sentence_label,
						call->batch->n_sequences, 2, counts->sentences);
}

double
loss_sentences_gradient(const LossCall *call, const LossCounts *counts, float *d_logits,
						CrossEntropyRow row)
{
	return classes_loss(
		&(Loss){
			.call = call, .logits = d_logits, .gradient = true, .d_logits = d_logits, .row = row},
		call->targets->next_sentence_label, call->batch->n_sequences, 2, counts->sentences);
}
