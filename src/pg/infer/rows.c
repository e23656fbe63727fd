/* rows.c: texts to rows: what is remembered, what is computed together, windows to texts. */
#include "pg/server/compat.h"

#include "miscadmin.h"

#include "core/bulk.h"
#include "nn/splade.h"
#include "nn/windows.h"
#include "pg/infer/embedding.h"
#include "pg/infer/memo.h"
#include "pg/infer/rows.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"
#include "pg/server/progress.h"

/* Tokens computed at once: enough to keep the GEMMs busy, little enough for the caches. */
#define TOKENS_PER_BATCH 1024
#define TEXTS_PER_GROUP 1024
/* What a group's rows may take, unless it is one text. */
#define BYTES_PER_GROUP ((size_t) 512 * 1024)
/* Of a group's table of keys, a power of two over TEXTS_PER_GROUP. */
#define KEY_SLOTS 2048

/* Texts in windows; text i has the windows first_window[i] .. first_window[i + 1] - 1. */
typedef struct WindowedTexts
{
	size_t n_texts;
	size_t *first_window; /* (n_texts + 1) */
	EncodeResult encoded;
	size_t capacity; /* of encoded.windows */
} WindowedTexts;

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

/* --- Computing --- */

/* Windows that went through the encoder together. */
typedef struct EncodedBatch
{
	size_t count;
	Batch batch;
	EncoderOutput states;
} EncodedBatch;

/* Of one text they are what bert.progress counts. */
static void
tell_windows(const Call *call, size_t done)
{
	if (call->tells_windows)
		progress_set((int64) done);
}

/*
 * As many windows from the first on as are worth computing together, and as there is memory for,
 * through the encoder.
 */
static void
encode_states(Call *call, const BertModel *model, const EncodeResult *encoded, size_t first,
			  const ForwardWants *wants, EncodedBatch *out)
{
	Status status;

	out->count = windows_in_budget(encoded, first, TOKENS_PER_BATCH);
	for (;;)
	{
		ArenaMark mark = arena_mark(call->arena);

		REPORT_UNLESS(windows_batch(encoded, first, out->count, call->arena, &out->batch, &status),
					  &status);
		if (out->count == 1 || memory_suffices(model, &out->batch, wants))
			break;
		arena_rewind(call->arena, mark);
		out->count = (out->count + 1) / 2;
	}
	check_memory(call, model, &out->batch, wants, 0);
	REPORT_UNLESS(encoder_forward(model, &out->batch, wants, call->arena, &out->states,
								  &backend_may_continue, &status),
				  &status);
}

