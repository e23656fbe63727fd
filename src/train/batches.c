/* batches.c: packing samples. */
#include "train/batches.h"

#include <string.h>

#include "nn/loss.h"

/* Evaluation's streams; training's are below 2^55. masking.c uses the bits from 56 on. */
#define EVALUATION_STREAM (UINT64_C(1) << 55)

/* A batch in the making: how large it will be, then its arrays. */
typedef struct Assembly
{
	const BertConfig *config;
	HeadKind head;
	const BatchMasks *masks;
	bool by_values;  /* labels are numbers, not classes */
	size_t n_values; /* of a sample */
	size_t sequences;
	size_t tokens;
	size_t labels;
	size_t longest; /* tokens of a sample */
	int32_t *cu_seqlens;
	int32_t *input_ids;
	int32_t *token_type_ids;
	int64_t *label_ids;
	float *values;
	size_t *rows;
	int64_t *row_labels;
	size_t *choice_offsets;
	int64_t *scratch; /* (longest) */
} Assembly;

static bool
allocate(Arena *arena, size_t n, Assembly *assembly, Status *status)
{
	size_t tokens = assembly->tokens;

	assembly->cu_seqlens = arena_alloc_array(arena, assembly->sequences + 1, sizeof(int32_t));
	assembly->input_ids = arena_alloc_array(arena, tokens, sizeof(int32_t));
	assembly->token_type_ids = arena_alloc_array(arena, tokens, sizeof(int32_t));
	assembly->label_ids = arena_alloc_array(arena, assembly->labels, sizeof(int64_t));
	assembly->values = arena_alloc_array(arena, n * assembly->n_values, sizeof(float));
	assembly->rows = arena_alloc_array(arena, tokens, sizeof(size_t));
	assembly->row_labels = arena_alloc_array(arena, tokens, sizeof(int64_t));
	assembly->choice_offsets = arena_alloc_array(arena, n + 1, sizeof(size_t));
	assembly->scratch = arena_alloc_array(arena, assembly->longest, sizeof(int64_t));
	if (assembly->cu_seqlens == NULL || assembly->input_ids == NULL ||
		assembly->token_type_ids == NULL || assembly->label_ids == NULL ||
		assembly->values == NULL || assembly->rows == NULL || assembly->row_labels == NULL ||
		assembly->choice_offsets == NULL || assembly->scratch == NULL)
		return arena_fail(arena, status, "a batch",
						  tokens * (2 * sizeof(int32_t) + sizeof(size_t) + 2 * sizeof(int64_t)));
	return true;
}

/* Where the config does not say, the first sample does, as in the reference. */
static bool
uses_values(const BertConfig *config, HeadKind head, const Sample *sample)
{
	if (head == HEAD_NONE)
		return sample->n_values > 0;
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
		case HEAD_NONE:
			return sample_shape(sample) == EMBEDDING_LABELS ? 1 : 0;
		default:
			return 0;
	}
}

static bool
check_sample(HeadKind head, const Sample *sample, bool by_values, size_t n_values, Status *status)
{
	if (sample->n_sequences == 0 ||
		(sample->n_sequences > 1 && head != HEAD_MULTIPLE_CHOICE && head != HEAD_NONE))
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "a sample of %u sequences is not for %s", sample->n_sequences,
						   head_kind_name(head));
	if (sample->n_labels < labels_of(head, sample, by_values) || sample->n_values < n_values)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "row %llu has %u labels and %u values, fewer than %s needs",
						   (unsigned long long) sample->row + 1, sample->n_labels, sample->n_values,
						   head_kind_name(head));
	return true;
}

