/* encode.c: the entry points that turn text into tokens. */
#include "tokenizer/encoder.h"
#include "tokenizer/unicode.h"

#define MAX_TEXT ((size_t) UINT32_MAX - 1) /* offsets are 32 bits wide */

#define FIRST_TOKENS 16384 /* most tokens that memory is taken for before they are there */

bool
text_valid_prefix(const unsigned char *bytes, size_t length, size_t *prefix,
				  const MayContinue *question, Status *status)
{
	size_t position = 0;

	while (position < length)
	{
		size_t part = length - position > ASK_BYTES ? ASK_BYTES : length - position;
		size_t valid;

		/* Not to cut a character in two: its trailing bytes belong to this part. */
		for (int i = 0;
			 i < 3 && position + part < length && (bytes[position + part] & 0xC0) == 0x80; i++)
			part++;
		valid = utf8_valid_prefix(bytes + position, part);
		position += valid;
		if (valid < part)
			break;
		if (position < length && !may_continue(question, status))
			return false;
	}
	*prefix = position;
	return true;
}

bool
text_check(const char *text, size_t length, const MayContinue *question, Status *status)
{
	size_t valid;

	if (length > MAX_TEXT)
		return status_fail(status, STATUS_LIMIT, "text of %zu bytes is too long", length);
	if (!text_valid_prefix((const unsigned char *) text, length, &valid, question, status))
		return false;
	return valid == length ||
		   status_fail(status, STATUS_INVALID_TEXT, "text is not valid UTF-8 at byte %zu", valid);
}

typedef struct Text
{
	const char *bytes;
	size_t length;
} Text;

/* limit: of tokens; the word that reaches it is finished */
static bool
encode_text(const Tokenizer *tokenizer, Arena *arena, Text text, size_t limit,
			const MayContinue *question, TokenList *list, Status *status)
{
	TextEncoder encoder;
	size_t expected = text.length / 4 + 16 < FIRST_TOKENS ? text.length / 4 + 16 : FIRST_TOKENS;

	if (!text_check(text.bytes, text.length, question, status) ||
		!text_encoder_init(&encoder, tokenizer, arena, question, status))
		return false;
	encoder.limit = limit;
	if (limit < expected)
		expected = limit + 1;
	if (!token_list_reserve(&encoder, expected))
		return arena_fail(arena, status, "a text's tokens", expected);
	if (!text_encode(&encoder, (const unsigned char *) text.bytes, text.length))
		return false;
	*list = encoder.list;
	list->total = list->n;
	return true;
}

/* Counts the tokens of a text that was checked, but not further than one word past limit. */
static bool
count_tokens(const Tokenizer *tokenizer, Arena *arena, Text text, size_t limit,
			 const MayContinue *question, size_t *count, Status *status)
{
	TextEncoder encoder;

	if (!text_encoder_init(&encoder, tokenizer, arena, question, status))
		return false;
	encoder.limit = limit;
	encoder.list.counting = true;
	if (!text_encode(&encoder, (const unsigned char *) text.bytes, text.length))
		return false;
	*count = encoder.list.n;
	return true;
}

/*
 * Where both texts were left off at the limit nobody knows which has more tokens, and the longer
 * one keeps one more when the room is odd. Counts the text of fewer bytes to its end and the other
 * one no further than that, and says the result in the lists' totals.
 */
static bool
compare_totals(const Tokenizer *tokenizer, Arena *arena, const Text *texts, TokenList *lists,
			   const MayContinue *question, Status *status)
{
	int brief = texts[0].length <= texts[1].length ? 0 : 1;
	size_t limit = SIZE_MAX;

	for (int i = 0; i < 2; i++)
	{
		int which = i == 0 ? brief : 1 - brief;
		size_t *total = &lists[which].total;

		if (!count_tokens(tokenizer, arena, texts[which], limit, question, total, status))
			return false;
		limit = *total;
	}
	return true;
}

bool
tokenizer_encode(const Tokenizer *tokenizer, Arena *arena, const EncodeInput *input,
				 const EncodeOptions *options, const MayContinue *question, EncodeResult *result,
				 Status *status)
{
	const Text texts[2] = {{input->text, input->length}, {input->pair, input->pair_length}};
	bool pair = input->pair != NULL;
	TokenList lists[2];
	size_t limit = SIZE_MAX;

	if (options->special_tokens && tokenizer->header->composed == 0 &&
		(tokenizer_cls_id(tokenizer) < 0 || tokenizer_sep_id(tokenizer) < 0))
		return status_fail(status, STATUS_INVALID_DATA,
						   "the vocabulary has no token for the beginning or the end of a text");
	/*
	 * Past max_length tokens of either text nothing changes the result, unless the rest is wanted
	 * too; only which of the two is longer does.
	 */
	if (options->truncation != TRUNCATE_NONE && !options->overflow)
		limit = options->max_length > 0 ? (size_t) options->max_length : 0;
	for (int i = 0; i < (pair ? 2 : 1); i++)
		if (!encode_text(tokenizer, arena, texts[i], limit, question, &lists[i], status))
			return false;
	if (pair && options->truncation == TRUNCATE_LONGEST_FIRST && lists[0].n > limit &&
		lists[1].n > limit && !compare_totals(tokenizer, arena, texts, lists, question, status))
		return false;
	return windows_build(tokenizer, arena, &lists[0], pair ? &lists[1] : NULL, options, question,
						 result, status);
}

bool
tokenizer_count(const Tokenizer *tokenizer, Arena *arena, const char *text, size_t length,
				const MayContinue *question, size_t *count, Status *status)
{
	return text_check(text, length, question, status) &&
		   count_tokens(tokenizer, arena, (Text){text, length}, SIZE_MAX, question, count, status);
}
