/* head.c: pooled heads, token heads, language-model heads, and embeddings. */
#include "train/head.h"

#include <string.h>

#include "nn/select.h"

#define HEAD_SITE 2
#define HEAD_FIRST_SITE 3

/* The head has a row of logits for each sequence or token, beside a vocabulary's. */
static bool
has_classifier(const Network *network)
{
	return network->head.classifier.weight != NULL;
}

static bool
reads_tokens(const Network *network)
{
	return network->head.reads == READS_TOKENS;
}

static void
layout_classifier(const Network *network, const NetworkRun *run, Bump *bump, HeadBuffers *buffers)
{
	const HeadParameters *head = &network->head;
	size_t hidden = (size_t) network->config->hidden_size;
	size_t sequences = run->batch->n_sequences;
	size_t tokens = (size_t) run->batch->cu_seqlens[sequences];
	size_t rows = reads_tokens(network) ? tokens : sequences;

	if (!reads_tokens(network))
	{
		buffers->first_rows = bump_take(bump, sequences, 1, sizeof(size_t));
		buffers->first = bump_floats(bump, sequences, hidden);
	}
	if (head->projection.weight != NULL)
	{
		buffers->derivative_in = bump_floats(bump, rows, hidden);
		buffers->d_in = bump_floats(bump, rows, hidden);
	}
	if (head->dropout > 0 && run->training)
	{
		buffers->bits = bump_take(bump, rows, dropout_row_bytes(hidden), 1);
		if (head->dropout_first)
			buffers->first_bits = bump_take(bump, rows, dropout_row_bytes(hidden), 1);
	}
	buffers->dropped = bump_floats(bump, rows, hidden);
	buffers->d_dropped = bump_floats(bump, rows, hidden);
	buffers->logits = bump_floats(bump, rows, head->classifier.out);
	buffers->d_logits = bump_floats(bump, rows, head->classifier.out);
	buffers->span = bump_floats(bump, tokens, 1);
}

void
train_head_layout(const Network *network, const NetworkRun *run, Bump *bump, HeadBuffers *buffers)
{
	const HeadParameters *head = &network->head;

	memset(buffers, 0, sizeof *buffers);
	if (network->sentence.pooling.n > 0)
		train_pooling_layout(&network->sentence, run->batch->n_sequences,
							 (size_t) network->config->hidden_size, run->backward, bump,
							 &buffers->pooling);
	if (has_classifier(network))
		layout_classifier(network, run, bump, buffers);
	if (head->decoder.weight != NULL)
	{
		size_t predicted = run->targets == NULL ? 0 : run->targets->n_rows;
		size_t chunk = predicted < HEAD_VOCAB_CHUNK ? predicted : HEAD_VOCAB_CHUNK;

		buffers->gathered = bump_floats(bump, predicted, head->transform.in);
		buffers->derivative = bump_floats(bump, predicted, head->transform.out);
		buffers->activated = bump_floats(bump, predicted, head->transform.out);
		buffers->normed = bump_floats(bump, predicted, head->transform.out);
		buffers->mean = bump_floats(bump, predicted, 1);
		buffers->rstd = bump_floats(bump, predicted, 1);
		buffers->d_normed = bump_floats(bump, predicted, head->transform.out);
		buffers->d_gathered = bump_floats(bump, predicted, head->transform.in);
		buffers->chunk = bump_floats(bump, chunk, head->decoder.out);
	}
}

/* One run of the head. */
typedef struct HeadRun
{
	Network *network;
	const NetworkRun *run;
	const float *hidden; /* (T, H), or (B, H) when run->first_rows_only */
	HeadBuffers *buffers;
	float *d_hidden; /* (T, H) or NULL */
	LossCall loss;
	LossCounts counts; /* what losses are a mean over */
} HeadRun;

/* The loss of buffers->logits; d_logits gets its gradient. */
static double
classifier_loss(const HeadRun *head)
{
	const HeadBuffers *buffers = head->buffers;
	CrossEntropyRow row = head->network->compute->kernels->cross_entropy_row;

	return head->loss.head == HEAD_PRETRAINING
			   ? loss_sentences_gradient(&head->loss, &head->counts, buffers->d_logits, row)
			   : loss_gradient(&head->loss, &head->counts, buffers->d_logits, buffers->span, row);
}

