/* head.c: pooled heads, token heads and language-model heads. */
#include "train/head.h"

#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "nn/loss.h"

#define HEAD_SITE 2

void *
bump_take(Bump *bump, size_t rows, size_t columns, size_t size)
{
	size_t bytes;
	size_t at = bump->used;

	if (!size_mul(rows, columns, &bytes) || !size_mul(bytes, size, &bytes) ||
		!size_add(bytes, ARENA_ALIGNMENT, &bytes) ||
		!size_add(at, size_align(bytes - ARENA_ALIGNMENT, ARENA_ALIGNMENT), &bump->used))
	{
		bump->overflow = true;
		return NULL;
	}
	return bump->base == NULL ? NULL : bump->base + at;
}

float *
bump_floats(Bump *bump, size_t rows, size_t columns)
{
	return bump_take(bump, rows, columns, sizeof(float));
}

static bool
reads_tokens(HeadKind head)
{
	return head == HEAD_TOKEN_CLASSIFICATION || head == HEAD_QUESTION_ANSWERING;
}

static bool
drops(HeadKind head)
{
	return head == HEAD_SEQUENCE_CLASSIFICATION || head == HEAD_MULTIPLE_CHOICE ||
		   head == HEAD_TOKEN_CLASSIFICATION;
}

void
train_head_layout(const Network *network, const NetworkRun *run, Bump *bump, HeadBuffers *buffers)
{
	HeadKind head = network->table->head;
	size_t hidden = (size_t) network->config->hidden_size;
	size_t sequences = run->batch->n_sequences;
	size_t tokens = (size_t) run->batch->cu_seqlens[sequences];
	size_t rows = reads_tokens(head) ? tokens : sequences;

	memset(buffers, 0, sizeof *buffers);
	if (head_uses_pooler(head))
	{
		buffers->first_rows = bump_take(bump, sequences, 1, sizeof(size_t));
		buffers->first = bump_floats(bump, sequences, hidden);
		buffers->pooled_derivative = bump_floats(bump, sequences, hidden);
		buffers->pooled = bump_floats(bump, sequences, hidden);
		buffers->d_first = bump_floats(bump, sequences, hidden);
	}
	if (head_uses_pooler(head) || reads_tokens(head))
	{
		buffers->dropped = bump_floats(bump, rows, hidden);
		buffers->d_dropped = bump_floats(bump, rows, hidden);
		if (drops(head) && run->training)
			buffers->bits = bump_take(bump, rows, dropout_row_bytes(hidden), 1);
		buffers->logits = bump_floats(bump, rows, network->head.classifier.out);
		buffers->d_logits = bump_floats(bump, rows, network->head.classifier.out);
		buffers->span = bump_floats(bump, tokens, 1);
	}
	if (network->head.decoder.weight != NULL)
	{
		size_t predicted = run->targets == NULL ? 0 : run->targets->n_rows;
		size_t chunk = predicted < HEAD_VOCAB_CHUNK ? predicted : HEAD_VOCAB_CHUNK;

		buffers->gathered = bump_floats(bump, predicted, hidden);
		buffers->derivative = bump_floats(bump, predicted, hidden);
		buffers->activated = bump_floats(bump, predicted, hidden);
		buffers->normed = bump_floats(bump, predicted, hidden);
		buffers->mean = bump_floats(bump, predicted, 1);
		buffers->rstd = bump_floats(bump, predicted, 1);
		buffers->d_normed = bump_floats(bump, predicted, hidden);
		buffers->d_gathered = bump_floats(bump, predicted, hidden);
		buffers->chunk = bump_floats(bump, chunk, network->head.decoder.out);
	}
}

static bool
check_label(int64_t label, size_t classes, Status *status)
{
	if (label != LABEL_IGNORED && (label < 0 || (uint64_t) label >= classes))
		return status_fail(status, STATUS_INVALID_ARGUMENT, "label %lld is not in 0 .. %zu",
						   (long long) label, classes - 1);
	return true;
}

