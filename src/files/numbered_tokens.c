/* numbered_tokens.c: a vocabulary that is a JSON object, in the order of ids. */
#include "files/numbered_tokens.h"

#include <string.h>

#include "core/bulk.h"
#include "core/sort.h"
#include "files/config.h"

#define ASK_TOKENS 16384 /* tokens between two questions; a power of two */

static int
compare_ids(const void *a, const void *b)
{
	return (((const NumberedToken *) a)->id > ((const NumberedToken *) b)->id) -
		   (((const NumberedToken *) a)->id < ((const NumberedToken *) b)->id);
}

bool
numbered_tokens_from_json(Arena *arena, const json_t *vocab, NumberedTokens *out, Status *status)
{
	size_t n = json_object_size(vocab);
	NumberedToken *tokens = arena_alloc_array(arena, n + 1, sizeof *tokens);
	const char *token;
	json_t *id;

	*out = (NumberedTokens){.tokens = tokens};
	if (tokens == NULL)
		return arena_fail(arena, status, "the vocabulary", n * sizeof *tokens);
	json_object_foreach((json_t *) vocab, token, id)
	{
		if (!json_is_integer(id) || json_integer_value(id) < 0 ||
			json_integer_value(id) >= CONFIG_MAX_VOCAB)
			return status_fail(status, STATUS_INVALID_DATA,
							   "token \"%.60s\" has an id that is not one of 0 to %d", token,
							   CONFIG_MAX_VOCAB - 1);
		out->bytes += strlen(token);
		tokens[out->n++] = (NumberedToken){token, (int32_t) json_integer_value(id)};
		if (bulk_turn(out->n, ASK_TOKENS) && !arena_may_continue(arena, status))
			return false;
	}
	if (!sort_array(arena, tokens, n, sizeof *tokens, compare_ids, status))
		return false;
	for (size_t i = 1; i < n; i++)
		if (tokens[i].id == tokens[i - 1].id)
			return status_fail(status, STATUS_INVALID_DATA,
							   "tokens \"%.60s\" and \"%.60s\" have the same id",
							   tokens[i - 1].text, tokens[i].text);
	return true;
}