/* rows (windows, n) become (texts, n): the mean over each text's windows, in place. */
static void
average_windows(const WindowedTexts *texts, float *rows, size_t n)
{
	double *sum = palloc(n * sizeof *sum);

	for (size_t t = 0; t < texts->n_texts; t++)
	{
		size_t first = texts->first_window[t];
		size_t count = texts->first_window[t + 1] - first;

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

/* Moves each text's row from its first window's place to its own. */
static float *
rows_by_text(Call *call, const WindowedTexts *texts, float *rows, size_t n)
{
	float *out;

	if (texts->n_texts == texts->encoded.n_windows)
	{
		bool in_place = true;

		for (size_t t = 0; t < texts->n_texts; t++)
			in_place = in_place && texts->first_window[t] == t;
		if (in_place)
			return rows;
	}
	out = call_take(call, texts->n_texts * n, sizeof(float), "results");
	for (size_t t = 0; t < texts->n_texts; t++)
		if (texts->first_window[t + 1] > texts->first_window[t])
			memcpy(out + t * n, rows + texts->first_window[t] * n, n * sizeof(float));
	return out;
}

static bool
has_windows(const WindowedTexts *texts)
{
	for (size_t t = 0; t < texts->n_texts; t++)
		if (texts->first_window[t + 1] - texts->first_window[t] > 1)
			return true;
	return false;
}

/* (windows) how many tokens of each are not pooled; NULL: none */
static const size_t *
unpooled_tokens(Call *call, const WindowedTexts *texts)
{
	const EncodeResult *encoded = &texts->encoded;
	size_t *skip;

	if (call->unpooled_tokens == 0)
		return NULL;
	skip = call_take(call, encoded->n_windows, sizeof *skip, "tokens to pool");
	memset(skip, 0, encoded->n_windows * sizeof *skip);
	for (size_t t = 0; t < texts->n_texts; t++)
	{
		size_t first = texts->first_window[t];

		/* the last token is pooled in any case; later windows begin without the prompt */
		skip[first] = Min(call->unpooled_tokens, encoded->windows[first].n - 1);
	}
	return skip;
}

static void
compute_embeddings(Call *call, const RowsWanted *wanted, const WindowedTexts *texts, float *rows,
				   size_t columns)
{
	const EncodeResult *encoded = &texts->encoded;
	const size_t *skip = unpooled_tokens(call, texts);
	size_t pooled_columns = (size_t) wanted->pooling.n * (size_t) call->handle->config.hidden_size;
	bool dense =
		call->handle->config.n_dense > 0 && !splade_has_query_weights(&call->handle->config);
	/* pool_forward has a pooler of its own */
	ForwardWants wants = {.first_tokens =
							  skip == NULL && pooling_modes_read_first(&wanted->pooling)};
	EncodedBatch part;
	Status status;

	for (size_t first = 0; first < encoded->n_windows; first += part.count)
	{
		ArenaMark mark = arena_mark(call->arena);
		PoolCall pool = {&wanted->pooling, skip == NULL ? NULL : skip + first};
		float *out = rows + first * columns;
		float *pooled;

		tell_windows(call, first);
		encode_states(call, wanted->model, encoded, first, &wants, &part);
		pooled =
			dense ? call_take(call, part.count * pooled_columns, sizeof(float), "poolings") : out;
		REPORT_UNLESS(pool_forward(wanted->model, &part.batch, part.states.last_hidden_state, &pool,
								   call->arena, pooled, &status) &&
						  (!dense || dense_forward(wanted->model, part.count, pooled, out,
												   call->arena, &backend_may_continue, &status)),
					  &status);
		arena_rewind(call->arena, mark);
	}
}

static void
compute_logits(Call *call, const RowsWanted *wanted, const WindowedTexts *texts, float *rows,
			   size_t columns)
{
	const EncodeResult *encoded = &texts->encoded;
	HeadKind head = bert_model_head(wanted->model);
	ForwardWants wants = head_wants(wanted->model);
	EncodedBatch part;
	size_t no_rows[1];
	Status status;

	/* as all heads with one row a text do, but for those that read the embedding */
	wants.first_tokens = !bert_model_config(wanted->model)->classifies_embedding;
	for (size_t first = 0; first < encoded->n_windows; first += part.count)
	{
		ArenaMark mark = arena_mark(call->arena);
		HeadOutput output;

		tell_windows(call, first);
		encode_states(call, wanted->model, encoded, first, &wants, &part);
		REPORT_UNLESS(head_forward(wanted->model,
								   &(HeadInput){&part.batch, &part.states,
												head == HEAD_PRETRAINING ? no_rows : NULL, 0},
								   call->arena, &output, &backend_may_continue, &status),
					  &status);
		if (head != HEAD_PRETRAINING && output.n_columns != columns)
			elog(ERROR, "%zu logits for %zu labels", output.n_columns, columns);
		memcpy(rows + first * columns,
			   head == HEAD_PRETRAINING ? output.seq_relationship_logits : output.logits,
			   part.count * columns * sizeof(float));
		arena_rewind(call->arena, mark);
	}
}

static void
compute_weights(Call *call, const RowsWanted *wanted, const WindowedTexts *texts, float *rows,
				size_t columns)
{
	const EncodeResult *encoded = &texts->encoded;
	ForwardWants wants = head_wants(wanted->model);
	EncodedBatch part;
	Status status;

	arena_set_question(call->arena, &backend_may_continue);
	for (size_t first = 0; first < encoded->n_windows; first += part.count)
	{
		ArenaMark mark = arena_mark(call->arena);

		tell_windows(call, first);
		encode_states(call, wanted->model, encoded, first, &wants, &part);
		check_memory(call, wanted->model, &part.batch, &wants, SPLADE_ROWS);
		REPORT_UNLESS(splade_forward(wanted->model, &part.batch, &part.states, &wanted->splade,
									 call->arena, rows + first * columns, &status),
					  &status);
		arena_rewind(call->arena, mark);
	}
}

RowsWanted
want_weights(ModelHandle *handle, Overflow overflow)
{
	RowsWanted wanted = {.overflow = overflow, .splade = handle->sentence.splade};

	if (wanted.splade.pooling == SPLADE_NONE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("model \"%s\" is no sparse encoder", handle->name),
						errhint("Import a SPLADE model, with its modules.json, and name it.")));
	wanted.model = model_handle_bind(handle, handle->head == HEAD_PRETRAINING ? HEAD_PRETRAINING
																			  : HEAD_MASKED_LM);
	return wanted;
}

RowsWanted
want_embeddings(ModelHandle *handle, Overflow overflow)
{
	return (RowsWanted){.model = model_handle_bind(handle, HEAD_NONE),
						.pooling = handle->sentence.pooling,
						.normalize = embeds_normalized(handle),
						.overflow = overflow};
}

size_t
row_columns(const Call *call, const RowsWanted *wanted)
{
	if (wanted->splade.pooling != SPLADE_NONE)
		return (size_t) call->handle->config.vocab_size;
	switch (bert_model_head(wanted->model))
	{
		case HEAD_NONE:
			return (size_t) sentence_dimensions(&call->handle->config, &wanted->pooling);
		case HEAD_SEQUENCE_CLASSIFICATION:
			return (size_t) call->handle->config.num_labels;
		case HEAD_MULTIPLE_CHOICE:
			return 1;
		default:
			return 2; /* next sentence */
	}
}

/* (texts, columns), in the arena. */
static float *
compute_rows(Call *call, const RowsWanted *wanted, const WindowedTexts *texts)
{
	size_t columns = row_columns(call, wanted);
	bool embeddings = bert_model_head(wanted->model) == HEAD_NONE;
	/* (windows, columns) */
	float *rows = call_take(call, texts->encoded.n_windows * columns, sizeof(float), "results");

	if (wanted->splade.pooling != SPLADE_NONE)
		compute_weights(call, wanted, texts, rows, columns);
	else if (embeddings)
		compute_embeddings(call, wanted, texts, rows, columns);
	else
		compute_logits(call, wanted, texts, rows, columns);
	if (has_windows(texts))
		average_windows(texts, rows, columns);
	if (embeddings && wanted->normalize)
		for (size_t t = 0; t < texts->n_texts; t++)
			normalize_rows(1, columns, rows + texts->first_window[t] * columns);
	return rows_by_text(call, texts, rows, columns);
}

/* --- Remembering --- */

/*
 * The hash of all that decides a call's rows beside their texts, whole blocks of it: what follows
 * for a short text is one block. The model stands for its head and kernels, too.
 */
static void
hash_call(const Call *call, const RowsWanted *wanted, Sha256 *hash)
{
	union
	{
		struct
		{
			uint64 serial, prompt;
			const BertModel *model;
			int normalize, overflow, splade, twice;
			char pooling[POOLING_TEXT_BYTES];
		} of;
		char blocks[128];
	} fixed;
	static const char filling[64];

	StaticAssertStmt(sizeof fixed == sizeof fixed.blocks, "what decides rows fits two blocks");
	memset(&fixed, 0, sizeof fixed);
	fixed.of.serial = call->handle->serial;
	fixed.of.prompt = strlen(call->prompt);
	fixed.of.model = wanted->model;
	pooling_modes_print(&wanted->pooling, fixed.of.pooling);
	fixed.of.normalize = wanted->normalize;
	fixed.of.overflow = (int) wanted->overflow;
	fixed.of.splade = (int) wanted->splade.pooling;
	fixed.of.twice = wanted->splade.twice;
	sha256_init(hash);
	sha256_update(hash, &fixed, sizeof fixed);
	sha256_update(hash, call->prompt, fixed.of.prompt);
	sha256_update(hash, filling, (64 - fixed.of.prompt % 64) % 64);
}

/* of_call: by hash_call. False: the row is not to be remembered. */
static bool
make_key(const Sha256 *of_call, const InputText *input, const InputText *pair, MemoKey *key)
{
	uint64 lengths[2] = {input->length, pair == NULL ? UINT64_MAX : pair->length};
	Sha256 hash = *of_call;

	if (!memo_enabled() || input->length > MEMO_MAX_TEXT ||
		(pair != NULL && pair->length > MEMO_MAX_TEXT))
		return false;
	sha256_update(&hash, lengths, sizeof lengths);
	sha256_update(&hash, input->utf8, input->length);
	if (pair != NULL)
		sha256_update(&hash, pair->utf8, pair->length);
	sha256_final(&hash, key->bytes);
	return true;
}

float *
text_row(Call *call, const RowsWanted *wanted, const InputText *input, const InputText *pair)
{
	size_t first_window[2] = {0, 0};
	WindowedTexts texts = {1, first_window, {0}, 0};
	size_t columns = row_columns(call, wanted);
	int64 truncations = call->counted.truncations;
	Sha256 of_call;
	MemoKey key;
	bool keyed;
	MemoRow found;
	float *row;

	hash_call(call, wanted, &of_call);
	keyed = make_key(&of_call, input, pair, &key);
	if (keyed && memo_find(&key, !call->ahead, &found))
	{
		row = call_take(call, columns, sizeof(float), "results");
		memcpy(row, found.bytes, columns * sizeof(float));
		call_count_remembered(call, found.truncated, found.ahead);
		return row;
	}
	encode_input(call, input, pair, wanted->overflow, &texts.encoded);
	first_window[1] = texts.encoded.n_windows;
	call->tells_windows = call->told;
	if (call->told)
		progress_phase("computing", "windows", (int64) texts.encoded.n_windows);
	row = compute_rows(call, wanted, &texts);
	call->tells_windows = false;
	if (keyed)
		memo_store(&key, &(MemoRow){row, columns * sizeof(float),
									call->counted.truncations > truncations, false});
	return row;
}

/* --- Groups --- */

#define IS_NULL (-1)
#define IS_REMEMBERED (-2)

/* Where a text's row comes from. */
typedef struct Place
{
	int computed; /* number of the one that is computed; or IS_NULL, IS_REMEMBERED */
	const float *remembered;
} Place;

typedef struct TextGroup
{
	size_t n_texts;
	Place *places; /* (TEXTS_PER_GROUP) */
	bool *nulls;   /* (TEXTS_PER_GROUP) */
	WindowedTexts computed;
	Sha256 of_call;  /* of all their keys */
	MemoKey *keys;   /* of the computed ones (TEXTS_PER_GROUP); NULL: nothing is remembered */
	bool *keyed;     /* (TEXTS_PER_GROUP) */
	bool *truncated; /* (TEXTS_PER_GROUP) */
	uint16 *slots;   /* (KEY_SLOTS) hash table: number of a computed one, plus one; 0 is free */
} TextGroup;

static void
group_begin(Call *call, const RowsWanted *wanted, TextGroup *group)
{
	bool remembers = memo_enabled();

	memset(group, 0, sizeof *group);
	group->computed.first_window =
		call_take(call, TEXTS_PER_GROUP + 1, sizeof(size_t), "a batch of texts");
	group->computed.first_window[0] = 0;
	group->computed.capacity = 256;
	group->computed.encoded.windows =
		call_take(call, group->computed.capacity, sizeof(Encoding), "a batch of texts");
	group->places = call_take(call, TEXTS_PER_GROUP, sizeof(Place), "a batch of texts");
	group->nulls = call_take(call, 3 * TEXTS_PER_GROUP, sizeof(bool), "a batch of texts");
	group->keyed = group->nulls + TEXTS_PER_GROUP;
	group->truncated = group->keyed + TEXTS_PER_GROUP;
	if (remembers)
	{
		group->keys = call_take(call, TEXTS_PER_GROUP, sizeof(MemoKey), "a batch of texts");
		group->slots = call_take(call, KEY_SLOTS, sizeof(uint16), "a batch of texts");
		memset(group->slots, 0, KEY_SLOTS * sizeof(uint16));
		hash_call(call, wanted, &group->of_call);
	}
}

/* The slot of the key, or the free one where it would be. */
static uint16 *
find_slot(const TextGroup *group, const MemoKey *key)
{
	uint32 hash;

	memcpy(&hash, key, sizeof hash);
	for (;; hash++)
	{
		uint16 *slot = &group->slots[hash % KEY_SLOTS];

		if (*slot == 0 || memcmp(&group->keys[*slot - 1], key, sizeof *key) == 0)
			return slot;
	}
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
		larger = call_take(call, *capacity, sizeof(Encoding), "a batch of texts");
		copy_windows(larger, all->windows, all->n_windows);
		all->windows = larger;
	}
	copy_windows(all->windows + all->n_windows, one->windows, one->n_windows);
	all->n_windows += one->n_windows;
}

