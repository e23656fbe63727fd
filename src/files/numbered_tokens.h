/* numbered_tokens.h: a vocabulary that is a JSON object, {"token": id}, in the order of ids. */
#ifndef BERT_FILES_NUMBERED_TOKENS_H
#define BERT_FILES_NUMBERED_TOKENS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/status.h"

typedef struct NumberedToken
{
	const char *text; /* the JSON value's own, ends with \0 */
	int32_t id;
} NumberedToken;

typedef struct NumberedTokens
{
	NumberedToken *tokens; /* ids increase; some may be missing */
	size_t n;
	size_t bytes; /* of all texts, without the \0s */
} NumberedTokens;

/*
 * `vocab` is an object. STATUS_INVALID_DATA, with the token's name, for an id that is not one of 0
 * to CONFIG_MAX_VOCAB - 1 or that two tokens have. Asks the arena whether it may go on.
 */
bool numbered_tokens_from_json(Arena *arena, const json_t *vocab, NumberedTokens *out,
							   Status *status);

#endif
