/*
 * vocab_builder.h: makes a WordPiece vocabulary from texts, as the reference's WordPieceTrainer
 * does: words are counted, then the most frequent pair of neighbouring pieces becomes a piece,
 * until the vocabulary is full.
 *
 * The result depends on the texts alone. The reference breaks ties between equally frequent pairs
 * by ids that it gives in the order of a hash table; here continuation letters have their ids in
 * the order of code points.
 */
#ifndef BERT_TOKENIZER_VOCAB_BUILDER_H
#define BERT_TOKENIZER_VOCAB_BUILDER_H

#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/status.h"

typedef struct VocabBuilderOptions
{
	int size;          /* tokens wanted; letters may make it more, too little text fewer */
	int min_frequency; /* a pair must occur that often; the reference's default is 2 */
	/* letters kept, the most frequent; the reference's default is 1000 */
	int limit_alphabet;
	bool lowercase; /* and strip accents */
	/* distinct words held; when there are more, the rarest are forgotten */
	size_t max_words;
} VocabBuilderOptions;

typedef struct VocabBuilder VocabBuilder;

/* The reference's defaults with 4,000,000 words. */
VocabBuilderOptions vocab_builder_defaults(int size, bool lowercase);

/*
 * Everything is allocated in the arena, which must outlive the builder. NULL and *status on
 * failure.
 */
VocabBuilder *vocab_builder_create(Arena *arena, const VocabBuilderOptions *options,
								   Status *status);

/* Counts the words of one text (UTF-8). Words of more than 1,000 characters are left out. */
bool vocab_builder_add_text(VocabBuilder *builder, const char *text, size_t length,
							const MayContinue *question, Status *status);

/*
 * The vocabulary in vocab.txt's form, NUL-terminated, in the arena. Afterwards the builder is used
 * up.
 */
bool vocab_builder_finish(VocabBuilder *builder, const MayContinue *question, char **vocab,
						  size_t *length, Status *status);

#endif
