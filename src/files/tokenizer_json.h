/* tokenizer_json.h: tokenizer.json, the `tokenizers` library's own format, as far as it describes a
 * Bert tokenizer. */
#ifndef BERT_FILES_TOKENIZER_JSON_H
#define BERT_FILES_TOKENIZER_JSON_H

#include <jansson.h>

#include "files/tokenizer_settings.h"

#define TOKENIZER_MAX_ADDED 4096

/*
 * Checks that the stages are those of a Bert tokenizer, and reads model (vocabulary included) and
 * added tokens. The normaliser's switches are the caller's.
 */
bool tokenizer_json_parse(const json_t *root, Arena *arena, TokenizerSettings *settings,
						  Status *status);

/* An added token from a string or an object; id is -1 where it is not given. */
bool tokenizer_token_parse(const json_t *value, Arena *arena, bool is_special, AddedToken *token,
						   Status *status);

/* Adds a token, or replaces the one with the same content. */
bool tokenizer_settings_add(TokenizerSettings *settings, const AddedToken *token, Status *status);

#endif
