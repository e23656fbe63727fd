/* batch.c: inputs to tokens, groups of inputs, and running the model on them. */
#include "pg/server/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "core/bulk.h"
#include "core/names.h"
#include "nn/windows.h"
#include "pg/server/settings.h"
#include "pg/infer/batch.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"

/* Tokens computed at once: enough to keep the GEMMs busy, little enough for the caches. */
#define TOKENS_PER_BATCH 1024
#define TEXTS_PER_GROUP 1024

Overflow
overflow_argument(FunctionCallInfo fcinfo, int argument)
{
	static const char *const names[] = {"truncate", "window", "error"};
	Status status;
	int overflow = OVERFLOW_TRUNCATE;

	if (!PG_ARGISNULL(argument))
	{
		overflow = name_parse(text_to_cstring(PG_GETARG_TEXT_PP(argument)), "overflow", names,
							  lengthof(names), &status);
		REPORT_UNLESS(overflow >= 0, &status);
	}
	return (Overflow) overflow;
}

static size_t
count_tokens(Call *call, const InputText *input)
{
	size_t count;
	Status status;

	REPORT_UNLESS(tokenizer_count(call->handle->tokenizer, call->arena, input->utf8, input->length,
								  &backend_may_continue, &count, &status),
				  &status);
	return count;
}

static void
encode(Call *call, const InputText *input, const InputText *pair, const EncodeOptions *options,
	   EncodeResult *encoded)
{
	Status status;

	REPORT_UNLESS(tokenizer_encode(call->handle->tokenizer, call->arena,
								   &(EncodeInput){input->utf8, input->length,
												  pair == NULL ? NULL : pair->utf8,
												  pair == NULL ? 0 : pair->length},
								   options, &backend_may_continue, encoded, &status),
				  &status);
}

static void
refuse_overflow(Call *call, const InputText *input, const InputText *pair, bool by_choice)
{
	size_t count = count_tokens(call, input) + 2;

	if (pair != NULL)
		count += count_tokens(call, pair) + 1;
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("the input of %zu tokens is longer than the %d that model \"%s\" reads", count,
					call->handle->max_length, call->handle->name),
			 by_choice
				 ? errhint("Cut the text with bert.chunk, or use overflow truncate or window.")
				 : errhint("Cut the text with bert.chunk.")));
}

/* Windows over the longer of two texts, each with the whole of the shorter. */
static void
pair_windows(Call *call, const InputText *input, const InputText *pair, EncodeOptions *options)
{
	size_t first = count_tokens(call, input);
	size_t second = count_tokens(call, pair);

	if (Min(first, second) + 3 >= (size_t) options->max_length)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("texts of %zu and %zu tokens cannot be read in windows of %d tokens",
							   first, second, options->max_length),
						errdetail("A window holds the shorter text whole."),
						errhint("Use overflow truncate.")));
	options->truncation = first > second ? TRUNCATE_ONLY_FIRST : TRUNCATE_ONLY_SECOND;
}

static int64
tokens_of(const EncodeResult *encoded)
{
	int64 tokens = 0;

	for (size_t w = 0; w < encoded->n_windows; w++)
		tokens += (int64) encoded->windows[w].n;
	return tokens;
}

static void *
take(Call *call, size_t count, size_t size, const char *what)
{
	void *memory = arena_alloc_array(call->arena, count, size);
	Status status;

	if (memory == NULL)
	{
		arena_fail(call->arena, &status, what, count * size);
		report_status(&status);
	}
	return memory;
}

/* The text with the call's prompt before it. */
static InputText
put_prompt(Call *call, const InputText *input)
{
	size_t length = strlen(call->prompt);
	char *bytes = take(call, length + input->length + 1, 1, "a text with its prompt");
	InputText prompted = *input;

	memcpy(bytes, call->prompt, length);
	memcpy(bytes + length, input->utf8, input->length);
	prompted.bytes = prompted.utf8 = bytes;
	prompted.n_bytes = prompted.length = length + input->length;
	return prompted;
}

