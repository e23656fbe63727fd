/*
 * chunks.h: where a long text is cut.
 *
 * A text is cut between tokens: best where a paragraph ends, else a sentence, a line, a word; only
 * in a word that alone is too long somewhere else, and never inside a character as a reader sees
 * it, unless that alone is too long.
 */
#ifndef BERT_TOKENIZER_CHUNKS_H
#define BERT_TOKENIZER_CHUNKS_H

#include "tokenizer/tokenizer.h"

typedef enum Boundary
{
	BOUNDARY_NONE,      /* inside a character */
	BOUNDARY_TOKEN,     /* inside a word */
	BOUNDARY_JOINT,     /* between words without white space: before a full stop, around a hyphen */
	BOUNDARY_WORD,      /* also between Chinese characters */
	BOUNDARY_LINE,      /* the text goes on in another line */
	BOUNDARY_SENTENCE,  /* behind a full stop or the like */
	BOUNDARY_PARAGRAPH, /* an empty line is in between */
} Boundary;

typedef struct Boundaries
{
	uint8_t *kinds;   /* (n + 1) Boundary before each token; the last one: the text's end */
	uint32_t *starts; /* (n + 1) characters: where each token begins, without white space */
} Boundaries;

/*
 * Tells what is before each token of a text's encoding (without special tokens). Asks the arena's
 * question.
 */
bool chunk_boundaries(Arena *arena, const EncodeInput *text, const Encoding *encoding,
					  Boundaries *found, Status *status);

/* One chunk after the other: tokens [first, end). Begins with zeros and the first three. */
typedef struct ChunkCursor
{
	const uint8_t *kinds; /* (n + 1) */
	size_t n;             /* tokens of the text */
	size_t overlap;       /* that neighbours share at most; less than max_tokens */
	size_t first;
	size_t end;
	size_t before; /* end of the chunk before */
} ChunkCursor;

/* Where the next chunk begins; false when the text is at its end. */
bool chunk_begin(ChunkCursor *cursor);
/* Its end, at most max_tokens on. May be asked again with less, while that is more than 0. */
void chunk_end(ChunkCursor *cursor, size_t max_tokens);

#endif
