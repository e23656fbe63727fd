/*
 * input.h: texts between the database's encoding and the UTF-8 of the plain C layers, with
 * positions on both sides.
 */
#ifndef BERT_PG_INFER_INPUT_H
#define BERT_PG_INFER_INPUT_H

#include "pg/infer/call.h"

/*
 * A text argument. Positions in the core are in code points; users see characters of the database's
 * encoding.
 */
typedef struct InputText
{
	const char *utf8;
	size_t length;     /* bytes of utf8 */
	const char *bytes; /* as the database stores it */
	size_t n_bytes;
	/* (code points + 1) character where each begins; NULL: the same, or not yet made */
	const uint32_t *characters;
	bool same;              /* code points are characters */
	size_t seen_characters; /* where the last slice ended */
	size_t seen_bytes;
} InputText;

/* SQLSTATE 22021 for invalid bytes, 22P05 for characters without a place in Unicode. */
extern void input_text(const text *value, InputText *input);
/* Code point to character. */
extern int32 input_position(Call *call, InputText *input, uint32_t code_point);
/* The characters from start to end (code points), as they are in the input. */
extern text *input_slice(Call *call, InputText *input, uint32_t start, uint32_t end);

/* UTF-8 to a text of the database's encoding. */
extern text *output_text(const char *utf8, size_t length);

#endif
