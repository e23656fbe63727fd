/* decode.c: ids to text, as the reference's WordPiece decoder: each token is cleaned up by itself.
 */
#include "core/bulk.h"
#include "core/checked.h"
#include "tokenizer/decode_steps.h"
#include "tokenizer/vocabulary.h"

#define ASK_TOKENS 8192 /* tokens between two questions */

typedef struct Replacement
{
	const char *from;
	const char *to; /* never longer */
} Replacement;

/* In the reference's order. */
static const Replacement cleanup[] = {
	{" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
	{" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
	{" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
};

/* Replaces in place; returns the new length. */
static size_t
replace(char *text, size_t length, const Replacement *replacement)
{
	size_t from_length = strlen(replacement->from);
	size_t to_length = strlen(replacement->to);
	size_t out = 0;

	for (size_t in = 0; in < length;)
	{
		if (length - in >= from_length && memcmp(text + in, replacement->from, from_length) == 0)
		{
			memcpy(text + out, replacement->to, to_length);
			out += to_length;
			in += from_length;
		}
		else
			text[out++] = text[in++];
	}
	return out;
}

size_t
decode_clean_up(char *text, size_t length)
{
	for (size_t k = 0; k < sizeof cleanup / sizeof cleanup[0]; k++)
		length = replace(text, length, &cleanup[k]);
	return length;
}

/* What an id stands for when it is decoded: an added token's pattern, else the token. */
static const char *
decoded_text(const Tokenizer *tokenizer, int32_t id, size_t *length)
{
	for (uint32_t i = 0; i < tokenizer->sets[1].count; i++)
	{
		const AddedEntry *entry = &tokenizer->added[tokenizer->sets[1].first + i];

		if (entry->id == (uint32_t) id)
		{
			*length = entry->pattern_length;
			return (const char *) vocabulary_text(tokenizer, entry->pattern, entry->pattern_length);
		}
	}
	return tokenizer_token(tokenizer, id, length);
}

/* The texts of the tokens, for the decoders of a composed tokenizer. */
static bool
decode_composed(const Tokenizer *tokenizer, Arena *arena, const DecodeInput *input,
				const MayContinue *question, DecodedText *out, Status *status)
{
	DecodedParts parts = {arena_alloc_array(arena, input->n + 1, sizeof *parts.items), 0};

	if (parts.items == NULL)
		return arena_fail(arena, status, "decoded text", input->n * sizeof *parts.items);
	for (size_t i = 0; i < input->n; i++)
	{
		DecodedPart *part = &parts.items[parts.n];

		if (bulk_turn(i, ASK_TOKENS) && !may_continue(question, status))
			return false;
		if (input->ids[i] < 0)
			return status_fail(status, STATUS_INVALID_ARGUMENT,
							   "token id %d is not in the vocabulary", input->ids[i]);
		if (input->skip_special_tokens && tokenizer_is_special(tokenizer, input->ids[i]))
			continue;
		part->text = decoded_text(tokenizer, input->ids[i], &part->length);
		parts.n += part->text != NULL;
	}
	return decode_steps(tokenizer, arena, &parts, question, out, status);
}

bool
tokenizer_marks_subwords(const Tokenizer *tokenizer)
{
	return tokenizer->kind == TOKENIZER_BERT;
}

bool
tokenizer_join(const Tokenizer *tokenizer, Arena *arena, const char *const *tokens, size_t n,
			   const MayContinue *question, DecodedText *out, Status *status)
{
	DecodedParts parts = {arena_alloc_array(arena, n + 1, sizeof *parts.items), n};

	if (parts.items == NULL)
		return arena_fail(arena, status, "decoded text", n * sizeof *parts.items);
	for (size_t i = 0; i < n; i++)
		parts.items[i] = (DecodedPart){tokens[i], strlen(tokens[i])};
	return decode_steps(tokenizer, arena, &parts, question, out, status);
}

/* Long: two passes over the ids, one to find the size, one to write the text. */
bool
tokenizer_decode(const Tokenizer *tokenizer, Arena *arena, const DecodeInput *input,
				 const MayContinue *question, DecodedText *out, Status *status)
{
	const int32_t *ids = input->ids;
	size_t n = input->n;
	const char *prefix = (const char *) tokenizer->header->prefix;
	size_t prefix_length = tokenizer->prefix_length;
	size_t total = 1;
	size_t length = 0;
	bool first = true;
	char *text;

	if (tokenizer->kind != TOKENIZER_BERT)
		return decode_composed(tokenizer, arena, input, question, out, status);
	for (size_t i = 0; i < n; i++)
	{
		size_t token_length;

		if (bulk_turn(i, ASK_TOKENS) && !may_continue(question, status))
			return false;
		if (ids[i] < 0)
			return status_fail(status, STATUS_INVALID_ARGUMENT,
							   "token id %d is not in the vocabulary", ids[i]);
		if (decoded_text(tokenizer, ids[i], &token_length) == NULL)
			continue;
		if (!size_add(total, token_length + 1, &total))
			return status_fail(status, STATUS_LIMIT, "decoded text is too long");
	}
	text = arena_alloc(arena, total);
	if (text == NULL)
		return arena_fail(arena, status, "decoded text", total);
	for (size_t i = 0; i < n; i++)
	{
		char *piece = text + length;
		size_t token_length;
		const char *token;
		size_t piece_length = 0;

		if (bulk_turn(i, ASK_TOKENS) && !may_continue(question, status))
			return false;
		if (input->skip_special_tokens && tokenizer_is_special(tokenizer, ids[i]))
			continue;
		token = decoded_text(tokenizer, ids[i], &token_length);
		if (token == NULL)
			continue;
		if (!first)
		{
			if (token_length >= prefix_length && memcmp(token, prefix, prefix_length) == 0)
			{
				token += prefix_length;
				token_length -= prefix_length;
			}
			else
				piece[piece_length++] = ' ';
		}
		first = false;
		memcpy(piece + piece_length, token, token_length);
		piece_length += token_length;
		length += decode_clean_up(piece, piece_length);
	}
	text[length] = '\0';
	out->text = text;
	out->length = length;
	return true;
}
