/* vocab_merges.h: from counted words to a vocabulary, for vocab_builder.c. */
#ifndef BERT_TOKENIZER_VOCAB_MERGES_H
#define BERT_TOKENIZER_VOCAB_MERGES_H

#include "tokenizer/vocab_builder.h"
#include "tokenizer/word_counts.h"

#define VOCAB_SPECIAL_TOKENS 5 /* [PAD] [UNK] [CLS] [SEP] [MASK], ids 0 to 4 */

bool vocab_merges_run(Arena *arena, const VocabBuilderOptions *options, const WordCounts *words,
					  const MayContinue *question, char **vocab, size_t *length, Status *status);

#endif
