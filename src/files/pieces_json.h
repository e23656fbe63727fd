/* pieces_json.h: the vocabularies of Unigram and BPE models in tokenizer.json, both ways. */
#ifndef BERT_FILES_PIECES_JSON_H
#define BERT_FILES_PIECES_JSON_H

#include "files/pieces.h"

struct json_t;

/* [["token", score], ...]; the place in the list is the id. */
bool pieces_from_scores(Arena *arena, const struct json_t *vocab, Pieces *out, Status *status);

/* {"token": id, ...} and ["left right", ...] or [["left", "right"], ...] */
bool pieces_from_merges(Arena *arena, const struct json_t *vocab, const struct json_t *merges,
						Pieces *out, Status *status);

/* The same with merges.txt, a merge a line. */
bool pieces_from_files(Arena *arena, const struct json_t *vocab, const char *merges, size_t length,
					   Pieces *out, Status *status);

/* A JSON text that grows in an arena. */
typedef struct TextBuffer
{
	Arena *arena;
	char *text;
	size_t length;
	size_t capacity;
	bool failed; /* out of memory */
} TextBuffer;

void text_append(TextBuffer *buffer, const char *text, size_t length);
/* In quotes, with what JSON escapes. */
void text_append_string(TextBuffer *buffer, const char *text, size_t length);

/* The members "vocab" and "merges" of the model, as the reference writes them. */
bool pieces_append_vocab(TextBuffer *buffer, const Pieces *pieces, Status *status);

#endif
