/*
 * masking.h: what masked language modelling hides and next-sentence prediction pairs (Devlin et
 * al., "BERT", section 3.1 and appendix A; the reference's DataCollatorForLanguageModeling and
 * DataCollatorForWholeWordMask).
 *
 * All choices are a function of (seed, stream, position) by Philox, so that a step is reproducible
 * from them. The caller makes the stream from the step (training) or from the sample (evaluation).
 */
#ifndef BERT_TRAIN_MASKING_H
#define BERT_TRAIN_MASKING_H

#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"

typedef struct MaskingOptions
{
	double probability; /* of a token (or word) to be predicted: 0.15 */
	bool whole_words;
	int32_t mask_id;
	int32_t vocab_size;
	/*
	 * special tokens are never chosen and never put in place of a token; continuation: "##" pieces,
	 * for whole words where it is not known where tokens lie
	 */
	bool (*is_special)(const void *context, int32_t id);
	bool (*is_continuation)(const void *context, int32_t id);
	const void *context;
} MaskingOptions;

/* One sequence. */
typedef struct MaskedText
{
	int32_t *ids; /* (n) */
	size_t n;
	/* (n) characters of the text, or NULL: not known */
	const uint32_t *starts;
	const uint32_t *ends;
} MaskedText;

/*
 * Chooses tokens of a sequence, replaces 80 % of them by [MASK], 10 % by a random token, leaves
 * 10 %. labels (n): the original id of what was chosen, -100 elsewhere. first: the position of the
 * sequence's first token in the stream. Returns how many were chosen.
 *
 * whole_words: what stands together without a gap is a word, punctuation included; its first token
 * decides for all of it, and all that was chosen becomes [MASK], as in the reference. Without
 * starts and ends a word is a token with the continuation pieces that follow.
 */
size_t masking_apply(const MaskingOptions *options, uint64_t seed, uint64_t stream, uint64_t first,
					 const MaskedText *text, int64_t *labels);

/* A range of sentences of one document. */
typedef struct SentenceRange
{
	size_t document;
	size_t first;
	size_t count;
} SentenceRange;

typedef struct SentencePair
{
	SentenceRange a;
	SentenceRange b;
	bool random; /* b is from another document: label 1, "does not follow" */
} SentencePair;

/*
 * Lengths in tokens of the sentences of each document: those of document d are lengths[starts[d] ..
 * starts[d+1]-1].
 */
typedef struct Documents
{
	size_t n_documents;
	const size_t *starts; /* (n_documents + 1) */
	const uint32_t *lengths;
} Documents;

/*
 * Pairs for next-sentence prediction: consecutive sentences are gathered to about max_tokens, cut
 * at a random sentence into a and b; half of the bs are replaced by sentences of another document,
 * and what they replaced is used again. A document with one sentence left over gives a random pair.
 * *pairs in the arena.
 */
bool sentence_pairs_make(Arena *arena, const Documents *documents, size_t max_tokens, uint64_t seed,
						 SentencePair **pairs, size_t *n_pairs, Status *status);

#endif
