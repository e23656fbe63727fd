/*
 * tokenizer_classes.h: the reference's tokenizer classes: what each takes from which file, its
 * names of special tokens, and the stages that it builds itself.
 */
#ifndef BERT_FILES_TOKENIZER_CLASSES_H
#define BERT_FILES_TOKENIZER_CLASSES_H

#include <jansson.h>

#include "files/added_tokens.h"

typedef enum TokenizerClass
{
	CLASS_BERT,
	CLASS_NO_TYPES, /* a Bert class whose pairs have no token types */
	CLASS_ANY,      /* everything is in tokenizer.json; no token types unless they are named */
	CLASS_MPNET,    /* a Bert class with another template */
	/* composed of stages; no token types unless they are named */
	CLASS_XLM_ROBERTA,
	CLASS_CAMEMBERT,
	CLASS_ALBERT,
	CLASS_ROBERTA
} TokenizerClass;

#define CLASS_NAMED_TOKENS 7

typedef struct ClassTraits
{
	const char *name; /* without "Fast" at the end */
	/* bos, eos, unk, sep, pad, cls, mask; NULL: no such token */
	const char *tokens[CLASS_NAMED_TOKENS];
	bool mask_strips;       /* a mask token given as a text takes the spaces before it */
	const char *vocabulary; /* the file beside tokenizer.json */
} ClassTraits;

/* By its name, with or without "Fast". */
bool tokenizer_class_find(const char *name, TokenizerClass *out);

/* By config.json's model_type, for folders that name no class. */
TokenizerClass tokenizer_class_of_model(const char *model_type);
const ClassTraits *tokenizer_class_traits(TokenizerClass class);

/* Built of stages by the class itself: from XLMRobertaTokenizer on in the list above. */
bool tokenizer_class_is_composed(TokenizerClass class);

typedef struct ClassToken
{
	const char *text;
	int32_t id;
} ClassToken;

typedef struct ClassInput
{
	TokenizerClass class;
	const json_t *config;         /* tokenizer_config.json, or NULL */
	const json_t *post_processor; /* of tokenizer.json, or NULL */
	bool has_charsmap;
	int32_t unk_id;
	ClassToken bos;
	ClassToken eos;
	ClassToken cls;
	ClassToken sep;
} ClassInput;

/*
 * The stages as tokenizer.json would have them: an object with "model" and the rest; json_decref
 * it. NULL and *status on failure.
 */
json_t *tokenizer_class_stages(const ClassInput *input, Status *status);

/* The members of tokenizer_config.json that the class builds its stages from: an object. */
json_t *tokenizer_class_arguments(TokenizerClass class, const json_t *config);

#endif
