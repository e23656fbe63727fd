/*
 * entities.h: from token scores to tags and entities, as the reference's
 * TokenClassificationPipeline groups them.
 */
#ifndef BERT_NN_ENTITIES_H
#define BERT_NN_ENTITIES_H

#include "nn/windows.h"

typedef enum Aggregation
{
	AGGREGATE_NONE,    /* every token for itself */
	AGGREGATE_SIMPLE,  /* neighbouring tokens of the same label */
	AGGREGATE_FIRST,   /* words by their first token, then neighbouring words */
	AGGREGATE_AVERAGE, /* words by their mean scores */
	AGGREGATE_MAX      /* words by their most certain token */
} Aggregation;

/* From "none", "simple", "first", "average", "max". */
bool aggregation_parse(const char *name, Aggregation *aggregation, Status *status);

/* The text's tokens with their scores, each token once however many windows read it. */
typedef struct ScoredTokens
{
	size_t n_tokens;
	size_t n_labels;
	int32_t *ids;     /* (n_tokens) */
	uint32_t *starts; /* (n_tokens) characters */
	uint32_t *ends;
	float *scores;   /* (n_tokens, n_labels) softmax probabilities */
	int32_t *labels; /* (n_tokens) of the largest logit; scores may be rounded to the same number */
} ScoredTokens;

/* Runs a token classification model over all windows of one text. stride: the encoding's. */
bool score_tokens(const BertModel *model, const EncodeResult *encoded, size_t stride, Arena *arena,
				  ScoredTokens *tokens, const MayContinue *question, Status *status);

typedef struct Entity
{
	int index;         /* AGGREGATE_NONE: the token's place in the text, 1 for the first; else 0 */
	const char *label; /* without B- and I- where tokens are grouped */
	const char *word;  /* NUL-terminated */
	float score;
	uint32_t start; /* characters */
	uint32_t end;
} Entity;

typedef struct EntityRequest
{
	const BertConfig *config;
	const Tokenizer *tokenizer;
	const char *text; /* UTF-8 */
	size_t length;    /* bytes */
	Aggregation aggregation;
	bool keep_outside; /* tokens labelled "O", which the reference leaves out */
} EntityRequest;

/* Groups the tokens of a text. Strings are in the arena, labels in the config. */
bool group_entities(const ScoredTokens *tokens, const EntityRequest *request, Arena *arena,
					Entity **entities, size_t *n_entities, Status *status);

#endif