/* dropout, classifier, loss and back to d_dropped; the caller has filled buffers->dropped. */
static void
classifier_run(const HeadRun *head, size_t rows, HeadResult *result)
{
	Network *network = head->network;
	const NetworkRun *run = head->run;
	HeadBuffers *buffers = head->buffers;
	Compute *compute = network->compute;
	const Linear *classifier = &network->head.classifier;
	size_t bytes = rows * classifier->out * sizeof(float);
	Dropout dropout =
		train_dropout_make(buffers->bits, network->head.dropout, run->seed, HEAD_SITE, 0);

	train_dropout_forward(compute, &dropout, rows, classifier->in, buffers->dropped);
	train_linear_forward(compute, classifier, rows, buffers->dropped, buffers->logits);
	result->n_rows = rows;
	result->n_columns = classifier->out;
	result->logits = buffers->logits;
	memcpy(buffers->d_logits, run->d_logits != NULL ? run->d_logits : buffers->logits, bytes);
	if (run->d_logits == NULL && run->targets != NULL)
		result->loss = classifier_loss(head);
	if (!run->backward)
		return;
	train_linear_backward_weight(compute, classifier, rows, buffers->dropped, buffers->d_logits);
	train_linear_backward_bias(compute, classifier, rows, buffers->d_logits);
	train_linear_backward_input(compute, classifier, rows, buffers->d_logits, false,
								buffers->d_dropped);
	train_dropout_backward(compute, &dropout, rows, classifier->in, buffers->d_dropped);
}

/*
 * The projection, where the head has one, and the classifier over the rows in (rows, H); back to
 * their gradient, which is returned.
 */
static float *
projected_run(const HeadRun *head, size_t rows, const float *in, HeadResult *result)
{
	Compute *compute = head->network->compute;
	const HeadParameters *parameters = &head->network->head;
	const Linear *projection = &parameters->projection;
	HeadBuffers *buffers = head->buffers;
	size_t n = parameters->classifier.in;

	if (projection->weight == NULL)
	{
		compute_copy(compute, rows * n, in, buffers->dropped);
		classifier_run(head, rows, result);
		return buffers->d_dropped;
	}
	train_linear_forward(compute, projection, rows, in, buffers->derivative_in);
	train_activation_forward(compute, parameters->projection_act, rows, n, buffers->derivative_in,
							 buffers->dropped);
	classifier_run(head, rows, result);
	if (!head->run->backward)
		return NULL;
	train_activation_backward(compute, rows, n, buffers->derivative_in, buffers->d_dropped,
							  projection->d_bias);
	train_linear_backward_weight(compute, projection, rows, in, buffers->d_dropped);
	if (head->d_hidden != NULL)
		train_linear_backward_input(compute, projection, rows, buffers->d_dropped, false,
									buffers->d_in);
	return buffers->d_in;
}

static void
pooled_run(const HeadRun *head, HeadResult *result)
{
	Compute *compute = head->network->compute;
	HeadBuffers *buffers = head->buffers;
	const Batch *batch = head->run->batch;
	size_t n = head->network->head.classifier.in;
	size_t rows = batch->n_sequences;
	Dropout dropout = train_dropout_make(buffers->first_bits, head->network->head.dropout,
										 head->run->seed, HEAD_FIRST_SITE, 0);
	float *d_first;

	for (size_t b = 0; b < rows; b++)
	{
		buffers->first_rows[b] = head->run->first_rows_only ? b : (size_t) batch->cu_seqlens[b];
		memcpy(buffers->first + b * n, head->hidden + buffers->first_rows[b] * n,
			   n * sizeof(float));
	}
	train_dropout_forward(compute, &dropout, rows, n, buffers->first);
	d_first = projected_run(head, rows, buffers->first, result);
	if (!head->run->backward || head->d_hidden == NULL)
		return;
	train_dropout_backward(compute, &dropout, rows, n, d_first);
	for (size_t b = 0; b < rows; b++)
		compute->kernels->axpy(n, 1.0f, d_first + b * n,
							   head->d_hidden + buffers->first_rows[b] * n);
}

static void
tokens_run(const HeadRun *head, HeadResult *result)
{
	size_t n = head->network->head.classifier.in;
	size_t rows = (size_t) head->run->batch->cu_seqlens[head->run->batch->n_sequences];
	const float *d_in = projected_run(head, rows, head->hidden, result);

	if (head->run->backward && head->d_hidden != NULL)
		compute_copy(head->network->compute, rows * n, d_in, head->d_hidden);
}

/* Rows of vocabulary logits, one task each. */
typedef struct VocabTask
{
	const HeadRun *head;
	const int64_t *labels;
	double *losses; /* (rows) */
	bool *correct;
} VocabTask;

