/*
 * vocab_text.h: vocab.txt, one token a line; the line's number, from 0, is the token's id.
 *
 * As the reference reads it: white space at a line's end does not belong to the token, of repeated
 * tokens the last one counts, and a blank line is an id that no text gives. What is read is brought
 * into a form where all that is done already: lines end with "\n", a line that does not count is
 * empty, and the last line is not.
 */
#ifndef BERT_FILES_VOCAB_TEXT_H
#define BERT_FILES_VOCAB_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/status.h"
#include "files/pieces.h"

#define VOCAB_TEXT_MAX_BYTES ((size_t) 128 * 1024 * 1024)

typedef struct VocabLine
{
	const char *text; /* not NUL-terminated */
	size_t length;    /* bytes */
	int32_t id;
} VocabLine;

typedef struct VocabText
{
	char *text;
	size_t length;
	int32_t n_lines;   /* without blank ones at the end */
	int32_t n_tokens;  /* lines that count; with blank ones, as the reference counts, one more */
	VocabLine *sorted; /* (n_sorted) lines that are not empty, by length and bytes */
	size_t n_sorted;
} VocabText;

/* More than CONFIG_MAX_VOCAB lines or VOCAB_TEXT_MAX_BYTES: STATUS_LIMIT. */
bool vocab_text_read(Arena *arena, const char *text, size_t length, VocabText *vocab,
					 Status *status);

/* The tokens of pieces, for vocab_text_find; n_tokens stays, and there is no text. */
bool vocab_text_of_pieces(Arena *arena, const Pieces *pieces, VocabText *vocab, Status *status);

/* The id of a token, or -1. */
int32_t vocab_text_find(const VocabText *vocab, const char *token);

/* Whether a token ends with white space, so that no line can be read as it. */
bool vocab_text_trims(const char *token, size_t length);

#endif
