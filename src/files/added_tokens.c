/* added_tokens.c: one token from JSON, and lists without repetitions. */
#include "files/added_tokens.h"

#include <string.h>

#include "files/config.h"
#include "files/json.h"

bool
added_token_parse(const json_t *value, Arena *arena, bool special, AddedToken *token,
				  Status *status)
{
	const json_t *normalized = json_object_get(value, "normalized");

	memset(token, 0, sizeof *token);
	token->id = -1;
	token->special = special;
	if (json_is_string(value))
	{
		token->normalized = !special;
		token->content = arena_strndup(arena, json_string_value(value), json_string_length(value));
		return token->content != NULL ||
			   arena_fail(arena, status, "a token", json_string_length(value));
	}
	if (!json_is_object(value))
		return status_fail(status, STATUS_INVALID_DATA,
						   "a token is neither a string nor an object");
	if (!json_get_string(value, "content", arena, &token->content, status) ||
		!json_get_bool(value, "single_word", &token->single_word, status) ||
		!json_get_bool(value, "lstrip", &token->lstrip, status) ||
		!json_get_bool(value, "rstrip", &token->rstrip, status) ||
		!json_get_bool(value, "special", &token->special, status) ||
		!json_get_bool(value, "normalized", &token->normalized, status) ||
		!json_get_int(value, "id", 0, CONFIG_MAX_VOCAB, &token->id, status))
		return false;
	if (normalized == NULL || json_is_null(normalized))
		token->normalized = !token->special;
	return token->content != NULL ||
		   status_fail(status, STATUS_INVALID_DATA, "a token has no content");
}

AddedToken *
added_tokens_find(AddedToken *tokens, size_t n, const char *content)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(tokens[i].content, content) == 0)
			return &tokens[i];
	return NULL;
}

bool
added_tokens_put(AddedToken *tokens, size_t *n, const AddedToken *token, Status *status)
{
	AddedToken *known = added_tokens_find(tokens, *n, token->content);
	int32_t id = known == NULL || token->id >= 0 ? token->id : known->id;

	if (token->content[0] == '\0')
		return status_fail(status, STATUS_INVALID_DATA, "an added token is empty");
	if (known == NULL)
	{
		if (*n == ADDED_TOKENS_MAX)
			return status_fail(status, STATUS_LIMIT, "there are more than %d added tokens",
							   ADDED_TOKENS_MAX);
		known = &tokens[(*n)++];
	}
	*known = *token;
	known->id = id;
	return true;
}
