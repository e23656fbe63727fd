/* samples.c: the tasks' recipes. */
#include "train/samples.h"

#include <string.h>

#include "core/hash.h"
#include "core/names.h"
#include "nn/answers.h"
#include "nn/loss.h"
#include "tokenizer/unicode.h"

static const struct
{
	const char *name;
	HeadKind head;
} tasks[TRAIN_TASK_COUNT] = {
	[TRAIN_SEQUENCE_CLASSIFICATION] = {"sequence_classification", HEAD_SEQUENCE_CLASSIFICATION},
	[TRAIN_REGRESSION] = {"regression", HEAD_SEQUENCE_CLASSIFICATION},
	[TRAIN_MULTIPLE_CHOICE] = {"multiple_choice", HEAD_MULTIPLE_CHOICE},
	[TRAIN_TOKEN_CLASSIFICATION] = {"token_classification", HEAD_TOKEN_CLASSIFICATION},
	[TRAIN_QUESTION_ANSWERING] = {"question_answering", HEAD_QUESTION_ANSWERING},
	[TRAIN_MASKED_LM] = {"masked_lm", HEAD_MASKED_LM},
	[TRAIN_CAUSAL_LM] = {"causal_lm", HEAD_CAUSAL_LM},
	[TRAIN_NEXT_SENTENCE] = {"next_sentence", HEAD_NEXT_SENTENCE},
	[TRAIN_PRETRAINING] = {"pretraining", HEAD_PRETRAINING},
	[TRAIN_EMBEDDING] = {"embedding", HEAD_NONE},
};

const char *
train_task_name(TrainTask task)
{
	return tasks[task].name;
}

HeadKind
train_task_head(TrainTask task)
{
	return tasks[task].head;
}

bool
train_task_parse(const char *name, TrainTask *task, Status *status)
{
	const char *names[TRAIN_TASK_COUNT];
	int i;

	for (i = 0; i < TRAIN_TASK_COUNT; i++)
		names[i] = tasks[i].name;
	i = name_parse(name, "task", names, TRAIN_TASK_COUNT, status);
	if (i < 0)
		return false;
	*task = (TrainTask) i;
	return true;
}

/* Room for a sample of these sizes; lengths[] is left to the caller. */
static bool
sample_allocate(Arena *arena, Sample *sample, size_t n_sequences, size_t n_tokens, size_t n_labels,
				size_t n_values, Status *status)
{
	memset(sample, 0, sizeof *sample);
	if (n_sequences > SPILL_MAX_SEQUENCES || n_tokens > SPILL_MAX_TOKENS ||
		n_labels > SPILL_MAX_TOKENS)
		return status_fail(status, STATUS_LIMIT,
						   "the sample has %zu sequences and %zu tokens, more than %d and %u",
						   n_sequences, n_tokens, SPILL_MAX_SEQUENCES, SPILL_MAX_TOKENS);
	sample->lengths = arena_alloc_array(arena, n_sequences, sizeof *sample->lengths);
	sample->input_ids = arena_alloc_array(arena, n_tokens, sizeof *sample->input_ids);
	sample->token_type_ids = arena_alloc_array(arena, n_tokens, sizeof *sample->token_type_ids);
	sample->labels = arena_alloc_array(arena, n_labels, sizeof *sample->labels);
	sample->values = arena_alloc_array(arena, n_values, sizeof *sample->values);
	if (sample->lengths == NULL || sample->input_ids == NULL || sample->token_type_ids == NULL ||
		sample->labels == NULL || sample->values == NULL)
		return arena_fail(arena, status, "a training sample", n_tokens * 9);
	sample->n_sequences = (uint32_t) n_sequences;
	sample->n_tokens = (uint32_t) n_tokens;
	sample->n_labels = (uint32_t) n_labels;
	sample->n_values = (uint32_t) n_values;
	return true;
}

