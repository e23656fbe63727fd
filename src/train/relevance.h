/* relevance.h: which documents are right for which queries (TREC calls such lists qrels). */
#ifndef BERT_TRAIN_RELEVANCE_H
#define BERT_TRAIN_RELEVANCE_H

#include <stdint.h>

#include "core/arena.h"

typedef struct RelevantPair
{
	uint32_t query;
	uint32_t document;
} RelevantPair;

typedef struct Relevance
{
	size_t n;
	RelevantPair *pairs; /* (n) by query and document, each once */
	size_t *starts;      /* (queries + 1): pairs starts[q] .. starts[q + 1] - 1 are query q's */
} Relevance;

/* Sorts the pairs (n) in place. *relevance points to them; starts lie in the arena. */
bool relevance_make(Arena *arena, RelevantPair *pairs, size_t n, size_t queries,
					Relevance *relevance, Status *status);

bool relevance_has(const Relevance *relevance, size_t query, uint32_t document);

#endif
