/*
 * internal.h: what the tokenizer's stages share; nobody outside src/tokenizer includes it.
 *
 * The way of a text: added tokens are cut out of it (added.c); what is between them goes through
 * the normaliser (normalizer.c) character by character into the pre-tokenizer (pretokenizer.c),
 * which collects words and hands each to WordPiece (wordpiece.c), which looks pieces up
 * (vocabulary.c) and appends tokens to a TokenList. Words of plain ASCII take a shortcut through
 * the first two. Lists become windows in windows.c.
 */
#ifndef BERT_TOKENIZER_INTERNAL_H
#define BERT_TOKENIZER_INTERNAL_H

#include <string.h>

#include "core/bulk.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/unicode.h"

#define ASK_BYTES ((size_t) 64 * 1024) /* of text between two questions to MayContinue */

/* The image: a header, then sections at 64-byte aligned offsets. */
#define IMAGE_MAGIC "BERTTOK"
#define IMAGE_VERSION 3
#define IMAGE_BYTE_ORDER 0x01020304
#define IMAGE_PREFIX_LENGTH 32 /* longest continuing_subword_prefix */
/* bytes readable after the texts, so that they can be read in words */
#define IMAGE_PADDING 8

#define NORMALIZE_CLEAN 1
#define NORMALIZE_CHINESE 2
#define NORMALIZE_ACCENTS 4
#define NORMALIZE_LOWERCASE 8

#define TOKEN_MAX_BYTES 1024 /* longest line of a vocabulary */

#define TOKEN_SPECIAL 1
#define TOKEN_CONTINUATION 2

#define ADDED_SPECIAL 1
#define ADDED_SINGLE_WORD 2
#define ADDED_LSTRIP 4
#define ADDED_RSTRIP 8
#define ADDED_NORMALIZED 16

#define SLOT_EMPTY UINT32_MAX
#define SLOT_CONTINUATION 0x80000000u
#define SLOT_SHORT 8 /* a key of up to 8 bytes lies in the slot itself */

typedef struct VocabularySlot
{
	uint64_t key;  /* the key padded with zeros, or the hash of a longer one */
	uint32_t id;   /* SLOT_EMPTY */
	uint32_t form; /* length of the key | SLOT_CONTINUATION */
} VocabularySlot;

/*
 * Which lengths tokens have, by a hash of their first bytes: bit n for n bytes, the last bit for
 * that many and more. Splitting a word need not try the others. Shorter tokens than LENGTHS_BYTES
 * are not in it.
 */
#define LENGTHS_BITS 13
#define LENGTHS_BYTES 3
#define LENGTHS_LAST 31

typedef struct AddedEntry
{
	uint32_t id;
	uint32_t flags;
	uint32_t content; /* offset and length in texts */
	uint32_t content_length;
	uint32_t pattern; /* what is searched for: the content, normalised if so flagged */
	uint32_t pattern_length;
} AddedEntry;

typedef struct ImageHeader
{
	char magic[8];
	uint32_t version;
	uint32_t byte_order;
	uint64_t length;  /* of the whole image */
	uint32_t n_ids;   /* largest id + 1 */
	uint32_t n_model; /* lines of the vocabulary */
	uint32_t slot_bits;
	uint32_t max_probe; /* slots to look at before giving up */
	/* bytes of the longest token, and of the longest continuation without prefix */
	uint32_t max_plain;
	uint32_t max_continuation;
	uint32_t max_chars;  /* longer words are unknown */
	uint32_t max_length; /* model_max_length */
	uint32_t normalize;  /* NORMALIZE_* */
	uint32_t n_added;
	int32_t cls_id;
	int32_t sep_id;
	int32_t pad_id;
	int32_t unk_id;
	int32_t mask_id;
	uint32_t prefix_length;
	uint32_t pair_type; /* token type of a pair's second text */
	uint32_t unused;    /* 0; so that what follows is aligned without a gap */
	unsigned char prefix[IMAGE_PREFIX_LENGTH];
	uint64_t seed;
	/* uint32_t (n_ids + 1): token i is texts[offsets[i] .. offsets[i + 1]) */
	uint64_t offsets_at;
	uint64_t flags_at;   /* uint8_t (n_ids) */
	uint64_t slots_at;   /* VocabularySlot (1 << slot_bits) */
	uint64_t lengths_at; /* uint32_t (1 << LENGTHS_BITS) */
	/* AddedEntry (n_added), by set, first byte of pattern, length descending */
	uint64_t added_at;
	uint64_t texts_at;
	uint64_t texts_length; /* IMAGE_PADDING more bytes follow */
} ImageHeader;

