/*
 * charsmap.h: the character map of a SentencePiece normalizer ("precompiled_charsmap"): 32 bits
 * with the bytes of a double array, the array, and the texts that its values point to, each ending
 * with a zero. Nobody outside src/tokenizer includes it.
 */
#ifndef BERT_TOKENIZER_CHARSMAP_H
#define BERT_TOKENIZER_CHARSMAP_H

#include "core/status.h"
#include "tokenizer/unicode.h"

/* Whether its parts lie inside; what they hold is checked where it is used. Status may be NULL. */
bool charsmap_check(const unsigned char *map, size_t length, Status *status);

/*
 * What the shortest key that the text begins with is replaced by: its bytes, which are UTF-8 and in
 * the map. NULL when no key begins the text.
 */
const unsigned char *charsmap_find(const unsigned char *map, size_t length,
								   const unsigned char *text, size_t n, size_t *found);

#endif
