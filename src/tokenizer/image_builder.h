/*
 * image_builder.h: an image while it is made. Nobody outside src/tokenizer includes it.
 */
#ifndef BERT_TOKENIZER_IMAGE_BUILDER_H
#define BERT_TOKENIZER_IMAGE_BUILDER_H

#include "core/bulk.h"
#include "files/pieces.h"
#include "tokenizer/image.h"

#define MAX_PROBE 64 /* a table with longer chains is built again with another seed */
#define MAX_SLOT_BITS 24
#define MAX_TEXTS ((size_t) 1 << 31)
#define MAX_ADDED 20000
#define ASK_LINES 8192 /* lines of the vocabulary between two questions */

/* An added token on its way into the image. */
typedef struct Added
{
	const char *content;
	size_t length;
	uint32_t id;
	uint32_t flags;
	const unsigned char *pattern;
	size_t pattern_length;
} Added;

typedef struct Builder
{
	Arena *arena;
	const TokenizerSettings *settings;
	Status *status;
	size_t n_lines; /* of the vocabulary */
	Added *added;
	size_t n_added;
	size_t n_ids; /* largest id + 1 */
	ImageHeader header;
	unsigned char *texts; /* the tokens, one after the other */
	size_t texts_length;
	size_t texts_capacity;
	uint32_t *offsets; /* (n_lines + 1) into texts */
	VocabularySlot *slots;
	/* of composed tokenizers, and the template of any */
	Pipeline *pipeline; /* NULL: of BERT */
	Pieces pieces;
	TrieSlot *trie;
	int32_t *nodes;
	double *scores; /* of nodes */
	MergeSlot *merges;
	uint8_t *joins;   /* (JOINS_BYTES) */
	StepEntry *steps; /* of all three lists */
	size_t n_steps;
	unsigned char *strings;
	size_t strings_length;
} Builder;

static inline bool
builder_out_of_memory(const Builder *b)
{
	return arena_fail(b->arena, b->status, "the tokenizer", b->settings->vocab_length);
}

/* In one of ASK_LINES turns: false when told to stop. */
static inline bool
builder_may_go_on(const Builder *b, size_t turn)
{
	return !bulk_turn(turn, ASK_LINES) || arena_may_continue(b->arena, b->status);
}

/* image_vocabulary.c: the tokens' texts, by id, and the hash table of them. */
bool builder_read_lines(Builder *builder);
bool builder_read_pieces(Builder *builder);
bool builder_hash_tokens(Builder *builder);
int32_t builder_find_text(const Builder *builder, const char *text, size_t length);

/* image_added.c */
bool builder_add_tokens(Builder *builder);
int32_t builder_find_named(const Builder *builder, const char *content);

/* image_composed.c: pipeline, trie and merges; then the sections, whose places are known. */
bool builder_read_pipeline(Builder *builder);
bool builder_compose(Builder *builder);
bool builder_write_composed(const Builder *builder, unsigned char *image, const ImageHeader *header,
							Status *status);

#endif