/* Copies one encoding to the sample's tokens from `at` on. */
static void
copy_encoding(Sample *sample, size_t at, const Encoding *encoding)
{
	memcpy(sample->input_ids + at, encoding->ids, encoding->n * sizeof *encoding->ids);
	for (size_t i = 0; i < encoding->n; i++)
		sample->token_type_ids[at + i] = (uint8_t) encoding->type_ids[i];
}

/*
 * Lets the sample know where its tokens lie: the encoding's own arrays, which live as long. Words
 * are those of the context, or of the only text.
 */
static void
keep_places(Sample *sample, const Encoding *encoding, int sequence)
{
	sample->starts = encoding->starts;
	sample->ends = encoding->ends;
	sample->words = encoding->words;
	for (size_t i = 0; i < encoding->n; i++)
		if (encoding->sequences[i] != sequence)
			sample->words[i] = -1;
}

/* The beginning of a text, whole characters of it, and "..." where more follows. */
static bool
keep_beginning(Arena *arena, const SampleText *text, char **bytes, uint32_t *n, Status *status)
{
	size_t length = text->length;

	if (length > SAMPLE_SHOWN_BYTES)
		for (length = SAMPLE_SHOWN_BYTES; ((unsigned char) text->bytes[length] & 0xC0) == 0x80;)
			length--;
	*bytes = arena_alloc(arena, length + 3);
	if (*bytes == NULL)
		return arena_fail(arena, status, "a training sample", length + 3);
	memcpy(*bytes, text->bytes, length);
	*n = (uint32_t) length;
	if (length < text->length)
	{
		memcpy(*bytes + length, "...", 3);
		*n += 3;
	}
	return true;
}

/* Lets a row that is evaluated be shown as it was written. */
static bool
keep_shown(const SampleEncoder *encoder, const SampleRow *row, Sample *sample, Arena *arena,
		   Status *status)
{
	if (!encoder->scored)
		return true;
	return keep_beginning(arena, &row->input, &sample->context, &sample->n_context, status) &&
		   (!row->has_pair ||
			keep_beginning(arena, &row->pair, &sample->answer, &sample->n_answer, status));
}

/* What of the row is encoded, and how. */
typedef struct EncodeCall
{
	const SampleText *text;
	const SampleText *pair; /* or NULL */
	Truncation truncation;
	bool overflow; /* windows without overlap; otherwise the text is truncated */
} EncodeCall;

static bool
encode(const SampleEncoder *encoder, const EncodeCall *call, Arena *arena,
	   const MayContinue *question, EncodeResult *result, Status *status)
{
	static const SampleText none;
	const SampleText *pair = call->pair == NULL ? &none : call->pair;
	EncodeInput input = {call->text->bytes, call->text->length, pair->bytes, pair->length};
	EncodeOptions options = {.special_tokens = true,
							 .truncation = call->truncation,
							 .max_length = encoder->max_length,
							 .overflow = call->overflow};

	return tokenizer_encode(encoder->tokenizer, arena, &input, &options, question, result, status);
}

/*
 * Classification, regression, next sentence and pre-training pairs: one sequence, cut longest
 * first.
 */
static bool
encode_sequence(SampleEncoder *encoder, const SampleRow *row, Arena *arena, SampleSink emit,
				void *context, const MayContinue *question, Status *status)
{
	EncodeCall call = {&row->input, row->has_pair ? &row->pair : NULL, TRUNCATE_LONGEST_FIRST,
					   false};
	bool regression = encoder->task == TRAIN_REGRESSION;
	size_t n_values = row->label_values != NULL ? row->n_label_values : regression ? 1 : 0;
	EncodeResult result;
	Sample sample;

	if (!encode(encoder, &call, arena, question, &result, status) ||
		!sample_allocate(arena, &sample, 1, result.windows[0].n,
						 n_values > 0 && !row->taught ? 0 : 1, n_values, status))
		return false;
	encoder->truncated += result.truncated;
	copy_encoding(&sample, 0, &result.windows[0]);
	if (encoder->whole_words)
		keep_places(&sample, &result.windows[0], 0);
	sample.lengths[0] = sample.n_tokens;
	if (row->label_values != NULL)
		memcpy(sample.values, row->label_values, n_values * sizeof(float));
	else if (regression)
		sample.values[0] = row->value;
	if (sample.n_labels > 0)
		sample.labels[0] = row->label;
	sample.row = row->number;
	return keep_shown(encoder, row, &sample, arena, status) && emit(context, &sample, status);
}

