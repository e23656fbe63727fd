/*
 * generate.h: text generation with a causal language model, a token at a time, with a cache of keys
 * and values.
 *
 * Temperature, top-k and top-p are applied in the reference's order; what they leave is sampled
 * with a seeded generator, so equal seeds give equal texts.
 */
#ifndef BERT_NN_GENERATE_H
#define BERT_NN_GENERATE_H

#include "nn/model.h"

typedef struct GenerateOptions
{
	size_t max_new_tokens;
	float temperature; /* 0: greedy, always the most probable token */
	size_t top_k;      /* 0: all */
	float top_p;       /* 1: all */
	uint64_t seed;
	int32_t stop_id; /* generation ends after it; -1 for none */
} GenerateOptions;

typedef struct GenerateRequest
{
	const BertModel *model;
	const int32_t *prompt; /* (n) ids, at least one */
	size_t n;
	const GenerateOptions *options;
} GenerateRequest;

/*
 * Continues the prompt. *out: the new ids, the stop id not among them. Stops
 * early when the model's positions are used up.
 */
bool generate_tokens(const GenerateRequest *request, Arena *arena, int32_t **out, size_t *n_out,
					 const MayContinue *question, Status *status);

#endif
