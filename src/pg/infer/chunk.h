/* chunk.h: a long text in parts that can be embedded whole. */
#ifndef BERT_PG_INFER_CHUNK_H
#define BERT_PG_INFER_CHUNK_H

#include "pg/infer/batch.h"
#include "tokenizer/chunks.h"

typedef struct ChunkWalk
{
	Call *call;
	InputText *input;
	const Encoding *encoding;
	Boundaries boundaries;
	ChunkCursor cursor;
	size_t max_tokens;
	uint32_t start; /* code points of the input */
	uint32_t end;
	uint32_t seen_character; /* a place at or before the start, and its byte */
	size_t seen_byte;
} ChunkWalk;

/*
 * Tokens of a chunk that the model reads whole, with its special tokens and the call's prompt; 0:
 * there is no room.
 */
extern int chunk_room(Call *call);

/* overlap < max_tokens */
extern void chunk_walk_begin(ChunkWalk *walk, Call *call, InputText *input, int max_tokens,
							 int overlap);
/* The next chunk; false: there is none left. */
extern bool chunk_walk_next(ChunkWalk *walk);

#endif