void
encode_input(Call *call, const InputText *input, const InputText *pair, Overflow overflow,
			 EncodeResult *encoded)
{
	EncodeOptions options = {.special_tokens = true,
							 .truncation = TRUNCATE_LONGEST_FIRST,
							 .max_length = call->handle->max_length};
	InputText prompted;

	if (pair == NULL && call->prompt[0] != '\0')
	{
		prompted = put_prompt(call, input);
		input = &prompted;
	}
	encode(call, input, pair, &options, encoded);
	if (encoded->truncated && overflow >= OVERFLOW_ERROR)
		refuse_overflow(call, input, pair, overflow == OVERFLOW_ERROR);
	if (encoded->truncated && overflow == OVERFLOW_WINDOW)
	{
		options.truncation = TRUNCATE_ONLY_FIRST;
		options.overflow = true;
		if (pair != NULL)
			pair_windows(call, input, pair, &options);
		encode(call, input, pair, &options, encoded);
	}
	else if (encoded->truncated)
		call->truncations++;
	call->texts++;
	call->tokens += tokens_of(encoded);
}

int
window_stride(const ModelHandle *handle, int wanted)
{
	int room = handle->max_length - 2;

	return wanted < room ? wanted : room / 2;
}

void
encode_windows(Call *call, const InputText *input, int stride, EncodeResult *encoded)
{
	EncodeOptions options = {.special_tokens = true,
							 .truncation = TRUNCATE_ONLY_FIRST,
							 .max_length = call->handle->max_length,
							 .stride = stride,
							 .overflow = true};

	encode(call, input, NULL, &options, encoded);
	call->texts++;
	call->tokens += tokens_of(encoded);
}

static void
copy_windows(Encoding *to, const Encoding *from, size_t n)
{
	Status status;

	REPORT_UNLESS(bulk_copy(to, from, n * sizeof *to, &backend_may_continue, &status), &status);
}

/* The arrays grow by doubling; what is left behind is freed with the group. */
static void
add_windows(Call *call, EncodeResult *all, size_t *capacity, const EncodeResult *one)
{
	if (all->n_windows + one->n_windows > *capacity)
	{
		Encoding *larger;

		*capacity = Max(2 * *capacity, all->n_windows + one->n_windows);
		larger = take(call, *capacity, sizeof(Encoding), "a batch of texts");
		copy_windows(larger, all->windows, all->n_windows);
		all->windows = larger;
	}
	copy_windows(all->windows + all->n_windows, one->windows, one->n_windows);
	all->n_windows += one->n_windows;
}

void
inputs_of_array(ArrayType *array, TextInputs *inputs)
{
	Datum *values;
	bool *nulls;

	memset(inputs, 0, sizeof *inputs);
	text_elements(array, &values, &nulls, &inputs->n);
	inputs->values = values;
	inputs->nulls = nulls;
}

void
pairs_of_array(ArrayType *array, TextInputs *inputs)
{
	TextInputs pairs;

	inputs_of_array(array, &pairs);
	if (pairs.n != inputs->n)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("inputs has %d elements, but pairs has %d", inputs->n, pairs.n),
						errhint("Give one for each input, NULL for an input without a pair.")));
	inputs->pairs = pairs.values;
	inputs->pair_nulls = pairs.nulls;
}

/* Input i, which is not NULL, with its pair or prefix. */
static void
encode_input_at(Call *call, const TextInputs *inputs, int i, Overflow overflow,
				EncodeResult *encoded)
{
	InputText input;
	InputText pair;
	bool has_pair = inputs->pairs != NULL && !inputs->pair_nulls[i];

	call->reading = i;
	input_text(DatumGetTextPP(inputs->values[i]), &input);
	if (has_pair)
		input_text(DatumGetTextPP(inputs->pairs[i]), &pair);
	call->reading = -1;
	if (inputs->prefix != NULL)
		encode_input(call, inputs->prefix, &input, overflow, encoded);
	else
		encode_input(call, &input, has_pair ? &pair : NULL, overflow, encoded);
}

