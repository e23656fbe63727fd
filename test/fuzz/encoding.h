/*
 * encoding.h: what the targets do with a tokenizer that they have made: a text, and perhaps a pair,
 * goes through it, and the result must be consistent in itself.
 */
#ifndef BERT_FUZZ_ENCODING_H
#define BERT_FUZZ_ENCODING_H

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

/* A copy of its own size, so that the address sanitizer sees every byte past it. */
static char *
own_copy(const uint8_t *data, size_t size)
{
	char *copy = malloc(size == 0 ? 1 : size);

	memcpy(copy, data, size);
	return copy;
}

/* most: characters that either text may have; damaged: of the image, which then may say anything.
 */
static void
check_window(const Tokenizer *tokenizer, const Encoding *window, size_t most, bool damaged)
{
	for (size_t i = 0; i < window->n && !damaged; i++)
	{
		size_t length;

		MUST(window->starts[i] <= window->ends[i] && window->ends[i] <= most);
		MUST(tokenizer_token(tokenizer, window->ids[i], &length) != NULL);
	}
}

/* data: what is done in four bytes, then the texts. */
static inline void
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
			check_window(tokenizer, &result.windows[i], size, damaged);
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
			if (options.special_tokens)
				count += (size_t) tokenizer_special_count(tokenizer, false);
			MUST(count == result.windows[0].n);
		}
	}
	else
		MUST(status.code != STATUS_NONE && status.code != STATUS_INTERNAL);
	free(text);
	free(pair);
}

#endif
