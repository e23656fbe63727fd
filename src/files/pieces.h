/*
 * pieces.h: a vocabulary that is more than lines: tokens with any bytes, scores (Unigram), merges
 * (BPE) and the character map of a SentencePiece normalizer, as bytes that the store keeps in the
 * place of vocab.txt.
 *
 * All numbers are little-endian: "BERTPCS1", then 32 bits each the numbers of tokens, of merges, of
 * bytes of the texts and of the character map, and 1 if there are scores; then (tokens) lengths,
 * 16 bits each, (tokens) scores, 64 bits each, (merges, 2) ids, 32 bits each, the texts and the
 * character map. Bytes may be damaged: everything is checked when they are read.
 */
#ifndef BERT_FILES_PIECES_H
#define BERT_FILES_PIECES_H

#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/status.h"

#define PIECES_MAX_LENGTH 1024                          /* bytes of a token */
#define PIECES_MAX_BYTES ((size_t) 128 * 1024 * 1024)   /* of all tokens */
#define PIECES_MAX_CHARSMAP ((size_t) 16 * 1024 * 1024) /* bytes */
#define PIECES_MAX_MERGES ((uint32_t) 16 * 1024 * 1024)

typedef struct Pieces
{
	uint32_t n;              /* ids are 0 to n - 1; an id that no token has is empty */
	const uint32_t *offsets; /* (n + 1) into texts */
	const char *texts;
	const double *scores; /* (n), or NULL */
	uint32_t n_merges;
	const uint32_t *merges; /* (n_merges, 2): ids of the left and of the right token, by rank */
	const unsigned char *charsmap; /* or NULL */
	size_t charsmap_length;
} Pieces;

/* The bytes in the arena, or NULL and *status. */
char *pieces_write(Arena *arena, const Pieces *pieces, size_t *length, Status *status);
bool pieces_read(Arena *arena, const char *bytes, size_t length, Pieces *pieces, Status *status);

#endif