void
texts_in_groups(Call *call, const TextInputs *inputs, Overflow overflow, GroupTake take_group,
				void *context)
{
	int next = 0;

	while (next < inputs->n)
	{
		ArenaMark mark = arena_mark(call->arena);
		size_t *first_window = take(call, TEXTS_PER_GROUP + 1, sizeof(size_t), "a batch of texts");
		size_t capacity = 256;
		int64 tokens = call->tokens;
		TextGroup group = {0,
						   first_window,
						   {0, take(call, capacity, sizeof(Encoding), "a batch of texts"), false}};

		first_window[0] = 0;
		while (next < inputs->n && group.n_texts < TEXTS_PER_GROUP &&
			   call->tokens - tokens < TOKENS_PER_BATCH)
		{
			if (!inputs->nulls[next])
			{
				EncodeResult encoded;

				encode_input_at(call, inputs, next, overflow, &encoded);
				add_windows(call, &group.encoded, &capacity, &encoded);
			}
			first_window[++group.n_texts] = group.encoded.n_windows;
			next++;
		}
		take_group(context, call, &group);
		arena_rewind(call->arena, mark);
		CHECK_FOR_INTERRUPTS();
	}
}

void
check_memory(Call *call, const BertModel *model, const Batch *batch, const ForwardWants *wants,
			 size_t n_rows)
{
	size_t bytes;
	size_t head_bytes = 0;
	size_t limit = memory_limit();
	Status status;

	REPORT_UNLESS(encoder_forward_memory(model, batch, wants, &bytes, &status), &status);
	if (n_rows > 0)
		REPORT_UNLESS(head_forward_memory(model, n_rows, &head_bytes, &status), &status);
	if (bytes > limit || head_bytes > limit - bytes)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("the call needs %zu MB of memory, %s is %zu MB",
							   bytes / 1048576 + head_bytes / 1048576 + 1, memory_limit_name(),
							   limit / 1048576),
						errhint("Raise %s, or give fewer or shorter inputs at a time.",
								memory_limit_name())));
}

/* Windows that went through the encoder together. */
typedef struct EncodedBatch
{
	size_t count;
	Batch batch;
	EncoderOutput states;
} EncodedBatch;

/* As many windows from the first on as are worth computing together, through the encoder. */
static void
encode_states(Call *call, const BertModel *model, const EncodeResult *encoded, size_t first,
			  const ForwardWants *wants, EncodedBatch *out)
{
	Status status;

	out->count = windows_in_budget(encoded, first, TOKENS_PER_BATCH);
	REPORT_UNLESS(windows_batch(encoded, first, out->count, call->arena, &out->batch, &status),
				  &status);
	check_memory(call, model, &out->batch, wants, 0);
	REPORT_UNLESS(encoder_forward(model, &out->batch, wants, call->arena, &out->states,
								  &backend_may_continue, &status),
				  &status);
}

/* rows (windows, n) become (texts, n): the mean over each text's windows, in place. */
static void
average_windows(const TextGroup *group, float *rows, size_t n)
{
	double *sum = palloc(n * sizeof *sum);

	for (size_t t = 0; t < group->n_texts; t++)
	{
		size_t first = group->first_window[t];
		size_t count = group->first_window[t + 1] - first;

		if (count == 0)
			continue;
		memset(sum, 0, n * sizeof *sum);
		for (size_t w = 0; w < count; w++)
		{
			CHECK_FOR_INTERRUPTS();
			for (size_t i = 0; i < n; i++)
				sum[i] += rows[(first + w) * n + i];
		}
		for (size_t i = 0; i < n; i++)
			rows[first * n + i] = (float) (sum[i] / (double) count);
	}
	pfree(sum);
}

/*
 * Moves each text's row from its first window's place to its own; a NULL text's row is not to be
 * read.
 */