static bool
encode_choices(SampleEncoder *encoder, const SampleRow *row, Arena *arena, SampleSink emit,
			   void *context, const MayContinue *question, Status *status)
{
	EncodeResult *results = arena_alloc_array(arena, row->n_items, sizeof *results);
	size_t n_tokens = 0;
	bool truncated = false;
	Sample sample;

	if (results == NULL)
		return arena_fail(arena, status, "the choices of a sample", row->n_items * sizeof *results);
	for (size_t i = 0; i < row->n_items; i++)
	{
		EncodeCall call = {&row->input, &row->items[i], TRUNCATE_LONGEST_FIRST, false};

		if (!encode(encoder, &call, arena, question, &results[i], status))
			return false;
		n_tokens += results[i].windows[0].n;
		truncated |= results[i].truncated;
	}
	if (!sample_allocate(arena, &sample, row->n_items, n_tokens, 1, 0, status))
		return false;
	encoder->truncated += truncated;
	n_tokens = 0;
	for (size_t i = 0; i < row->n_items; i++)
	{
		copy_encoding(&sample, n_tokens, &results[i].windows[0]);
		sample.lengths[i] = (uint32_t) results[i].windows[0].n;
		n_tokens += results[i].windows[0].n;
	}
	sample.labels[0] = row->label;
	sample.row = row->number;
	return keep_shown(encoder, row, &sample, arena, status) && emit(context, &sample, status);
}

/* Words that come already split: each is tokenized on its own. */
static bool
encode_words(SampleEncoder *encoder, const SampleRow *row, Arena *arena, SampleSink emit,
			 void *context, const MayContinue *question, Status *status)
{
	EncodeOptions options = {.special_tokens = false, .truncation = TRUNCATE_NONE};
	size_t room = (size_t) encoder->max_length;
	size_t n = 0;
	bool truncated = false;
	Sample sample;

	if (!sample_allocate(arena, &sample, 1, room, room, 0, status))
		return false;
	sample.input_ids[n] = tokenizer_cls_id(encoder->tokenizer);
	sample.labels[n++] = LABEL_IGNORED;
	for (size_t w = 0; w < row->n_items && !truncated; w++)
	{
		EncodeResult result;

		if (!tokenizer_encode(encoder->tokenizer, arena,
							  &(EncodeInput){row->items[w].bytes, row->items[w].length, NULL, 0},
							  &options, question, &result, status))
			return false;
		for (size_t i = 0; i < result.windows[0].n; i++)
		{
			if (n + 1 == room)
			{
				truncated = true;
				break;
			}
			sample.input_ids[n] = result.windows[0].ids[i];
			sample.labels[n++] = i == 0 ? row->item_labels[w] : LABEL_IGNORED;
		}
	}
	sample.input_ids[n] = tokenizer_sep_id(encoder->tokenizer);
	sample.labels[n++] = LABEL_IGNORED;
	encoder->truncated += truncated;
	memset(sample.token_type_ids, 0, n);
	sample.n_tokens = sample.n_labels = (uint32_t) n;
	sample.lengths[0] = sample.n_tokens;
	sample.row = row->number;
	return emit(context, &sample, status);
}

size_t
sample_text_byte(const SampleText *text, size_t index)
{
	size_t byte = 0;

	while (byte < text->length && (index > 0 || ((unsigned char) text->bytes[byte] & 0xC0) == 0x80))
		index -= ((unsigned char) text->bytes[byte++] & 0xC0) != 0x80 ? 1 : 0;
	return byte;
}