static void
vocab_loss_task(void *context, size_t row, int worker)
{
	VocabTask *task = context;
	const Network *network = task->head->network;
	size_t n = network->head.decoder.out;
	float *logits = task->head->buffers->chunk + row * n;
	int64_t label = task->labels[row];

	task->losses[row] = 0;
	task->correct[row] = false;
	if (label == LABEL_IGNORED)
	{
		memset(logits, 0, n * sizeof(float));
		return;
	}
	task->correct[row] = select_best(logits, n) == (size_t) label;
	task->losses[row] = network->compute->kernels->cross_entropy_row(
		n, logits, (size_t) label, 1.0f / (float) task->head->counts.labels);
}

/* The LayerNorm of the transform, over the predicted rows. */
static NormCall
transform_norm(const HeadRun *head)
{
	return (NormCall){.norm = &head->network->head.transform_norm,
					  .m = head->run->targets->n_rows,
					  .sum = head->buffers->activated,
					  .mean = head->buffers->mean,
					  .rstd = head->buffers->rstd};
}

/* Predicted rows through transform, activation and norm: buffers->normed (R, H). */
static void
vocab_transform(const HeadRun *head)
{
	const HeadTargets *targets = head->run->targets;
	const HeadParameters *parameters = &head->network->head;
	Compute *compute = head->network->compute;
	HeadBuffers *buffers = head->buffers;
	size_t rows = targets->n_rows;
	size_t n = parameters->transform.in;
	NormCall norm = transform_norm(head);

	for (size_t i = 0; i < rows; i++)
		memcpy(buffers->gathered + i * n, head->hidden + targets->rows[i] * n, n * sizeof(float));
	train_linear_forward(compute, &parameters->transform, rows, buffers->gathered,
						 buffers->derivative);
	train_activation_forward(compute, parameters->transform_act, rows, parameters->transform.out,
							 buffers->derivative, buffers->activated);
	train_norm_forward(compute, &norm, NULL, buffers->normed);
}

/* The decoder over rows from .. from+count-1, its loss, and back to d_normed. */
static double
vocab_chunk(const HeadRun *head, size_t from, size_t count, HeadResult *result)
{
	Compute *compute = head->network->compute;
	const Linear *decoder = &head->network->head.decoder;
	HeadBuffers *buffers = head->buffers;
	const float *normed = buffers->normed + from * decoder->in;
	double losses[HEAD_VOCAB_CHUNK];
	bool correct[HEAD_VOCAB_CHUNK];
	VocabTask task = {head, head->run->targets->row_labels + from, losses, correct};
	double sum = 0;

	train_linear_forward(compute, decoder, count, normed, buffers->chunk);
	threadpool_run(compute->pool, count, vocab_loss_task, &task);
	for (size_t i = 0; i < count; i++)
	{
		sum += losses[i];
		result->correct += correct[i];
	}
	if (!head->run->backward)
		return sum;
	train_linear_backward_weight(compute, decoder, count, normed, buffers->chunk);
	train_linear_backward_bias(compute, decoder, count, buffers->chunk);
	train_linear_backward_input(compute, decoder, count, buffers->chunk, false,
								buffers->d_normed + from * decoder->in);
	compute->accumulate = true;
	return sum;
}

static void
vocab_transform_backward(const HeadRun *head)
{
	const HeadTargets *targets = head->run->targets;
	const HeadParameters *parameters = &head->network->head;
	Compute *compute = head->network->compute;
	HeadBuffers *buffers = head->buffers;
	size_t rows = targets->n_rows;
	size_t n = parameters->transform.in;
	NormCall norm = transform_norm(head);
	float *d_activated =
		train_norm_backward(compute, &norm, buffers->d_normed, buffers->d_normed, NULL, NULL);

	train_activation_backward(compute, rows, parameters->transform.out, buffers->derivative,
							  d_activated, parameters->transform.d_bias);
	train_linear_backward_weight(compute, &parameters->transform, rows, buffers->gathered,
								 d_activated);
	if (head->d_hidden == NULL)
		return;
	train_linear_backward_input(compute, &parameters->transform, rows, d_activated, false,
								buffers->d_gathered);
	for (size_t i = 0; i < rows; i++)
		compute->kernels->axpy(n, 1.0f, buffers->d_gathered + i * n,
							   head->d_hidden + targets->rows[i] * n);
}

/*
 * The language-model head over the rows that are predicted, in chunks of the vocabulary's logits.
 */
