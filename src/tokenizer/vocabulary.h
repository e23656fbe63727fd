/*
 * vocabulary.h: the hash table of an image: keys, hashes, and the id of a token. Nobody outside
 * src/tokenizer includes it.
 */
#ifndef BERT_TOKENIZER_VOCABULARY_H
#define BERT_TOKENIZER_VOCABULARY_H

#include <string.h>

#include "tokenizer/image.h"

static inline uint64_t
load_word(const unsigned char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof word);
	return word;
}

/* The first n < 8 bytes of a word as it lies in memory. */
static inline uint64_t
keep_bytes(uint64_t word, size_t n)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return word & ((UINT64_C(1) << (n * 8)) - 1);
#else
	return word & ~(~UINT64_C(0) >> (n * 8));
#endif
}

#define HASH_FACTOR UINT64_C(0x9FB21C651E98DF25)

/*
 * A key of 1 to 8 bytes as the number that it is in memory, padded with zeros. Readable for 8 bytes
 * past its end.
 */
static inline uint64_t
short_key(const unsigned char *key, size_t n)
{
	return n == SLOT_SHORT ? load_word(key) : keep_bytes(load_word(key), n);
}

/* form: as in the slot */
static inline uint64_t
hash_short(uint64_t key, uint32_t form, uint64_t seed)
{
	uint64_t hash = (key ^ seed) * HASH_FACTOR;

	hash ^= hash >> 32;
	return (hash ^ form) * HASH_FACTOR;
}

/* For keys of more than 8 bytes, readable for 8 bytes past their end. */
static inline uint64_t
hash_long(const unsigned char *key, size_t n, uint32_t form, uint64_t seed)
{
	uint64_t hash = seed;

	for (; n >= 8; n -= 8, key += 8)
	{
		hash = (hash ^ load_word(key)) * HASH_FACTOR;
		hash ^= hash >> 32;
	}
	return hash_short(hash ^ (n == 0 ? 0 : keep_bytes(load_word(key), n)), form, seed);
}

/* Where the lengths of tokens that begin with these LENGTHS_BYTES bytes are. Key as above. */
static inline size_t
lengths_index(const unsigned char *key, bool continuation)
{
	return (size_t) ((keep_bytes(load_word(key), LENGTHS_BYTES) ^
					  (continuation ? UINT64_C(0xD6E8FEB86659FD93) : 0)) *
						 HASH_FACTOR >>
					 (64 - LENGTHS_BITS));
}

/* Both readable for 8 bytes past their ends. */
static inline bool
same_bytes(const unsigned char *a, const unsigned char *b, size_t n)
{
	for (; n >= 8; n -= 8, a += 8, b += 8)
		if (load_word(a) != load_word(b))
			return false;
	return n == 0 || keep_bytes(load_word(a) ^ load_word(b), n) == 0;
}

/* The id of the token whose key is the 1 to 8 bytes of a short_key; -1. */
static inline int32_t
vocabulary_find_short(const Tokenizer *t, uint64_t key, uint32_t form)
{
	uint32_t slot = (uint32_t) (hash_short(key, form, t->seed) >> t->slot_shift);

	for (uint32_t probe = 0; probe < t->max_probe; probe++, slot++)
	{
		const VocabularySlot *found = &t->slots[slot & t->slot_mask];

		/* The image may be damaged: nothing of it is followed unchecked. */
		if (found->key == key && found->form == form && found->id < t->n_ids)
			return (int32_t) found->id;
		if (found->id == SLOT_EMPTY)
			return -1;
	}
	return -1;
}

/* The same for longer keys. */
int32_t vocabulary_find_long(const Tokenizer *tokenizer, const unsigned char *key, size_t n,
							 bool continuation);

/*
 * The id of a token of the model, without the prefix for a continuation; -1. Key: n >= 1 bytes,
 * readable for 8 more.
 */
static inline int32_t
vocabulary_find(const Tokenizer *t, const unsigned char *key, size_t n, bool continuation)
{
	if (n <= SLOT_SHORT)
		return vocabulary_find_short(t, short_key(key, n),
									 (uint32_t) n | (continuation ? SLOT_CONTINUATION : 0));
	return vocabulary_find_long(t, key, n, continuation);
}

/* Text of an entry in texts, empty when the image is damaged. */
const unsigned char *vocabulary_text(const Tokenizer *tokenizer, uint32_t offset, uint32_t length);

#endif