/*
 * Mean cross-entropy over the labels that count; d_logits: the logits on entry, their gradient
 * times scale on return.
 */
static bool
class_loss(Network *network, size_t rows, size_t classes, const int64_t *labels, float scale,
		   float *d_logits, HeadResult *result, Status *status)
{
	size_t count = 0;
	double sum = 0;

	for (size_t row = 0; row < rows; row++)
	{
		if (!check_label(labels[row], classes, status))
			return false;
		count += labels[row] != LABEL_IGNORED;
	}
	for (size_t row = 0; row < rows; row++)
	{
		float *logits = d_logits + row * classes;

		if (labels[row] == LABEL_IGNORED)
			memset(logits, 0, classes * sizeof(float));
		else
			sum += network->compute->kernels->cross_entropy_row(
				classes, logits, (size_t) labels[row], scale / (float) count);
	}
	result->loss = count == 0 ? NAN : sum / (double) count;
	result->count = count;
	return true;
}

/* Choices are classes of as many rows as the example has sequences. */
static bool
choice_loss(Network *network, const HeadTargets *targets, float scale, float *d_logits,
			HeadResult *result, Status *status)
{
	double sum = 0;

	for (size_t e = 0; e < targets->n_examples; e++)
	{
		size_t from = targets->choice_offsets[e];
		size_t choices = targets->choice_offsets[e + 1] - from;

		if (choices == 0 || targets->labels[e] == LABEL_IGNORED)
			return status_fail(status, STATUS_INVALID_ARGUMENT,
							   "an example has no choices or no label");
		if (!check_label(targets->labels[e], choices, status))
			return false;
		sum += network->compute->kernels->cross_entropy_row(choices, d_logits + from,
															(size_t) targets->labels[e],
															scale / (float) targets->n_examples);
	}
	result->count = targets->n_examples;
	result->loss = sum / (double) targets->n_examples;
	return true;
}

/*
 * Start and end are classes over each sequence's own tokens; positions past them are ignored,
 * negative ones are 0, as in the reference.
 */
static void
span_loss(Network *network, const NetworkRun *run, HeadBuffers *buffers, float scale,
		  HeadResult *result)
{
	const Batch *batch = run->batch;
	double loss = 0;

	for (int side = 0; side < 2; side++)
	{
		size_t count = 0;
		double sum = 0;

		for (size_t b = 0; b < batch->n_sequences; b++)
		{
			count += run->targets->labels[2 * b + (size_t) side] <
					 batch->cu_seqlens[b + 1] - batch->cu_seqlens[b];
		}
		for (size_t b = 0; b < batch->n_sequences; b++)
		{
			int64_t label = run->targets->labels[2 * b + (size_t) side];
			size_t from = (size_t) batch->cu_seqlens[b];
			size_t length = (size_t) batch->cu_seqlens[b + 1] - from;
			float *column = buffers->d_logits + 2 * from + side;

			for (size_t t = 0; t < length; t++)
				buffers->span[t] = column[2 * t];
			label = label < 0 ? 0 : label;
			if ((size_t) label >= length)
				memset(buffers->span, 0, length * sizeof(float));
			else
				sum += network->compute->kernels->cross_entropy_row(
					length, buffers->span, (size_t) label, scale * 0.5f / (float) count);
			for (size_t t = 0; t < length; t++)
				column[2 * t] = buffers->span[t];
		}
		loss += count == 0 ? 0 : 0.5 * sum / (double) count;
		result->count += count;
	}
	result->loss = result->count == 0 ? NAN : loss;
}

/* Where the config does not say, the labels do, as in the reference. */
static ProblemType
problem_type(const BertConfig *config, const HeadTargets *targets)
{
	if (config->problem_type != PROBLEM_UNSET)
		return config->problem_type;
	if (config->num_labels == 1)
		return PROBLEM_REGRESSION;
	return targets->labels != NULL ? PROBLEM_SINGLE_LABEL : PROBLEM_MULTI_LABEL;
}