/*
 * One of the two sets of added tokens: those matched before, and those matched after normalisation.
 */
typedef struct AddedSet
{
	uint32_t first; /* index of the set's first entry */
	uint32_t count;
	int single_byte;     /* the one byte that all patterns begin with, or -1 */
	uint32_t range[256]; /* begin of the entries for a first byte, relative to first */
	uint32_t range_end[256];
} AddedSet;

typedef enum AsciiKind
{
	ASCII_WORD,
	ASCII_SPACE,
	ASCII_PUNCTUATION,
	ASCII_OTHER /* not ASCII, or dropped by cleaning */
} AsciiKind;

struct Tokenizer
{
	const ImageHeader *header;
	const uint32_t *offsets;
	const uint8_t *flags;
	const VocabularySlot *slots;
	const uint32_t *lengths;
	const AddedEntry *added;
	const unsigned char *texts;
	uint32_t n_ids;
	uint32_t slot_mask;
	uint32_t slot_shift;
	uint32_t max_probe;
	uint32_t max_plain;
	uint32_t max_continuation;
	uint32_t max_chars;
	uint32_t prefix_length;
	uint32_t normalize;
	int32_t unk_id;
	uint64_t seed;
	uint64_t texts_length;
	AddedSet sets[2]; /* [1]: normalised */
	uint8_t ascii_kind[256];
	/* of word bytes as they leave the normaliser, 0 for all others */
	uint8_t ascii_lower[256];
};

/*
 * Tokens of one text. Before the first and behind the last there is room for a special token each.
 */
typedef struct TokenList
{
	size_t n;
	size_t total; /* that the whole text has, or more than the other text of a pair has */
	size_t capacity;
	bool counting; /* only n is kept */
	int32_t *ids;
	uint32_t *starts;
	uint32_t *ends;
	int32_t *words;
} TokenList;

/* A character on its way through canonical reordering. */
typedef struct RunChar
{
	uint32_t c;
	uint8_t combining_class;
	bool added; /* not the first of its decomposition */
	uint8_t bits;
} RunChar;

/* Takes a character of normalised text and the original character that it stands for. */
typedef void (*EmitCharacter)(void *context, uint32_t c, uint8_t bits, uint32_t origin);

typedef struct Normalizer
{
	uint32_t normalize; /* NORMALIZE_* */
	Arena *arena;
	EmitCharacter emit;
	void *context;
	const MayContinue *question; /* NULL until set; asked inside long runs */
	Status *status;
	bool failed;  /* out of memory */
	bool stopped; /* told so: *status is filled */
	RunChar *run; /* characters that wait for the next starter */
	size_t run_length;
	size_t run_capacity;
	uint32_t *origins; /* of the run's characters that are not added */
	size_t n_origins;
	size_t origins_capacity;
	uint32_t last_origin;
} Normalizer;

typedef struct TextEncoder
{
	const Tokenizer *tokenizer;
	Arena *arena;
	const MayContinue *question;
	Status *status;
	size_t limit;  /* stop when the list has more tokens */
	bool failed;   /* out of memory */
	bool stopped;  /* told so: *status is filled */
	size_t wanted; /* bytes that were not to be had */
	TokenList list;
	uint32_t next_word;  /* index of the next word */
	unsigned char *word; /* the word being collected, in UTF-8 */
	uint32_t *origins;   /* per byte of word */
	size_t word_bytes;
	size_t word_capacity;
	size_t word_chars;
	uint32_t first_origin;
	uint32_t last_origin;
	Normalizer normalizer;
} TextEncoder;

/* vocabulary.c */
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

