/*
 * added_tokens.h: tokens that are found in a text as they are written, before words are made:
 * special tokens and those that were added to a vocabulary later. A list of them is an array with
 * room for ADDED_TOKENS_MAX.
 */
#ifndef BERT_FILES_ADDED_TOKENS_H
#define BERT_FILES_ADDED_TOKENS_H

#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/status.h"

struct json_t; /* of jansson.h, which does not bear PostgreSQL's headers beside it */

#define ADDED_TOKENS_MAX 4096

typedef struct AddedToken
{
	const char *content; /* UTF-8 */
	int32_t id;          /* -1: not known yet */
	bool special;        /* dropped by decode's skip_special_tokens */
	bool single_word;
	bool lstrip;
	bool rstrip;
	bool normalized; /* matched after normalization */
} AddedToken;

/*
 * A token from a string or an object. special: what is not said of it; one that is special is
 * matched as written unless the object says otherwise.
 */
bool added_token_parse(const struct json_t *value, Arena *arena, bool special, AddedToken *token,
					   Status *status);

/* The token with this content, or NULL. */
AddedToken *added_tokens_find(AddedToken *tokens, size_t n, const char *content);

/*
 * Appends a token, or replaces the one with the same content, whose id stays where the new one has
 * none.
 */
bool added_tokens_put(AddedToken *tokens, size_t *n, const AddedToken *token, Status *status);

#endif
