/*
 * tokenizer_driver.c: encodes and decodes what tokenizer.py asks for, so that it can compare with
 * the reference.
 *
 * Arguments: a model's folder; or: vocabulary file, flags (c clean_text, z chinese, a
 * strip_accents, l lowercase), then one per added token: "flags:content" (s special, w single_word,
 * l lstrip, r rstrip, n normalized). Requests on standard input, integers little-endian 32 bits: 0,
 * special_tokens, truncation, max_length, stride, overflow, length, pair_length (-1: none), text,
 * pair 1, skip_special_tokens, n, ids Answers on standard output: 0: windows, truncated, then per
 * window n, ids, type_ids, starts, ends, words, sequences (all 32 bits) or -1, status code 1:
 * length, text; or -1, status code 2: length, text: answers with the number of tokens
 * 3: n, n lengths, n texts, answers with n numbers of tokens (-1: refused), then, if none is
 * refused, all ids, all types and so on
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files/tokenizer_files.h"
#include "tokenizer/tokenizer.h"

static char *
read_all(FILE *file, size_t *length)
{
	size_t capacity = 1 << 20;
	char *bytes = malloc(capacity);
	size_t n;

	*length = 0;
	while (bytes != NULL && (n = fread(bytes + *length, 1, capacity - *length, file)) > 0)
	{
		*length += n;
		if (*length == capacity)
			bytes = realloc(bytes, capacity *= 2);
	}
	if (bytes == NULL)
		exit(2);
	return bytes;
}

static int32_t
take(const char **cursor)
{
	int32_t value;

	memcpy(&value, *cursor, sizeof value);
	*cursor += sizeof value;
	return value;
}

static void
put(int32_t value)
{
	fwrite(&value, sizeof value, 1, stdout);
}

static void
put_window(const Encoding *window)
{
	put((int32_t) window->n);
	fwrite(window->ids, sizeof(int32_t), window->n, stdout);
	fwrite(window->type_ids, sizeof(int32_t), window->n, stdout);
	fwrite(window->starts, sizeof(uint32_t), window->n, stdout);
	fwrite(window->ends, sizeof(uint32_t), window->n, stdout);
	fwrite(window->words, sizeof(int32_t), window->n, stdout);
	for (size_t i = 0; i < window->n; i++)
		put(window->sequences[i]);
}

static void
encode(const Tokenizer *tokenizer, Arena *arena, const char **cursor)
{
	EncodeOptions options;
	EncodeResult result;
	Status status = {0};
	const char *text;
	int32_t length;
	int32_t pair_length;

	options.special_tokens = take(cursor) != 0;
	options.truncation = (Truncation) take(cursor);
	options.max_length = take(cursor);
	options.stride = take(cursor);
	options.overflow = take(cursor) != 0;
	length = take(cursor);
	pair_length = take(cursor);
	text = *cursor;
	*cursor += length + (pair_length < 0 ? 0 : pair_length);
	if (!tokenizer_encode(tokenizer, arena,
						  &(EncodeInput){text, (size_t) length,
										 pair_length < 0 ? NULL : text + length,
										 pair_length < 0 ? 0 : (size_t) pair_length},
						  &options, NULL, &result, &status))
	{
		put(-1);
		put((int32_t) status.code);
		return;
	}
	put((int32_t) result.n_windows);
	put(result.truncated);
	for (size_t i = 0; i < result.n_windows; i++)
		put_window(&result.windows[i]);
}

static void
decode(const Tokenizer *tokenizer, Arena *arena, const char **cursor)
{
	Status status = {0};
	bool skip = take(cursor) != 0;
	int32_t n = take(cursor);
	int32_t *ids = arena_alloc_array(arena, (size_t) n, sizeof *ids);
	DecodedText text;

	memcpy(ids, *cursor, (size_t) n * sizeof *ids);
	*cursor += (size_t) n * sizeof *ids;
	if (!tokenizer_decode(tokenizer, arena, &(DecodeInput){ids, (size_t) n, skip}, NULL, &text,
						  &status))
	{
		put(-1);
		put((int32_t) status.code);
		return;
	}
	put((int32_t) text.length);
	fwrite(text.text, 1, text.length, stdout);
}

static void
count(const Tokenizer *tokenizer, Arena *arena, const char **cursor)
{
	Status status = {0};
	int32_t length = take(cursor);
	size_t tokens;

	put(tokenizer_count(tokenizer, arena, *cursor, (size_t) length, NULL, &tokens, &status)
			? (int32_t) tokens
			: -1);
	*cursor += length;
}

#define N_FIELDS 6

typedef struct Column
{
	int32_t *values;
	size_t n;
	size_t capacity;
} Column;

static void
append(Column *column, const void *values, size_t n)
{
	if (column->n + n > column->capacity)
	{
		column->capacity = (column->n + n) * 2;
		column->values = realloc(column->values, column->capacity * sizeof(int32_t));
		if (column->values == NULL)
			exit(2);
	}
	memcpy(column->values + column->n, values, n * sizeof(int32_t));
	column->n += n;
}

static void
append_window(Column columns[N_FIELDS], const Encoding *window)
{
	append(&columns[0], window->ids, window->n);
	append(&columns[1], window->type_ids, window->n);
	append(&columns[2], window->starts, window->n);
	append(&columns[3], window->ends, window->n);
	append(&columns[4], window->words, window->n);
	for (size_t i = 0; i < window->n; i++)
		append(&columns[5], &(int32_t){window->sequences[i]}, 1);
}

/* Many texts, each whole and with special tokens. */
static void
encode_many(const Tokenizer *tokenizer, Arena *arena, const char **cursor)
{
	const EncodeOptions options = {.special_tokens = true};
	int32_t n = take(cursor);
	const char *lengths = *cursor;
	Column columns[N_FIELDS] = {0};
	bool refused = false;

	*cursor += (size_t) n * sizeof(int32_t);
	for (int32_t i = 0; i < n; i++)
	{
		ArenaMark mark = arena_mark(arena);
		Status status = {0};
		size_t length = (size_t) take(&lengths);
		EncodeResult result;

		if (tokenizer_encode(tokenizer, arena, &(EncodeInput){*cursor, length, NULL, 0}, &options,
							 NULL, &result, &status) &&
			result.n_windows == 1)
		{
			put((int32_t) result.windows[0].n);
			append_window(columns, &result.windows[0]);
		}
		else
		{
			put(-1);
			refused = true;
		}
		*cursor += length;
		arena_rewind(arena, mark);
	}
	for (int i = 0; i < N_FIELDS; i++)
	{
		if (!refused)
			fwrite(columns[i].values, sizeof(int32_t), columns[i].n, stdout);
		free(columns[i].values);
	}
}

