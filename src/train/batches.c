/* batches.c: packing samples. */
#include "train/batches.h"

#include <string.h>

#include "nn/loss.h"

/* Evaluation's streams; training's are below 2^55. masking.c uses the bits from 56 on. */
#define EVALUATION_STREAM (UINT64_C(1) << 55)

typedef struct BatchArrays
{
	int32_t *cu_seqlens;
	int32_t *input_ids;
	int32_t *token_type_ids;
	int64_t *labels;
	float *values;
	size_t *rows;
	int64_t *row_labels;
	size_t *choice_offsets;
} BatchArrays;

static bool
allocate(Arena *arena, size_t n, size_t sequences, size_t tokens, size_t labels, size_t values,
		 BatchArrays *arrays, AssembledBatch *assembled, Status *status)
{
	arrays->cu_seqlens = arena_alloc_array(arena, sequences + 1, sizeof(int32_t));
	arrays->input_ids = arena_alloc_array(arena, tokens, sizeof(int32_t));
	arrays->token_type_ids = arena_alloc_array(arena, tokens, sizeof(int32_t));
	arrays->labels = arena_alloc_array(arena, labels, sizeof(int64_t));
	arrays->values = arena_alloc_array(arena, values, sizeof(float));
	arrays->rows = arena_alloc_array(arena, tokens, sizeof(size_t));
	arrays->row_labels = arena_alloc_array(arena, tokens, sizeof(int64_t));
	arrays->choice_offsets = arena_alloc_array(arena, n + 1, sizeof(size_t));
	assembled->sequence_offsets = arrays->choice_offsets;
	if (arrays->cu_seqlens == NULL || arrays->input_ids == NULL || arrays->token_type_ids == NULL ||
		arrays->labels == NULL || arrays->values == NULL || arrays->rows == NULL ||
		arrays->row_labels == NULL || arrays->choice_offsets == NULL)
		return arena_fail(arena, status, "a batch",
						  tokens * (2 * sizeof(int32_t) + sizeof(size_t) + 2 * sizeof(int64_t)));
	return true;
}

/* Where the config does not say, the first sample does, as in the reference. */
static bool
uses_values(const BertConfig *config, HeadKind head, const Sample *sample)
{
	if (head != HEAD_SEQUENCE_CLASSIFICATION)
		return false;
	if (config->problem_type == PROBLEM_UNSET)
		return config->num_labels == 1 || (sample->n_labels == 0 && sample->n_values > 0);
	return config->problem_type != PROBLEM_SINGLE_LABEL;
}

/* Labels that a sample must have. */
static size_t
labels_of(HeadKind head, const Sample *sample, bool values)
{
	switch (head)
	{
		case HEAD_TOKEN_CLASSIFICATION:
			return sample->n_tokens;
		case HEAD_QUESTION_ANSWERING:
			return 2;
		case HEAD_SEQUENCE_CLASSIFICATION:
			return values ? 0 : 1;
		case HEAD_MULTIPLE_CHOICE:
		case HEAD_NEXT_SENTENCE:
		case HEAD_PRETRAINING:
			return 1;
		default:
			return 0;
	}
}

static bool
check_sample(HeadKind head, const Sample *sample, size_t n_values, Status *status)
{
	if (sample->n_sequences == 0 || (sample->n_sequences > 1 && head != HEAD_MULTIPLE_CHOICE))
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "a sample of %u sequences is not for %s", sample->n_sequences,
						   head_kind_name(head));
	if (sample->n_labels < labels_of(head, sample, n_values > 0) || sample->n_values < n_values)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "row %llu has %u labels and %u values, fewer than %s needs",
						   (unsigned long long) sample->row + 1, sample->n_labels, sample->n_values,
						   head_kind_name(head));
	return true;
}