/* The tokens that a language model predicts of the sample at `from`. */
static void
language_targets(const Assembly *assembly, const TrainSample *sample, size_t from,
				 HeadTargets *targets)
{
	const BatchMasks *masks = assembly->masks;
	size_t n = sample->sample->n_tokens;
	int32_t *ids = assembly->input_ids + from;
	MaskedText text = {ids, n, sample->sample->starts, sample->sample->ends};
	uint64_t stream;

	if (assembly->head == HEAD_CAUSAL_LM)
	{
		for (size_t t = 0; t + 1 < n; t++)
		{
			assembly->rows[targets->n_rows] = from + t;
			assembly->row_labels[targets->n_rows++] = ids[t + 1];
		}
		return;
	}
	stream = masks->by_sample ? EVALUATION_STREAM | (sample->id & (EVALUATION_STREAM - 1))
							  : masks->stream;
	masking_apply(&masks->options, masks->seed, stream, masks->by_sample ? 0 : from, &text,
				  assembly->scratch);
	for (size_t t = 0; t < n; t++)
		if (assembly->scratch[t] != LABEL_IGNORED)
		{
			assembly->rows[targets->n_rows] = from + t;
			assembly->row_labels[targets->n_rows++] = assembly->scratch[t];
		}
}

/* One class a row, with a teacher's logits beside it. */
static bool
is_taught(const Assembly *assembly, const Sample *sample)
{
	return assembly->head == HEAD_SEQUENCE_CLASSIFICATION && sample->n_labels == 1 &&
		   sample->n_values == (uint32_t) assembly->config->num_labels;
}

/* Checks the samples and adds up their sizes. */
static bool
measure(Assembly *assembly, const TrainSample *samples, size_t n, Status *status)
{
	if (n == 0)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "a batch without samples");
	assembly->by_values = uses_values(assembly->config, assembly->head, samples[0].sample);
	if (assembly->by_values && assembly->head == HEAD_NONE)
		assembly->n_values = samples[0].sample->n_values;
	else if (assembly->by_values || is_taught(assembly, samples[0].sample))
		assembly->n_values = (size_t) assembly->config->num_labels;
	for (size_t i = 0; i < n; i++)
	{
		const Sample *sample = samples[i].sample;

		if (!check_sample(assembly->head, sample, assembly->by_values, assembly->n_values, status))
			return false;
		if (assembly->head == HEAD_NONE && sample_shape(sample) != sample_shape(samples[0].sample))
			return status_fail(status, STATUS_INVALID_ARGUMENT, "samples of different kinds");
		assembly->sequences += sample->n_sequences;
		assembly->tokens += sample->n_tokens;
		assembly->labels += labels_of(assembly->head, sample, assembly->by_values);
		assembly->longest =
			sample->n_tokens > assembly->longest ? sample->n_tokens : assembly->longest;
	}
	if (assembly->tokens > INT32_MAX || assembly->sequences > INT32_MAX)
		return status_fail(status, STATUS_LIMIT, "the batch has %zu tokens", assembly->tokens);
	return true;
}

/* Puts sample i behind those before it; sequences, tokens and labels count what is there. */
static bool
append(Assembly *assembly, const TrainSample *samples, size_t i, HeadTargets *targets,
	   Status *status)
{
	const Sample *sample = samples[i].sample;
	size_t n_labels = labels_of(assembly->head, sample, assembly->by_values);
	size_t from = assembly->tokens;

	assembly->choice_offsets[i] = assembly->sequences;
	for (uint32_t s = 0; s < sample->n_sequences; s++)
	{
		assembly->tokens += sample->lengths[s];
		assembly->cu_seqlens[++assembly->sequences] = (int32_t) assembly->tokens;
	}
	if (assembly->tokens - from != sample->n_tokens)
		return status_fail(status, STATUS_INVALID_DATA, "the lengths of a sample do not add up");
	for (size_t t = 0; t < sample->n_tokens; t++)
	{
		assembly->input_ids[from + t] = sample->input_ids[t];
		assembly->token_type_ids[from + t] = sample->token_type_ids[t];
	}
	for (size_t l = 0; l < n_labels; l++)
		assembly->label_ids[assembly->labels++] = sample->labels[l];
	if (assembly->n_values > 0)
		memcpy(assembly->values + i * assembly->n_values, sample->values,
			   assembly->n_values * sizeof(float));
	if (head_has_vocabulary(assembly->head))
		language_targets(assembly, &samples[i], from, targets);
	return true;
}

