/*
 * special_tokens.h: the special and added tokens that tokenizer_config.json,
 * special_tokens_map.json, added_tokens.json and tokenizer.json name, in the order in which the
 * reference adds them to the vocabulary. Rule 4 of tokenizer_files.h.
 */
#ifndef BERT_FILES_SPECIAL_TOKENS_H
#define BERT_FILES_SPECIAL_TOKENS_H

#include <jansson.h>

#include "files/tokenizer_classes.h"
#include "files/tokenizer_json.h"

typedef struct NamedToken
{
	const char *key; /* "cls_token" */
	AddedToken token;
	bool is_default; /* no file names it */
} NamedToken;

typedef struct SpecialTokens
{
	bool from_decoder; /* tokenizer_config.json has an added_tokens_decoder */
	size_t n_numbered;
	AddedToken *numbered; /* by ascending id, as the file says it */
	size_t n_named;
	NamedToken *named;
	size_t n_extra;
	AddedToken *extra;
} SpecialTokens;

typedef struct SpecialSources
{
	const json_t *config;      /* tokenizer_config.json, or NULL; so for the others */
	const json_t *special_map; /* special_tokens_map.json */
	const json_t *added;       /* added_tokens.json */
	const TokenizerJson *json;
	const ClassTraits *traits; /* of a class that has names of its own ("[CLS]" ...), or NULL */
	/* of a SentencePiece model: take the place of "additional_special_tokens"; or NULL */
	const AddedToken *pieces;
	size_t n_pieces;
	bool camembert; /* has three further special tokens where no file names any */
} SpecialSources;

/* "bos_token" ..., in the order of ClassTraits. */
const char *special_token_name(size_t i);

bool special_tokens_read(Arena *arena, const SpecialSources *sources, SpecialTokens *out,
						 Status *status);

#endif
