/*
 * sentencepiece.h: the models of the SentencePiece library (sentencepiece.bpe.model, spiece.model):
 * a protocol buffer with pieces, scores and the normalizer's character map. Read without any
 * library: every length is checked, and fields that are not needed are passed over.
 */
#ifndef BERT_FILES_SENTENCEPIECE_H
#define BERT_FILES_SENTENCEPIECE_H

#include "files/added_tokens.h"
#include "files/pieces.h"
#include "files/tokenizer_classes.h"

typedef struct SentencePiece
{
	const char *text; /* in the file's bytes, not NUL-terminated */
	size_t length;
	float score;
} SentencePiece;

typedef struct SentencePieceModel
{
	uint32_t n; /* 0: there is none */
	SentencePiece *pieces;
	const unsigned char *charsmap;
	size_t charsmap_length;
	/* control and user-defined pieces, which are added tokens; not NULL if n > 0 */
	AddedToken *added;
	size_t n_added;
} SentencePieceModel;

/* The bytes must outlive the model. What is no Unigram model is STATUS_UNSUPPORTED. */
bool sentencepiece_read(Arena *arena, const char *bytes, size_t length, SentencePieceModel *out,
						Status *status);

/*
 * The vocabulary of a class: its own tokens, then the model's pieces, as the reference's converters
 * put them. names: bos, eos, unk, sep, pad, cls, mask.
 */
bool sentencepiece_order(Arena *arena, const SentencePieceModel *model, TokenizerClass class,
						 const char *const names[CLASS_NAMED_TOKENS], Pieces *out, Status *status);

#endif