/* normalizer.c */
void normalizer_init(Normalizer *normalizer, uint32_t normalize, Arena *arena, EmitCharacter emit,
					 void *context);
void normalizer_push(Normalizer *normalizer, uint32_t c, uint32_t origin);
void normalizer_finish(Normalizer *normalizer);

/* For another text; buffers are kept. */
static inline void
normalizer_reset(Normalizer *normalizer)
{
	normalizer->run_length = 0;
	normalizer->n_origins = 0;
}

/* Nothing waits for a starter. */
static inline bool
normalizer_idle(const Normalizer *normalizer)
{
	return normalizer->run_length == 0;
}

/* pretokenizer.c */
void pretokenizer_push(void *encoder, uint32_t c, uint8_t bits, uint32_t origin);
void pretokenizer_flush(TextEncoder *encoder);

/*
 * Encodes words of plain ASCII in text[position .. end), beginning none at or after soft_end; stops
 * before the first word that is not plain ASCII. character: index of text[position]. Returns the
 * new position.
 */
size_t pretokenizer_ascii(TextEncoder *encoder, const unsigned char *text, size_t position,
						  size_t soft_end, size_t end, size_t character);

/* wordpiece.c */

/*
 * Bytes of word are readable 8 past its end; origins per byte, or NULL: byte i is character first +
 * i.
 */
void wordpiece_word(TextEncoder *encoder, const unsigned char *word, size_t bytes,
					const uint32_t *origins, uint32_t first);

/* A word of 1 to 8 ASCII bytes, also given as its short_key. */
void wordpiece_short(TextEncoder *encoder, uint64_t key, const unsigned char *word, size_t bytes,
					 uint32_t first);

/* A word longer than max_chars. */
void wordpiece_unknown(TextEncoder *encoder, uint32_t start, uint32_t end);
bool token_list_grow(TextEncoder *encoder, size_t more);

/* Room for more tokens. */
static inline bool
token_list_reserve(TextEncoder *encoder, size_t more)
{
	return encoder->list.capacity - encoder->list.n >= more || encoder->list.counting ||
		   token_list_grow(encoder, more);
}

/* added.c */
typedef struct AddedMatch
{
	uint32_t id;
	size_t start; /* bytes, spaces that the token strips included */
	size_t stop;
} AddedMatch;

typedef struct AddedSearch
{
	const Tokenizer *tokenizer;
	const AddedSet *set;
	const unsigned char *text;
	size_t length;
	size_t cursor; /* where the search goes on */
	size_t done;   /* the end of the last match */
	size_t asked;  /* where the cursor was at the last question */
	const MayContinue *question;
	Status *status;
} AddedSearch;

bool added_prepare(Tokenizer *tokenizer);
void added_search(AddedSearch *search, const Tokenizer *tokenizer, bool normalized,
				  const unsigned char *text, size_t length, const MayContinue *question,
				  Status *status);

/* The next match; *found is false at the end. False and *status when told to stop. */
bool added_next(AddedSearch *search, AddedMatch *match, bool *found);
void added_emit(TextEncoder *encoder, uint32_t id, uint32_t start, uint32_t end);

/* encode.c: how many bytes are valid UTF-8; false when told to stop. */
bool text_valid_prefix(const unsigned char *bytes, size_t length, size_t *prefix,
					   const MayContinue *question, Status *status);

/* encode.c: valid UTF-8 of a length that offsets can name? */
bool text_check(const char *text, size_t length, const MayContinue *question, Status *status);

/* text.c: all tokens of one text, up to limit + 1 words' worth. */
bool text_encode(TextEncoder *encoder, const unsigned char *text, size_t length);
bool text_encoder_init(TextEncoder *encoder, const Tokenizer *tokenizer, Arena *arena,
					   const MayContinue *question, Status *status);

/* windows.c */
bool windows_build(const Tokenizer *tokenizer, Arena *arena, const TokenList *first,
				   const TokenList *second, const EncodeOptions *options,
				   const MayContinue *question, EncodeResult *result, Status *status);
int windows_special_count(const EncodeOptions *options, bool pair);

#endif
