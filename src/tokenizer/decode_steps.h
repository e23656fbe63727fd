/* decode_steps.h: from tokens' texts to text. Nobody outside src/tokenizer includes it. */
#ifndef BERT_TOKENIZER_DECODE_STEPS_H
#define BERT_TOKENIZER_DECODE_STEPS_H

#include "tokenizer/image.h"

typedef struct DecodedPart
{
	const char *text; /* not NUL-terminated */
	size_t length;
} DecodedPart;

typedef struct DecodedParts
{
	DecodedPart *items; /* with room for one more than n at first */
	size_t n;
} DecodedParts;

/* The tokens' texts through the decoders of a composed tokenizer. */
bool decode_steps(const Tokenizer *tokenizer, Arena *arena, DecodedParts *parts,
				  const MayContinue *question, DecodedText *out, Status *status);

/* decode.c: the clean-up of BERT's decoder, in place; returns the new length. */
size_t decode_clean_up(char *text, size_t length);

#endif