static bool
check_answer(const SampleRow *row, size_t answer_length, Status *status)
{
	size_t context_length = utf8_count((const unsigned char *) row->pair.bytes, row->pair.length);
	size_t byte;

	if (row->answer_start > context_length || answer_length > context_length - row->answer_start)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "row %llu: the answer at character %zu does not lie inside the context "
						   "of %zu characters",
						   (unsigned long long) row->number + 1, row->answer_start, context_length);
	byte = sample_text_byte(&row->pair, row->answer_start);
	if (row->answer.length > row->pair.length - byte ||
		memcmp(row->pair.bytes + byte, row->answer.bytes, row->answer.length) != 0)
	{
		status_fail(status, STATUS_INVALID_ARGUMENT,
					"row %llu: the context at character %zu is not the answer_text",
					(unsigned long long) row->number + 1, row->answer_start);
		return status_hint(status, "answer_start counts characters from 0.");
	}
	return true;
}

/* Labels of one window: the tokens that hold the answer, or 0, 0. */
static void
locate_answer(const Encoding *window, size_t start_char, size_t end_char, int32_t labels[2])
{
	size_t first = 0;
	size_t last = window->n;

	labels[0] = labels[1] = 0;
	while (first < window->n && window->sequences[first] != 1)
		first++;
	while (last > first && window->sequences[last - 1] != 1)
		last--;
	if (first == last || end_char == start_char || window->starts[first] > start_char ||
		window->ends[last - 1] < end_char)
		return;
	while (first + 1 < last && window->starts[first + 1] <= start_char)
		first++;
	while (last - 1 > first && window->ends[last - 2] >= end_char)
		last--;
	labels[0] = (int32_t) first;
	labels[1] = (int32_t) last - 1;
}

/* A failure that is about one row says which. */
static bool
blame_row(const SampleRow *row, const Status *cause, Status *status)
{
	return status_fail(status, cause->code, "row %llu: %s", (unsigned long long) row->number + 1,
					   cause->message);
}

/* Lets a row's windows be scored: where tokens lie, and both texts with the first window. */
static void
keep_texts(Sample *sample, const SampleRow *row, bool first)
{
	if (!first)
		return;
	sample->context = (char *) row->pair.bytes;
	sample->n_context = (uint32_t) row->pair.length;
	sample->answer = (char *) row->answer.bytes;
	sample->n_answer = (uint32_t) row->answer.length;
}

static bool
encode_answer(SampleEncoder *encoder, const SampleRow *row, Arena *arena, SampleSink emit,
			  void *context, const MayContinue *question, Status *status)
{
	size_t answer_length =
		utf8_count((const unsigned char *) row->answer.bytes, row->answer.length);
	AnswerInput input = {row->input.bytes, row->input.length,   row->pair.bytes,
						 row->pair.length, encoder->max_length, encoder->stride};
	EncodeResult result;
	Status cause;

	if (answer_length > 0 && !encoder->unplaced && !check_answer(row, answer_length, status))
		return false;
	if (!answer_encode(encoder->tokenizer, &input, arena, &result, question, &cause))
		return blame_row(row, &cause, status);
	for (size_t w = 0; w < result.n_windows; w++)
	{
		Sample sample;

		if (!sample_allocate(arena, &sample, 1, result.windows[w].n, 2, 0, status))
			return false;
		copy_encoding(&sample, 0, &result.windows[w]);
		sample.lengths[0] = sample.n_tokens;
		locate_answer(&result.windows[w], row->answer_start, row->answer_start + answer_length,
					  sample.labels);
		/* past the end: the loss ignores it */
		if (encoder->unplaced)
			sample.labels[0] = sample.labels[1] = INT32_MAX;
		sample.row = row->number;
		if (encoder->scored)
		{
			keep_places(&sample, &result.windows[w], 1);
			keep_texts(&sample, row, w == 0);
		}
		if (!emit(context, &sample, status))
			return false;
	}
	return true;
}

/* --- Texts of embeddings --- */

EmbeddingShape
sample_shape(const Sample *sample)
{
	if (sample->n_sequences == 1)
		return sample->n_labels == 2 ? EMBEDDING_TEXTS : EMBEDDING_LABELS;
	return sample->n_values > 0 ? EMBEDDING_SCORES : EMBEDDING_PAIRS;
}