static bool
vocab_run(const HeadRun *head, HeadResult *result, Status *status)
{
	Compute *compute = head->network->compute;
	size_t rows = head->run->targets->n_rows;
	bool accumulate = compute->accumulate;
	double sum = 0;

	vocab_transform(head);
	if (rows == 0 && head->run->backward)
		train_linear_backward_weight(compute, &head->network->head.decoder, 0, NULL, NULL);
	for (size_t from = 0; from < rows; from += HEAD_VOCAB_CHUNK)
	{
		if (!may_continue(head->run->question, status))
			return false;
		sum += vocab_chunk(head, from,
						   rows - from < HEAD_VOCAB_CHUNK ? rows - from : HEAD_VOCAB_CHUNK, result);
	}
	compute->accumulate = accumulate;
	result->loss = sum / (double) head->counts.labels;
	if (head->run->backward)
		vocab_transform_backward(head);
	return true;
}

static bool
pretraining_run(const HeadRun *head, HeadResult *result, Status *status)
{
	HeadResult sentence = {0};

	pooled_run(head, &sentence);
	result->next_sentence_logits = sentence.logits;
	if (head->run->targets == NULL)
		return true;
	if (!vocab_run(head, result, status))
		return false;
	/* where nothing was masked there is the other loss only */
	result->loss = head->counts.labels == 0 ? sentence.loss : result->loss + sentence.loss;
	return true;
}

/* Embeddings, their loss, and back: the run of a model without a head. */
static bool
embeddings_run(const HeadRun *head, HeadResult *result, Status *status)
{
	const NetworkRun *run = head->run;
	const SentenceParameters *sentence = &head->network->sentence;
	const EmbeddingRun *embedding = run->embedding;
	const PoolingSaved *saved = &head->buffers->pooling;
	size_t rows = run->batch->n_sequences;
	size_t hidden = (size_t) head->network->config->hidden_size;
	PoolTokens tokens = {hidden,
						 rows,
						 run->batch->cu_seqlens,
						 run->batch->attention_mask,
						 embedding == NULL ? NULL : embedding->skip,
						 head->hidden};

	if (!train_pooling_forward(head->network->compute, sentence, &tokens, saved, status))
		return false;
	result->n_rows = rows;
	result->n_columns = train_pooling_columns(sentence, hidden);
	result->logits = saved->embeddings;
	if (!run->backward)
		return true;
	if (run->d_logits != NULL)
		memcpy(saved->d_embeddings, run->d_logits, rows * result->n_columns * sizeof(float));
	else if (embedding == NULL)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "there is neither a loss of embeddings nor their gradient");
	else
	{
		EmbeddingRows all = {result->n_columns, saved->embeddings, saved->d_embeddings,
							 embedding->weight};

		if (!embedding_loss(embedding->loss, embedding->examples, head->network->compute, &all,
							embedding->arena, &result->loss, status))
			return false;
	}
	train_pooling_backward(head->network->compute, sentence, &tokens, saved, head->d_hidden);
	return true;
}

bool
train_head_run(Network *network, const NetworkRun *run, const float *hidden, HeadBuffers *buffers,
			   float *d_hidden, HeadResult *result, Status *status)
{
	HeadKind kind = network->table->head;
	size_t tokens = (size_t) run->batch->cu_seqlens[run->batch->n_sequences];
	HeadRun head = {network, run, hidden, buffers, d_hidden, network_loss_call(network, run), {0}};

	memset(result, 0, sizeof *result);
	if (kind == HEAD_NONE && network->sentence.pooling.n == 0)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "a model without a head cannot be trained");
	if (run->targets != NULL && kind != HEAD_NONE)
	{
		if (!loss_count(&head.loss, &head.counts, status))
			return false;
		result->count = head.counts.labels + head.counts.ends;
		if (run->counts != NULL)
			head.counts = *run->counts;
	}
	if (reads_tokens(network) && !head_has_vocabulary(kind))
	{
		tokens_run(&head, result);
		return true;
	}
	if (d_hidden != NULL)
		memset(d_hidden, 0, tokens * (size_t) network->config->hidden_size * sizeof(float));
	if (kind == HEAD_NONE)
		return embeddings_run(&head, result, status);
	if (kind == HEAD_PRETRAINING)
		return pretraining_run(&head, result, status);
	if (head_has_vocabulary(kind))
		return run->targets == NULL || vocab_run(&head, result, status);
	pooled_run(&head, result);
	return true;
}
