/* predict.c: assembling, the inference forward pass, and the loss. */
#include "train/predict.h"

#include <math.h>

#include "nn/loss.h"
#include "train/batches.h"

static bool
is_special(const void *context, int32_t id)
{
	return tokenizer_is_special(context, id);
}

static bool
is_continuation(const void *context, int32_t id)
{
	return tokenizer_is_continuation(context, id);
}

/*
 * mean loss of rows (n, columns) against labels; counts those that are not ignored and those that
 * are right
 */
static bool
class_loss(const float *logits, size_t n, size_t columns, const int64_t *labels,
		   Evaluation *evaluation, Status *status)
{
	for (size_t i = 0; i < n; i++)
	{
		const float *row = logits + i * columns;
		size_t best = 0;

		if (labels[i] == LABEL_IGNORED)
			continue;
		for (size_t j = 1; j < columns; j++)
			if (row[j] > row[best])
				best = j;
		evaluation->labels++;
		evaluation->correct += (int64_t) best == labels[i];
	}
	return loss_cross_entropy(logits, n, columns, labels, NULL, &evaluation->loss, status);
}

/* Choices: each sample's sequences are the classes of one example. */
static bool
choice_loss(const TrainSample *samples, size_t n, Evaluation *evaluation, Status *status)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
	{
		int64_t label = samples[i].sample->labels[0];
		double loss;

		if (!loss_cross_entropy(evaluation->logits + evaluation->row_offsets[i], 1,
								samples[i].sample->n_sequences, &label, NULL, &loss, status))
			return false;
		sum += loss;
	}
	evaluation->labels = n;
	evaluation->loss = sum / (double) n;
	return true;
}

/* Spans: mean of the start's and the end's loss over each sample's tokens. */
static bool
span_loss(const TrainSample *samples, size_t n, Evaluation *evaluation, Arena *arena,
		  Status *status)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
	{
		const Sample *sample = samples[i].sample;
		const float *rows = evaluation->logits + evaluation->row_offsets[i] * 2;
		ArenaMark mark = arena_mark(arena);
		float *column = arena_alloc_array(arena, sample->n_tokens, sizeof *column);

		if (column == NULL)
			return arena_fail(arena, status, "predictions", sample->n_tokens * sizeof *column);
		for (int side = 0; side < 2; side++)
		{
			int64_t label = sample->labels[side];
			double loss;

			for (size_t t = 0; t < sample->n_tokens; t++)
				column[t] = rows[2 * t + (size_t) side];
			if (!loss_cross_entropy(column, 1, sample->n_tokens, &label, NULL, &loss, status))
				return false;
			sum += loss / 2;
		}
		arena_rewind(arena, mark);
	}
	evaluation->labels = n;
	evaluation->loss = sum / (double) n;
	return true;
}

static bool
score_losses(HeadKind head, const TrainSample *samples, size_t n, const AssembledBatch *assembled,
			 const HeadOutput *output, Arena *arena, Evaluation *evaluation, Status *status)
{
	const HeadTargets *targets = &assembled->targets;

	switch (head)
	{
		case HEAD_MULTIPLE_CHOICE:
			return choice_loss(samples, n, evaluation, status);
		case HEAD_QUESTION_ANSWERING:
			return span_loss(samples, n, evaluation, arena, status);
		case HEAD_MASKED_LM:
		case HEAD_CAUSAL_LM:
		case HEAD_PRETRAINING:
			return targets->n_rows == 0 ||
				   class_loss(output->logits, output->n_rows, output->n_columns,
							  targets->row_labels, evaluation, status);
		default:
			if (targets->labels != NULL)
				return class_loss(output->logits, output->n_rows, output->n_columns,
								  targets->labels, evaluation, status);
			evaluation->labels = n;
			return loss_mse(output->logits, output->n_rows, output->n_columns, targets->values,
							NULL, &evaluation->loss, status);
	}
}

bool
predict_samples(const BertModel *model, const PredictOptions *options, const TrainSample *samples,
				size_t n, Arena *arena, Evaluation *evaluation, const MayContinue *question,
				Status *status)
{
	const BertConfig *config = bert_model_config(model);
	HeadKind head = bert_model_head(model);
	bool by_tokens = head == HEAD_TOKEN_CLASSIFICATION || head == HEAD_QUESTION_ANSWERING;
	bool language = head == HEAD_MASKED_LM || head == HEAD_CAUSAL_LM || head == HEAD_PRETRAINING;
	BatchMasks masks = {.seed = options->seed, .by_sample = true};
	ForwardWants wants = head_wants(head);
	AssembledBatch assembled;
	EncoderOutput encoded;
	HeadOutput output;

	masks.options = (MaskingOptions){.probability = options->mask_probability,
									 .vocab_size = config->vocab_size,
									 .is_special = is_special,
									 .is_continuation = is_continuation,
									 .context = options->tokenizer};
	if (options->tokenizer != NULL)
		masks.options.mask_id = tokenizer_mask_id(options->tokenizer);
	*evaluation = (Evaluation){.loss = NAN};
	if (!batch_assemble(arena, config, head, samples, n, &masks, &assembled, status) ||
		!encoder_forward(model, &assembled.batch, &wants, arena, &encoded, question, status) ||
		!head_forward(model, &assembled.batch, &encoded, language ? assembled.targets.rows : NULL,
					  language ? assembled.targets.n_rows : 0, arena, &output, question, status))
		return false;
	evaluation->n_columns = output.n_columns;
	evaluation->logits = language ? NULL : output.logits;
	evaluation->next_sentence_logits = output.seq_relationship_logits;
	evaluation->row_offsets = arena_alloc_array(arena, n + 1, sizeof(size_t));
	if (evaluation->row_offsets == NULL)
		return arena_fail(arena, status, "predictions", (n + 1) * sizeof(size_t));
	for (size_t i = 0; i <= n; i++)
		evaluation->row_offsets[i] =
			by_tokens ? (size_t) assembled.batch.cu_seqlens[assembled.sequence_offsets[i]]
					  : assembled.sequence_offsets[i];
	return score_losses(head, samples, n, &assembled, &output, arena, evaluation, status);
}