/* Where the keys begin among the labels. */
static size_t
first_key(const Sample *sample)
{
	return sample_shape(sample) == EMBEDDING_LABELS ? 1 : 0;
}

uint64_t
sample_text_key(const Sample *sample, uint32_t sequence)
{
	const int32_t *key = sample->labels + first_key(sample) + 2 * (size_t) sequence;

	return (uint64_t) (uint32_t) key[0] << 32 | (uint32_t) key[1];
}

static void
put_key(Sample *sample, size_t sequence, const SampleText *text)
{
	unsigned char digest[SHA256_BYTES];
	Sha256 hash;

	sha256_init(&hash);
	sha256_update(&hash, text->bytes, text->length);
	sha256_final(&hash, digest);
	memcpy(sample->labels + first_key(sample) + 2 * sequence, digest, 2 * sizeof(int32_t));
}

/* The text with its prompt before it. */
static bool
put_prompt(const SampleEncoder *encoder, EmbeddingPrompt use, const SampleText *text, Arena *arena,
		   SampleText *prompted, Status *status)
{
	const char *prompt = encoder->prompts[use] == NULL ? "" : encoder->prompts[use];
	size_t length = strlen(prompt);
	char *bytes;

	*prompted = *text;
	if (length == 0)
		return true;
	bytes = arena_alloc(arena, length + text->length + 1);
	if (bytes == NULL)
		return arena_fail(arena, status, "a text with its prompt", length + text->length + 1);
	memcpy(bytes, prompt, length);
	memcpy(bytes + length, text->bytes, text->length);
	bytes[length + text->length] = '\0';
	*prompted = (SampleText){bytes, length + text->length};
	return true;
}

static const SampleText *
text_of(const SampleRow *row, size_t place)
{
	return place == 0 ? &row->input : place == 1 ? &row->pair : &row->items[place - 2];
}

/* The texts of a row, each a sequence of its own. */
static bool
encode_texts(SampleEncoder *encoder, const SampleRow *row, Arena *arena, SampleSink emit,
			 void *context, const MayContinue *question, Status *status)
{
	/* evaluations search the positives: negatives do not count */
	bool labelled = row->shape == EMBEDDING_LABELS;
	bool taught = row->shape == EMBEDDING_TEXTS;
	size_t n = labelled || taught ? 1 : 2 + (encoder->scored ? 0 : row->n_items);
	size_t n_values = taught ? row->n_label_values : row->shape == EMBEDDING_SCORES ? 1 : 0;
	EncodeResult *results = arena_alloc_array(arena, n, sizeof *results);
	size_t n_tokens = 0;
	bool truncated = false;
	Sample sample;

	if (results == NULL)
		return arena_fail(arena, status, "the texts of a sample", n * sizeof *results);
	for (size_t i = 0; i < n; i++)
	{
		SampleText text;
		EncodeCall call = {&text, NULL, TRUNCATE_LONGEST_FIRST, false};

		if (!put_prompt(encoder, embedding_prompt(row->shape, i), text_of(row, i), arena, &text,
						status) ||
			!encode(encoder, &call, arena, question, &results[i], status))
			return false;
		n_tokens += results[i].windows[0].n;
		truncated |= results[i].truncated;
	}
	if (!sample_allocate(arena, &sample, n, n_tokens, 2 * n + labelled, n_values, status))
		return false;
	encoder->truncated += truncated;
	n_tokens = 0;
	for (size_t i = 0; i < n; i++)
	{
		copy_encoding(&sample, n_tokens, &results[i].windows[0]);
		sample.lengths[i] = (uint32_t) results[i].windows[0].n;
		n_tokens += results[i].windows[0].n;
		put_key(&sample, i, text_of(row, i));
	}
	if (labelled)
		sample.labels[0] = row->label;
	if (row->shape == EMBEDDING_SCORES)
		sample.values[0] = row->value;
	else if (n_values > 0)
		memcpy(sample.values, row->label_values, n_values * sizeof(float));
	sample.row = row->number;
	return emit(context, &sample, status);
}

