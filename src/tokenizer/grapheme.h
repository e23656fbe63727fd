/*
 * grapheme.h: extended grapheme clusters (Unicode Standard Annex #29), a character at a time. A
 * state begins as zeros.
 */
#ifndef BERT_TOKENIZER_GRAPHEME_H
#define BERT_TOKENIZER_GRAPHEME_H

#include <stdbool.h>

#include "tokenizer/unicode.h"

typedef struct GraphemeState
{
	bool begun;
	uint8_t previous; /* GraphemeClass */
	uint8_t pictograph;
	uint8_t conjunct;
	bool odd_regional;
} GraphemeState;

/* Whether a character of this class, which comes next, begins a new cluster. */
bool grapheme_begins(const GraphemeState *state, uint8_t class);
/* It has come. */
void grapheme_note(GraphemeState *state, uint8_t class);

#endif