/* The tokens that a language model predicts of the sequence at `from`. */
static void
language_targets(HeadKind head, const TrainSample *sample, const BatchMasks *masks, size_t from,
				 size_t n, BatchArrays *arrays, int64_t *scratch, HeadTargets *targets)
{
	uint64_t stream;

	if (head == HEAD_CAUSAL_LM)
	{
		for (size_t t = 0; t + 1 < n; t++)
		{
			arrays->rows[targets->n_rows] = from + t;
			arrays->row_labels[targets->n_rows++] = arrays->input_ids[from + t + 1];
		}
		return;
	}
	stream = masks->by_sample ? EVALUATION_STREAM | (sample->id & (EVALUATION_STREAM - 1))
							  : masks->stream;
	masking_apply(&masks->options, masks->seed, stream, masks->by_sample ? 0 : from,
				  arrays->input_ids + from, n, scratch);
	for (size_t t = 0; t < n; t++)
		if (scratch[t] != LABEL_IGNORED)
		{
			arrays->rows[targets->n_rows] = from + t;
			arrays->row_labels[targets->n_rows++] = scratch[t];
		}
}

bool
batch_assemble(Arena *arena, const BertConfig *config, HeadKind head, const TrainSample *samples,
			   size_t n, const BatchMasks *masks, AssembledBatch *assembled, Status *status)
{
	bool values = n > 0 && uses_values(config, head, samples[0].sample);
	size_t n_values = values ? (size_t) config->num_labels : 0;
	size_t sequences = 0;
	size_t tokens = 0;
	size_t labels = 0;
	size_t longest = 0;
	BatchArrays arrays = {0};
	int64_t *scratch = NULL;

	memset(assembled, 0, sizeof *assembled);
	if (n == 0)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "a batch without samples");
	for (size_t i = 0; i < n; i++)
	{
		if (!check_sample(head, samples[i].sample, n_values, status))
			return false;
		sequences += samples[i].sample->n_sequences;
		tokens += samples[i].sample->n_tokens;
		labels += labels_of(head, samples[i].sample, values);
		longest = samples[i].sample->n_tokens > longest ? samples[i].sample->n_tokens : longest;
	}
	if (tokens > INT32_MAX || sequences > INT32_MAX)
		return status_fail(status, STATUS_LIMIT, "the batch has %zu tokens", tokens);
	if (!allocate(arena, n, sequences, tokens, labels, n * n_values, &arrays, assembled, status))
		return false;
	if (head_has_vocabulary(head) &&
		(scratch = arena_alloc_array(arena, longest, sizeof *scratch)) == NULL)
		return arena_fail(arena, status, "masks", longest * sizeof *scratch);
	sequences = tokens = labels = 0;
	arrays.cu_seqlens[0] = 0;
	for (size_t i = 0; i < n; i++)
	{
		const Sample *sample = samples[i].sample;
		size_t from = tokens;

		arrays.choice_offsets[i] = sequences;
		for (uint32_t s = 0; s < sample->n_sequences; s++)
		{
			tokens += sample->lengths[s];
			arrays.cu_seqlens[++sequences] = (int32_t) tokens;
		}
		if (tokens - from != sample->n_tokens)
			return status_fail(status, STATUS_INVALID_DATA,
							   "the lengths of a sample do not add up");
		for (size_t t = 0; t < sample->n_tokens; t++)
		{
			arrays.input_ids[from + t] = sample->input_ids[t];
			arrays.token_type_ids[from + t] = sample->token_type_ids[t];
		}
		for (size_t l = 0; l < labels_of(head, sample, values); l++)
			arrays.labels[labels++] = sample->labels[l];
		if (values)
			memcpy(arrays.values + i * n_values, sample->values, n_values * sizeof(float));
		if (head_has_vocabulary(head))
			language_targets(head, &samples[i], masks, from, sample->n_tokens, &arrays, scratch,
							 &assembled->targets);
	}
	arrays.choice_offsets[n] = sequences;
	assembled->batch.n_sequences = sequences;
	assembled->batch.cu_seqlens = arrays.cu_seqlens;
	assembled->batch.input_ids = arrays.input_ids;
	assembled->batch.token_type_ids = arrays.token_type_ids;
	assembled->targets.labels = values ? NULL : arrays.labels;
	assembled->targets.next_sentence = arrays.labels;
	assembled->targets.values = arrays.values;
	assembled->targets.rows = arrays.rows;
	assembled->targets.row_labels = arrays.row_labels;
	assembled->targets.n_examples = n;
	assembled->targets.choice_offsets = arrays.choice_offsets;
	return batch_validate(&assembled->batch, config, status);
}
