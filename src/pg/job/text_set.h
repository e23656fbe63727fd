/* text_set.h: different texts, numbered in the order in which they came. */
#ifndef BERT_PG_JOB_TEXT_SET_H
#define BERT_PG_JOB_TEXT_SET_H

#include "train/samples.h"

/* {0}: none */
typedef struct TextSet
{
	size_t n;
	size_t capacity;
	SampleText *texts; /* (n) UTF-8 */
	uint64_t *hashes;  /* (n) */
	size_t places;     /* a power of two */
	uint32_t *table;   /* (places): a text's number + 1, 0 for none */
} TextSet;

/* *number: of the text, which is copied into the arena when it is new. */
extern bool text_set_add(TextSet *set, Arena *arena, const char *utf8, size_t length,
						 uint32_t *number, Status *status);

#endif