/* The loss of buffers->logits (rows, C); d_logits gets its gradient. */
static bool
classifier_loss(Network *network, const NetworkRun *run, HeadBuffers *buffers, size_t rows,
				HeadResult *result, Status *status)
{
	const HeadTargets *targets = run->targets;
	size_t classes = network->head.classifier.out;
	HeadKind head = network->table->head;

	memcpy(buffers->d_logits, buffers->logits, rows * classes * sizeof(float));
	if (head == HEAD_QUESTION_ANSWERING)
	{
		span_loss(network, run, buffers, run->gradient_scale, result);
		return true;
	}
	if (head == HEAD_MULTIPLE_CHOICE)
		return choice_loss(network, targets, run->gradient_scale, buffers->d_logits, result,
						   status);
	if (head == HEAD_PRETRAINING)
		return class_loss(network, rows, classes, targets->next_sentence, run->gradient_scale,
						  buffers->d_logits, result, status);
	if (head == HEAD_SEQUENCE_CLASSIFICATION &&
		problem_type(network->config, targets) != PROBLEM_SINGLE_LABEL)
	{
		bool regression = problem_type(network->config, targets) == PROBLEM_REGRESSION;

		if (!(regression ? loss_mse : loss_bce_with_logits)(buffers->logits, rows, classes,
															targets->values, buffers->d_logits,
															&result->loss, status))
			return false;
		network->compute->kernels->scale(rows * classes, run->gradient_scale, buffers->d_logits);
		result->count = rows;
		return true;
	}
	return class_loss(network, rows, classes, targets->labels, run->gradient_scale,
					  buffers->d_logits, result, status);
}

/* dropout, classifier, loss and back to d_dropped; the caller has filled buffers->dropped. */
static bool
classifier_run(Network *network, const NetworkRun *run, HeadBuffers *buffers, size_t rows,
			   HeadResult *result, Status *status)
{
	Compute *compute = network->compute;
	const Linear *classifier = &network->head.classifier;
	Dropout dropout =
		train_dropout_make(buffers->bits, network->classifier_dropout, run->seed, HEAD_SITE, 0);

	train_dropout_forward(compute, &dropout, rows, classifier->in, buffers->dropped);
	train_linear_forward(compute, classifier, rows, buffers->dropped, buffers->logits);
	result->n_rows = rows;
	result->n_columns = classifier->out;
	result->logits = buffers->logits;
	if (run->d_logits != NULL)
		memcpy(buffers->d_logits, run->d_logits, rows * classifier->out * sizeof(float));
	else if (run->targets != NULL && !classifier_loss(network, run, buffers, rows, result, status))
		return false;
	if (!run->backward)
		return true;
	train_linear_backward_weight(compute, classifier, rows, buffers->dropped, buffers->d_logits);
	train_linear_backward_bias(compute, classifier, rows, buffers->d_logits);
	train_linear_backward_input(compute, classifier, rows, buffers->d_logits, false,
								buffers->d_dropped);
	train_dropout_backward(compute, &dropout, rows, classifier->in, buffers->d_dropped);
	return true;
}