bool
samples_prompt_tokens(const SampleEncoder *encoder, EmbeddingPrompt prompt, Arena *arena,
					  const MayContinue *question, size_t *tokens, Status *status)
{
	SampleText text = {encoder->prompts[prompt], strlen(encoder->prompts[prompt])};
	EncodeCall call = {&text, NULL, TRUNCATE_LONGEST_FIRST, false};
	const Encoding *encoding;
	EncodeResult result;

	*tokens = 0;
	if (text.length == 0)
		return true;
	if (!encode(encoder, &call, arena, question, &result, status))
		return false;
	encoding = &result.windows[0];
	/* the special token at the end comes after the text, not after the prompt */
	*tokens = encoding->n - (encoding->n > 0 && encoding->sequences[encoding->n - 1] < 0 ? 1 : 0);
	return true;
}

bool
samples_check(const SampleEncoder *encoder, const SampleRow *row, Arena *arena,
			  const MayContinue *question, Status *status)
{
	size_t answer_length =
		utf8_count((const unsigned char *) row->answer.bytes, row->answer.length);
	size_t count;

	if (encoder->task != TRAIN_QUESTION_ANSWERING)
		return true;
	if ((answer_length > 0 && !check_answer(row, answer_length, status)) ||
		!tokenizer_count(encoder->tokenizer, arena, row->input.bytes, row->input.length, question,
						 &count, status))
		return false;
	return answer_has_room(encoder->tokenizer, count, encoder->max_length) ||
		   status_fail(
			   status, STATUS_INVALID_ARGUMENT,
			   "row %llu: a question of %zu tokens leaves no room for the context in the %d "
			   "tokens that are read at once",
			   (unsigned long long) row->number + 1, count, encoder->max_length);
}

static bool
encode_text(SampleEncoder *encoder, const SampleRow *row, Arena *arena, SampleSink emit,
			void *context, const MayContinue *question, Status *status)
{
	EncodeCall call = {&row->input, NULL, TRUNCATE_ONLY_FIRST, true};
	EncodeResult result;

	if (!encode(encoder, &call, arena, question, &result, status))
		return false;
	for (size_t w = 0; w < result.n_windows; w++)
	{
		Sample sample;

		if (!sample_allocate(arena, &sample, 1, result.windows[w].n, 0, 0, status))
			return false;
		copy_encoding(&sample, 0, &result.windows[w]);
		if (encoder->whole_words)
			keep_places(&sample, &result.windows[w], 0);
		sample.lengths[0] = sample.n_tokens;
		sample.row = row->number;
		if (!emit(context, &sample, status))
			return false;
	}
	return true;
}

bool
samples_encode(SampleEncoder *encoder, const SampleRow *row, Arena *arena, SampleSink emit,
			   void *context, const MayContinue *question, Status *status)
{
	switch (encoder->task)
	{
		case TRAIN_SEQUENCE_CLASSIFICATION:
		case TRAIN_REGRESSION:
		case TRAIN_NEXT_SENTENCE:
		case TRAIN_PRETRAINING:
			return encode_sequence(encoder, row, arena, emit, context, question, status);
		case TRAIN_MULTIPLE_CHOICE:
			return encode_choices(encoder, row, arena, emit, context, question, status);
		case TRAIN_TOKEN_CLASSIFICATION:
			return encode_words(encoder, row, arena, emit, context, question, status);
		case TRAIN_QUESTION_ANSWERING:
			return encode_answer(encoder, row, arena, emit, context, question, status);
		case TRAIN_MASKED_LM:
		case TRAIN_CAUSAL_LM:
			return encode_text(encoder, row, arena, emit, context, question, status);
		case TRAIN_EMBEDDING:
			return encode_texts(encoder, row, arena, emit, context, question, status);
		case TRAIN_TASK_COUNT:
			break;
	}
	return status_fail(status, STATUS_INTERNAL, "unknown task %d", (int) encoder->task);
}