static void
take_arguments(TokenizerSettings *settings, FILE *file, int argc, char **argv)
{
	settings->vocab = read_all(file, &settings->vocab_length);
	settings->clean_text = strchr(argv[2], 'c') != NULL;
	settings->handle_chinese_chars = strchr(argv[2], 'z') != NULL;
	settings->strip_accents = strchr(argv[2], 'a') != NULL;
	settings->lowercase = strchr(argv[2], 'l') != NULL;
	for (int i = 3; i < argc; i++)
	{
		char *colon = strchr(argv[i], ':');
		AddedToken *token = &settings->added[settings->n_added++];

		*colon = '\0';
		token->content = colon + 1;
		token->id = -1;
		token->special = strchr(argv[i], 's') != NULL;
		token->single_word = strchr(argv[i], 'w') != NULL;
		token->lstrip = strchr(argv[i], 'l') != NULL;
		token->rstrip = strchr(argv[i], 'r') != NULL;
		token->normalized = strchr(argv[i], 'n') != NULL;
	}
}

int
main(int argc, char **argv)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	AddedToken added[64];
	TokenizerSettings settings = {.unk_token = "[UNK]",
								  .sep_token = "[SEP]",
								  .pad_token = "[PAD]",
								  .cls_token = "[CLS]",
								  .mask_token = "[MASK]",
								  .continuing_subword_prefix = "##",
								  .max_input_chars_per_word = 100,
								  .added = added};
	Status status = {0};
	FILE *file = argc > 2 ? fopen(argv[1], "rb") : NULL;
	TokenizerContext context = {0};
	ModelSource *source;
	unsigned char *image;
	size_t length;
	Tokenizer *tokenizer;
	char *requests;
	const char *cursor;

	if (argc == 2)
	{
		source = modelsource_open_directory(arena, argv[1], &status);
		if (source == NULL || !tokenizer_files_read(arena, source, &context, &settings, &status))
		{
			fprintf(stderr, "%s: %s\n", argv[1], status.message);
			return 1;
		}
	}
	else if (file == NULL || argc > 64)
		return 2;
	else
		take_arguments(&settings, file, argc, argv);
	if (!tokenizer_compile(arena, &settings, &image, &length, &status) ||
		(tokenizer = tokenizer_open(arena, image, length, &status)) == NULL)
	{
		fprintf(stderr, "%s\n", status.message);
		return 1;
	}
	requests = read_all(stdin, &length);
	for (cursor = requests; cursor < requests + length;)
	{
		ArenaMark mark = arena_mark(arena);
		int32_t kind = take(&cursor);

		if (kind == 0)
			encode(tokenizer, arena, &cursor);
		else if (kind == 1)
			decode(tokenizer, arena, &cursor);
		else if (kind == 2)
			count(tokenizer, arena, &cursor);
		else
			encode_many(tokenizer, arena, &cursor);
		arena_rewind(arena, mark);
	}
	return 0;
}