static bool
pooled_run(Network *network, const NetworkRun *run, const float *hidden, HeadBuffers *buffers,
		   float *d_hidden, HeadResult *result, Status *status)
{
	Compute *compute = network->compute;
	const Linear *pooler = &network->head.pooler;
	size_t n = pooler->in;
	size_t rows = run->batch->n_sequences;

	for (size_t b = 0; b < rows; b++)
	{
		buffers->first_rows[b] = run->first_rows_only ? b : (size_t) run->batch->cu_seqlens[b];
		memcpy(buffers->first + b * n, hidden + buffers->first_rows[b] * n, n * sizeof(float));
	}
	train_linear_forward(compute, pooler, rows, buffers->first, buffers->pooled_derivative);
	train_activation_forward(compute, ACTIVATION_TANH, rows, n, buffers->pooled_derivative,
							 buffers->pooled);
	memcpy(buffers->dropped, buffers->pooled, rows * n * sizeof(float));
	if (!classifier_run(network, run, buffers, rows, result, status))
		return false;
	if (!run->backward)
		return true;
	train_activation_backward(compute, rows, n, buffers->pooled_derivative, buffers->d_dropped,
							  pooler->d_bias);
	train_linear_backward_weight(compute, pooler, rows, buffers->first, buffers->d_dropped);
	if (d_hidden == NULL)
		return true;
	train_linear_backward_input(compute, pooler, rows, buffers->d_dropped, false, buffers->d_first);
	for (size_t b = 0; b < rows; b++)
		compute->kernels->axpy(n, 1.0f, buffers->d_first + b * n,
							   d_hidden + buffers->first_rows[b] * n);
	return true;
}

static bool
tokens_run(Network *network, const NetworkRun *run, const float *hidden, HeadBuffers *buffers,
		   float *d_hidden, HeadResult *result, Status *status)
{
	size_t n = network->head.classifier.in;
	size_t rows = (size_t) run->batch->cu_seqlens[run->batch->n_sequences];

	compute_copy(network->compute, rows * n, hidden, buffers->dropped);
	if (!classifier_run(network, run, buffers, rows, result, status))
		return false;
	if (run->backward && d_hidden != NULL)
		compute_copy(network->compute, rows * n, buffers->d_dropped, d_hidden);
	return true;
}

typedef struct VocabTask
{
	Network *network;
	size_t rows;
	const int64_t *labels;
	float *logits;
	float scale;
	double *losses;
	bool *correct;
} VocabTask;

static void
vocab_loss_task(void *context, size_t row, int worker)
{
	VocabTask *task = context;
	size_t n = task->network->head.decoder.out;
	float *logits = task->logits + row * n;
	float target = logits[task->labels[row]];
	bool best = true;

	for (size_t j = 0; j < n && best; j++)
		best = logits[j] <= target;
	task->correct[row] = best;
	task->losses[row] = task->network->compute->kernels->cross_entropy_row(
		n, logits, (size_t) task->labels[row], task->scale);
}

/*
 * The language-model head over the rows that are predicted, in chunks of the vocabulary's logits.
 */