/* Looks whether the row is there, or is to be computed already; else has it computed. */
static void
group_add(Call *call, TextGroup *group, const RowsWanted *wanted, const InputText *input,
		  const InputText *pair)
{
	Place *place = &group->places[group->n_texts];
	int64 truncations = call->counted.truncations;
	size_t n = group->computed.n_texts;
	EncodeResult encoded;
	MemoKey key;
	MemoRow found;
	uint16 *slot = NULL;

	if (group->keys != NULL && make_key(&group->of_call, input, pair, &key))
	{
		if (memo_find(&key, !call->ahead, &found))
		{
			*place = (Place){IS_REMEMBERED, found.bytes};
			call_count_remembered(call, found.truncated, found.ahead);
			return;
		}
		slot = find_slot(group, &key);
		if (*slot != 0)
		{
			place->computed = *slot - 1;
			call_count_duplicate(call, group->truncated[*slot - 1]);
			return;
		}
	}
	encode_input(call, input, pair, wanted->overflow, &encoded);
	add_windows(call, &group->computed.encoded, &group->computed.capacity, &encoded);
	group->computed.first_window[n + 1] = group->computed.encoded.n_windows;
	group->truncated[n] = call->counted.truncations > truncations;
	group->keyed[n] = slot != NULL;
	if (group->keyed[n])
	{
		group->keys[n] = key;
		*slot = (uint16) (n + 1);
	}
	else if (group->keys != NULL)
		memset(&group->keys[n], 0, sizeof key);
	place->computed = (int) n;
	group->computed.n_texts++;
}

