/* word_counts.h: how often each word occurs, for vocab_builder.c. */
#ifndef BERT_TOKENIZER_WORD_COUNTS_H
#define BERT_TOKENIZER_WORD_COUNTS_H

#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/status.h"

typedef struct WordCount
{
	size_t text;     /* offset into texts */
	uint32_t length; /* bytes */
	uint32_t hash;
	int64_t count;
} WordCount;

typedef struct WordCounts
{
	Arena *arena;
	size_t max_words;
	size_t n_words;
	size_t capacity;
	WordCount *words; /* in the order of first sight */
	uint32_t *slots;  /* word + 1 */
	size_t slot_mask;
	unsigned char *texts; /* in the order of the words */
	size_t texts_length;
	size_t texts_capacity;
	bool stopped; /* *status is filled */
	Status *status;
} WordCounts;

bool word_counts_init(WordCounts *counts, Arena *arena, size_t max_words);

/*
 * Counts one word; false when out of memory, or told to stop by the arena's question (*stopped).
 */
bool word_counts_add(WordCounts *counts, const unsigned char *text, size_t length);

#endif
