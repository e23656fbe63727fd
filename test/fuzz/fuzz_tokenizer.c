/*
 * fuzz_tokenizer.c: texts, vocabularies and images that nobody would make.
 *
 * The first byte says what the rest is: a text for a tokenizer with these settings, a vocabulary
 * with a text, or changes to a good image. Beyond what the sanitizers see, the encoding must be
 * consistent in itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/image.h"

#define MUST(condition)                                                     \
	do                                                                      \
	{                                                                       \
		if (!(condition))                                                   \
		{                                                                   \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                        \
		}                                                                   \
	} while (0)

static const char good_vocab[] =
	"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nhello\nworld\nun\n##a\n##b\n##c\n##able\n##s\n."
	"\n,\n'\n\xe4\xba\xba\n\xc3\xa9\n##\xc3\xa9\ne\n##e\n"
	"\xd0\xbf\n##\xd1\x80\n##\n#\n";

static AddedToken added[] = {
	{"[PAD]", -1, true, false, false, false, false},
	{"[UNK]", -1, true, false, false, false, false},
	{"[CLS]", -1, true, false, false, false, false},
	{"[SEP]", -1, true, false, false, false, false},
	{"[MASK]", -1, true, false, true, false, false},
	{"<x>", -1, false, true, false, true, false},
	{"\xc3\x89t", -1, false, false, true, true, true},
	{"  y", -1, false, false, true, false, false},
};

static TokenizerSettings
make_settings(unsigned flags)
{
	TokenizerSettings settings = {.clean_text = (flags & 1) != 0,
								  .handle_chinese_chars = (flags & 2) != 0,
								  .strip_accents = (flags & 4) != 0,
								  .lowercase = (flags & 8) != 0,
								  .unk_token = "[UNK]",
								  .sep_token = "[SEP]",
								  .pad_token = "[PAD]",
								  .cls_token = "[CLS]",
								  .mask_token = "[MASK]",
								  .continuing_subword_prefix = "##",
								  .max_input_chars_per_word = (flags & 16) != 0 ? 100 : 4,
								  .added = added,
								  .n_added = (flags & 32) != 0 ? 8 : 6,
								  .vocab = good_vocab,
								  .vocab_length = sizeof good_vocab - 1};

	return settings;
}

/* A copy of its own size, so that the address sanitizer sees every byte past it. */
static char *
own_copy(const uint8_t *data, size_t size)
{
	char *copy = malloc(size == 0 ? 1 : size);

	memcpy(copy, data, size);
	return copy;
}

static void
check_window(const Tokenizer *tokenizer, const Encoding *window, bool damaged)
{
	for (size_t i = 0; i < window->n && !damaged; i++)
	{
		size_t length;

		MUST(window->starts[i] <= window->ends[i]);
		MUST(tokenizer_token(tokenizer, window->ids[i], &length) != NULL);
	}
}

static void
use(const Tokenizer *tokenizer, Arena *arena, const uint8_t *data, size_t size, bool damaged)
{
	EncodeOptions options = {0};
	EncodeResult result;
	Status status = {0};
	size_t split;
	char *text;
	char *pair;

	if (size < 4)
		return;
	options.special_tokens = data[0] & 1;
	options.truncation = (Truncation) (data[0] >> 1 & 3);
	options.overflow = data[0] >> 3 & 1;
	options.max_length = data[1];
	options.stride = data[2] % 16;
	split = size - 4 == 0 ? 0 : data[3] * (size - 4) / 256;
	text = own_copy(data + 4, split);
	pair = own_copy(data + 4 + split, size - 4 - split);
	if (tokenizer_encode(
			tokenizer, arena,
			&(EncodeInput){text, split, (data[0] & 16) != 0 ? pair : NULL, size - 4 - split},
			&options, NULL, &result, &status))
	{
		DecodedText decoded;

		for (size_t i = 0; i < result.n_windows; i++)
		{
			check_window(tokenizer, &result.windows[i], damaged);
			MUST(options.truncation == TRUNCATE_NONE ||
				 (int) result.windows[i].n <= options.max_length);
		}
		if (!tokenizer_decode(
				tokenizer, arena,
				&(DecodeInput){result.windows[0].ids, result.windows[0].n, data[0] & 32}, NULL,
				&decoded, &status))
			MUST(damaged);
		if (options.truncation == TRUNCATE_NONE && (data[0] & 16) == 0)
		{
			size_t count;

			MUST(tokenizer_count(tokenizer, arena, text, split, NULL, &count, &status));
			MUST(count + (options.special_tokens ? 2 : 0) == result.windows[0].n);
		}
	}
	else
		MUST(status.code != STATUS_NONE && status.code != STATUS_INTERNAL);
	free(text);
	free(pair);
}

static void
fuzz_vocabulary(Arena *arena, const uint8_t *data, size_t size)
{
	TokenizerSettings settings = make_settings(data[0]);
	size_t split = size > 2 ? 2 + data[1] * (size - 2) / 256 : size;
	Status status = {0};
	unsigned char *image;
	size_t length;

	if (size <= 2)
		return;
	settings.vocab = own_copy(data + 2, split - 2);
	settings.vocab_length = split - 2;
	if (tokenizer_compile(arena, &settings, &image, &length, &status))
	{
		Tokenizer *tokenizer = tokenizer_open(arena, image, length, &status);

		MUST(tokenizer != NULL);
		use(tokenizer, arena, data + split, size - split, false);
	}
	free((char *) settings.vocab);
}

static void
fuzz_image(Arena *arena, const uint8_t *data, size_t size)
{
	TokenizerSettings settings = make_settings(data[0]);
	Status status = {0};
	unsigned char *image;
	size_t length;
	Tokenizer *tokenizer;
	unsigned changes;

	if (size < 2 || !tokenizer_compile(arena, &settings, &image, &length, &status))
		return;
	changes = data[1] % 16;
	data += 2;
	size -= 2;
	for (; changes > 0 && size >= 3; changes--, data += 3, size -= 3)
		image[(data[0] << 8 | data[1]) % length] ^= data[2];
	tokenizer = tokenizer_open(arena, image, length, &status);
	if (tokenizer != NULL)
		use(tokenizer, arena, data, size, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Arena *arena;

	if (size < 4)
		return 0;
	arena = arena_create(&allocator_malloc, (size_t) 256 << 20);
	if (data[0] % 4 == 0)
		fuzz_vocabulary(arena, data + 1, size - 1);
	else if (data[0] % 4 == 1)
		fuzz_image(arena, data + 1, size - 1);
	else
	{
		TokenizerSettings settings = make_settings(data[1]);
		Status status = {0};
		unsigned char *image;
		size_t length;

		MUST(tokenizer_compile(arena, &settings, &image, &length, &status));
		use(tokenizer_open(arena, image, length, &status), arena, data + 2, size - 2, false);
	}
	arena_destroy(arena);
	return 0;
}