/* Input i, which is not NULL, with its pair or prefix. */
static void
group_add_input(Call *call, TextGroup *group, const RowsWanted *wanted, const TextInputs *inputs,
				int i)
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
		group_add(call, group, wanted, inputs->prefix, &input);
	else
		group_add(call, group, wanted, &input, has_pair ? &pair : NULL);
}

/* The rows of all texts: computed ones and remembered ones, which are then where they may move. */
static void
group_rows(Call *call, const TextGroup *group, const RowsWanted *wanted, TextRows *out)
{
	size_t columns = row_columns(call, wanted);
	float *computed = compute_rows(call, wanted, &group->computed);

	*out = (TextRows){group->n_texts, columns, computed, group->nulls};
	if (group->computed.n_texts < group->n_texts)
	{
		out->rows = call_take(call, group->n_texts * columns, sizeof(float), "results");
		for (size_t t = 0; t < group->n_texts; t++)
		{
			const Place *place = &group->places[t];

			if (place->computed != IS_NULL)
				memcpy(out->rows + t * columns,
					   place->computed == IS_REMEMBERED
						   ? place->remembered
						   : computed + (size_t) place->computed * columns,
					   columns * sizeof(float));
		}
	}
	for (size_t i = 0; i < group->computed.n_texts; i++)
		if (group->keyed[i])
			memo_store(&group->keys[i], &(MemoRow){computed + i * columns, columns * sizeof(float),
												   group->truncated[i], call->ahead});
}