bool
batch_assemble(const BatchRequest *request, const TrainSample *samples, size_t n, Arena *arena,
			   AssembledBatch *assembled, Status *status)
{
	Assembly assembly = {
		.config = request->config, .head = request->head, .masks = &request->masks};

	memset(assembled, 0, sizeof *assembled);
	if (!measure(&assembly, samples, n, status) || !allocate(arena, n, &assembly, status))
		return false;
	assembly.sequences = assembly.tokens = assembly.labels = 0;
	assembly.cu_seqlens[0] = 0;
	for (size_t i = 0; i < n; i++)
		if (!append(&assembly, samples, i, &assembled->targets, status))
			return false;
	assembly.choice_offsets[n] = assembly.sequences;
	assembled->sequence_offsets = assembly.choice_offsets;
	assembled->batch.n_sequences = assembly.sequences;
	assembled->batch.cu_seqlens = assembly.cu_seqlens;
	assembled->batch.input_ids = assembly.input_ids;
	assembled->batch.token_type_ids = assembly.token_type_ids;
	assembled->targets.labels = assembly.by_values ? NULL : assembly.label_ids;
	assembled->targets.next_sentence_label = assembly.label_ids;
	assembled->targets.values = assembly.values;
	assembled->targets.rows = assembly.rows;
	assembled->targets.row_labels = assembly.row_labels;
	assembled->targets.n_examples = n;
	assembled->n_values = assembly.n_values;
	assembled->targets.choice_offsets = assembly.choice_offsets;
	assembled->shape = sample_shape(samples[0].sample);
	return batch_validate(&assembled->batch, request->config, status);
}

EmbeddingExamples
batch_examples(const AssembledBatch *assembled)
{
	return (EmbeddingExamples){.n = assembled->targets.n_examples,
							   .offsets = assembled->sequence_offsets,
							   .scores = assembled->targets.values,
							   .targets = assembled->targets.values,
							   .target_columns = assembled->n_values,
							   .labels = assembled->targets.labels,
							   .labelled = assembled->shape == EMBEDDING_LABELS};
}

bool
batch_unpooled(const AssembledBatch *assembled, const size_t unpooled[EMBEDDING_PROMPT_COUNT],
			   Arena *arena, size_t **skip, Status *status)
{
	const int32_t *cu_seqlens = assembled->batch.cu_seqlens;
	bool any = false;

	*skip = NULL;
	for (int i = 0; i < EMBEDDING_PROMPT_COUNT; i++)
		any |= unpooled[i] > 0;
	if (!any)
		return true;
	*skip = arena_alloc_array(arena, assembled->batch.n_sequences, sizeof **skip);
	if (*skip == NULL)
		return arena_fail(arena, status, "tokens to pool",
						  assembled->batch.n_sequences * sizeof **skip);
	for (size_t e = 0; e < assembled->targets.n_examples; e++)
		for (size_t s = assembled->sequence_offsets[e]; s < assembled->sequence_offsets[e + 1]; s++)
		{
			size_t length = (size_t) (cu_seqlens[s + 1] - cu_seqlens[s]);
			size_t prompt =
				unpooled[embedding_prompt(assembled->shape, s - assembled->sequence_offsets[e])];

			(*skip)[s] = prompt < length ? prompt : length - 1;
		}
	return true;
}

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

MaskingOptions
batch_masking_options(const BertConfig *config, const Tokenizer *tokenizer, double probability,
					  bool whole_words)
{
	return (MaskingOptions){.probability = probability,
							.whole_words = whole_words,
							.mask_id = tokenizer == NULL ? 0 : tokenizer_mask_id(tokenizer),
							.vocab_size = config->vocab_size,
							.is_special = is_special,
							.is_continuation = is_continuation,
							.context = tokenizer};
}

bool
batch_row_offsets(const AssembledBatch *assembled, HeadKind head, Arena *arena, size_t **offsets,
				  Status *status)
{
	size_t n = assembled->targets.n_examples;
	bool by_tokens = head == HEAD_TOKEN_CLASSIFICATION || head == HEAD_QUESTION_ANSWERING;

	*offsets = arena_alloc_array(arena, n + 1, sizeof **offsets);
	if (*offsets == NULL)
		return arena_fail(arena, status, "predictions", (n + 1) * sizeof **offsets);
	for (size_t i = 0; i <= n; i++)
		(*offsets)[i] = by_tokens
							? (size_t) assembled->batch.cu_seqlens[assembled->sequence_offsets[i]]
							: assembled->sequence_offsets[i];
	return true;
}