static bool
vocab_run(Network *network, const NetworkRun *run, const float *hidden, HeadBuffers *buffers,
		  float *d_hidden, HeadResult *result, Status *status)
{
	Compute *compute = network->compute;
	const HeadTargets *targets = run->targets;
	HeadParameters *head = &network->head;
	size_t rows = targets->n_rows;
	size_t n = head->transform.in;
	bool accumulate = compute->accumulate;
	Dropout none = {0};
	double sum = 0;
	float *d_activated;

	for (size_t i = 0; i < rows; i++)
	{
		if (targets->row_labels[i] < 0 ||
			!check_label(targets->row_labels[i], head->decoder.out, status))
			return status_fail(status, STATUS_INVALID_ARGUMENT,
							   "label %lld is not in the vocabulary",
							   (long long) targets->row_labels[i]);
		memcpy(buffers->gathered + i * n, hidden + targets->rows[i] * n, n * sizeof(float));
	}
	train_linear_forward(compute, &head->transform, rows, buffers->gathered, buffers->derivative);
	train_activation_forward(compute, network->hidden_act, rows, n, buffers->derivative,
							 buffers->activated);
	train_norm_forward(compute, &head->transform_norm, &none, rows, NULL, buffers->activated,
					   buffers->normed, buffers->mean, buffers->rstd);
	if (rows == 0 && run->backward)
		train_linear_backward_weight(compute, &head->decoder, 0, NULL, NULL);
	for (size_t from = 0; from < rows; from += HEAD_VOCAB_CHUNK)
	{
		size_t count = rows - from < HEAD_VOCAB_CHUNK ? rows - from : HEAD_VOCAB_CHUNK;
		double losses[HEAD_VOCAB_CHUNK];
		bool correct[HEAD_VOCAB_CHUNK];
		VocabTask task = {.network = network,
						  .rows = count,
						  .labels = targets->row_labels + from,
						  .logits = buffers->chunk,
						  .scale = run->gradient_scale / (float) rows,
						  .losses = losses,
						  .correct = correct};

		if (!may_continue(run->question, status))
			return false;
		train_linear_forward(compute, &head->decoder, count, buffers->normed + from * n,
							 buffers->chunk);
		threadpool_run(compute->pool, count, vocab_loss_task, &task);
		for (size_t i = 0; i < count; i++)
		{
			sum += losses[i];
			result->correct += correct[i];
		}
		if (!run->backward)
			continue;
		train_linear_backward_weight(compute, &head->decoder, count, buffers->normed + from * n,
									 buffers->chunk);
		train_linear_backward_bias(compute, &head->decoder, count, buffers->chunk);
		train_linear_backward_input(compute, &head->decoder, count, buffers->chunk, false,
									buffers->d_normed + from * n);
		compute->accumulate = true;
	}
	compute->accumulate = accumulate;
	result->loss = rows == 0 ? NAN : sum / (double) rows;
	result->count = rows;
	if (!run->backward)
		return true;
	d_activated = train_norm_backward(compute, &head->transform_norm, &none, rows,
									  buffers->d_normed, buffers->activated, buffers->mean,
									  buffers->rstd, buffers->d_normed, NULL, NULL);
	train_activation_backward(compute, rows, n, buffers->derivative, d_activated,
							  head->transform.d_bias);
	train_linear_backward_weight(compute, &head->transform, rows, buffers->gathered, d_activated);
	if (d_hidden == NULL)
		return true;
	train_linear_backward_input(compute, &head->transform, rows, d_activated, false,
								buffers->d_gathered);
	for (size_t i = 0; i < rows; i++)
		compute->kernels->axpy(n, 1.0f, buffers->d_gathered + i * n,
							   d_hidden + targets->rows[i] * n);
	return true;
}

bool
train_head_run(Network *network, const NetworkRun *run, const float *hidden, HeadBuffers *buffers,
			   float *d_hidden, HeadResult *result, Status *status)
{
	HeadKind head = network->table->head;
	size_t tokens = (size_t) run->batch->cu_seqlens[run->batch->n_sequences];

	memset(result, 0, sizeof *result);
	if (reads_tokens(head))
		return tokens_run(network, run, hidden, buffers, d_hidden, result, status);
	if (d_hidden != NULL)
		memset(d_hidden, 0, tokens * (size_t) network->config->hidden_size * sizeof(float));
	if (head == HEAD_PRETRAINING)
	{
		HeadResult sentence = {0};

		if (!pooled_run(network, run, hidden, buffers, d_hidden, &sentence, status))
			return false;
		if (run->targets != NULL)
		{
			if (!vocab_run(network, run, hidden, buffers, d_hidden, result, status))
				return false;
			/* a batch in which nothing was masked has the other loss only */
			result->loss = result->count == 0 ? sentence.loss : result->loss + sentence.loss;
		}
		result->next_sentence_logits = sentence.logits;
		return true;
	}
	if (network->head.decoder.weight != NULL)
		return run->targets == NULL ||
			   vocab_run(network, run, hidden, buffers, d_hidden, result, status);
	if (head_uses_pooler(head))
		return pooled_run(network, run, hidden, buffers, d_hidden, result, status);
	return status_fail(status, STATUS_INVALID_ARGUMENT, "a model without a head cannot be trained");
}