void
texts_to_rows(Call *call, const TextInputs *inputs, const RowsWanted *wanted, RowsTake take,
			  void *context)
{
	size_t most = BYTES_PER_GROUP / (row_columns(call, wanted) * sizeof(float));
	int next = 0;

	most = Max(Min(most, TEXTS_PER_GROUP), 1);
	if (call->told)
		progress_phase("computing", "texts", inputs->n);
	while (next < inputs->n)
	{
		ArenaMark mark = arena_mark(call->arena);
		int64 tokens = call->counted.tokens;
		TextGroup group;
		TextRows rows;

		group_begin(call, wanted, &group);
		while (next < inputs->n && group.n_texts < most &&
			   call->counted.tokens - tokens < TOKENS_PER_BATCH)
		{
			group.nulls[group.n_texts] = inputs->nulls[next];
			group.places[group.n_texts] = (Place){IS_NULL, NULL};
			if (!inputs->nulls[next])
				group_add_input(call, &group, wanted, inputs, next);
			group.n_texts++;
			next++;
		}
		group_rows(call, &group, wanted, &rows);
		take(context, call, &rows);
		arena_rewind(call->arena, mark);
		if (call->told)
			progress_set(next);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
only_remember(void *context, Call *call, const TextRows *rows)
{
}

void
texts_ahead(Call *call, const RowsWanted *wanted, const TextInputs *inputs)
{
	call->ahead = true;
	texts_to_rows(call, inputs, wanted, only_remember, NULL);
	call_end_ahead(call);
}