static float *
rows_by_text(Call *call, const TextGroup *group, float *rows, size_t n)
{
	float *out;

	if (group->n_texts == group->encoded.n_windows)
	{
		bool in_place = true;

		for (size_t t = 0; t < group->n_texts; t++)
			in_place = in_place && group->first_window[t] == t;
		if (in_place)
			return rows;
	}
	out = take(call, group->n_texts * n, sizeof(float), "results");
	for (size_t t = 0; t < group->n_texts; t++)
		if (group->first_window[t + 1] > group->first_window[t])
			memcpy(out + t * n, rows + group->first_window[t] * n, n * sizeof(float));
	return out;
}

static bool
has_windows(const TextGroup *group)
{
	for (size_t t = 0; t < group->n_texts; t++)
		if (group->first_window[t + 1] - group->first_window[t] > 1)
			return true;
	return false;
}

float *
group_embeddings(Call *call, const BertModel *model, const TextGroup *group, Pooling pooling,
				 bool normalize)
{
	const EncodeResult *encoded = &group->encoded;
	size_t hidden = (size_t) call->handle->config.hidden_size;
	/* (windows, H) */
	float *rows = take(call, encoded->n_windows * hidden, sizeof(float), "embeddings");
	ForwardWants wants = {0}; /* pool_forward has a pooler of its own */
	EncodedBatch part;
	Status status;

	for (size_t first = 0; first < encoded->n_windows; first += part.count)
	{
		ArenaMark mark = arena_mark(call->arena);

		encode_states(call, model, encoded, first, &wants, &part);
		REPORT_UNLESS(pool_forward(model, &part.batch, part.states.last_hidden_state, pooling,
								   call->arena, rows + first * hidden, &status),
					  &status);
		arena_rewind(call->arena, mark);
	}
	if (has_windows(group))
		average_windows(group, rows, hidden);
	if (normalize)
		for (size_t t = 0; t < group->n_texts; t++)
			if (group->first_window[t + 1] > group->first_window[t])
				normalize_rows(1, hidden, rows + group->first_window[t] * hidden);
	return rows_by_text(call, group, rows, hidden);
}

float *
group_logits(Call *call, const BertModel *model, const TextGroup *group, size_t *columns)
{
	const EncodeResult *encoded = &group->encoded;
	HeadKind head = bert_model_head(model);
	ForwardWants wants = head_wants(head);
	float *rows; /* (windows, columns) */
	EncodedBatch part;
	size_t no_rows[1];
	Status status;

	*columns = head == HEAD_SEQUENCE_CLASSIFICATION ? (size_t) call->handle->config.num_labels
			   : head == HEAD_MULTIPLE_CHOICE       ? 1
													: 2;
	rows = take(call, encoded->n_windows * *columns, sizeof(float), "logits");
	for (size_t first = 0; first < encoded->n_windows; first += part.count)
	{
		ArenaMark mark = arena_mark(call->arena);
		HeadOutput output;

		encode_states(call, model, encoded, first, &wants, &part);
		REPORT_UNLESS(head_forward(model,
								   &(HeadInput){&part.batch, &part.states,
												head == HEAD_PRETRAINING ? no_rows : NULL, 0},
								   call->arena, &output, &backend_may_continue, &status),
					  &status);
		if (head != HEAD_PRETRAINING && output.n_columns != *columns)
			elog(ERROR, "%zu logits for %zu labels", output.n_columns, *columns);
		memcpy(rows + first * *columns,
			   head == HEAD_PRETRAINING ? output.seq_relationship_logits : output.logits,
			   part.count * *columns * sizeof(float));
		arena_rewind(call->arena, mark);
	}
	if (has_windows(group))
		average_windows(group, rows, *columns);
	return rows_by_text(call, group, rows, *columns);
}

TextGroup
single_group(const EncodeResult *encoded, size_t first_window[2])
{
	TextGroup group = {1, first_window, *encoded};

	first_window[0] = 0;
	first_window[1] = encoded->n_windows;
	return group;
}
