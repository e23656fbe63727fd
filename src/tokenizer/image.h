/*
 * image.h: how a compiled tokenizer lies in memory, and the Tokenizer that an image is opened as.
 * Nobody outside src/tokenizer includes it.
 *
 * The image is a header, then sections at 64-byte aligned offsets.
 */
#ifndef BERT_TOKENIZER_IMAGE_H
#define BERT_TOKENIZER_IMAGE_H

#include "files/pipeline.h"
#include "tokenizer/tokenizer.h"

#define IMAGE_MAGIC "BERTTOK"
#define IMAGE_VERSION 6
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
	uint32_t pattern; /* what is searched for: the content, normalized if so flagged */
	uint32_t pattern_length;
} AddedEntry;

/* A step of a composed tokenizer; texts lie in the strings, NUL-terminated. */
typedef struct StepEntry
{
	uint32_t kind; /* StepKind */
	uint32_t flags;
	uint32_t count;
	uint32_t count2;
	uint32_t text; /* offset and length; of STEP_PRECOMPILED the character map */
	uint32_t text_length;
	uint32_t content;
	uint32_t content_length;
} StepEntry;

/* From a node of the tokens' trie, by a byte, to the next node: a hash table. The root is 0. */
typedef struct TrieSlot
{
	uint32_t key;      /* node << 8 | byte, or SLOT_EMPTY */
	uint32_t child;    /* | TRIE_LEAF when a token ends there */
	uint64_t children; /* by which bytes it goes on from there: a bit for each, modulo 64 */
} TrieSlot;

#define TRIE_LEAF 0x80000000u
#define TRIE_CHILD(byte) (UINT64_C(1) << ((byte) &63))
#define TRIE_MAX_NODES 0xFFFFFFu

/* Two tokens that become one: a hash table. */
typedef struct MergeSlot
{
	uint32_t left; /* SLOT_EMPTY */
	uint32_t right;
	uint32_t rank; /* the least one is merged first */
	uint32_t id;   /* of what they become */
} MergeSlot;

/*
 * BPE: which two bytes side by side a merge may bring together: a bit for each pair of a token's
 * last and the next token's first byte.
 */
#define JOINS_BYTES ((size_t) 256 * 256 / 8)
#define JOINS_BYTE(left, right) ((size_t) (left) << 5 | (right) >> 3)
#define JOINS_BIT(right) (1u << ((right) &7))

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
	/* of composed tokenizers, and the template of any */
	uint32_t kind;       /* TokenizerKind */
	uint32_t composed;   /* 1: templates and decoders as below; else those of BERT */
	uint32_t n_steps[3]; /* normalizers, pre-tokenizers, decoders */
	uint32_t n_template[2];
	uint32_t trim_offsets;
	uint32_t trim_prefix_space;
	uint32_t byte_fallback;
	uint32_t ignore_merges;
	uint32_t trie_bits;
	uint32_t merge_bits;
	uint32_t n_nodes;
	double unk_score;
	uint64_t steps_at;    /* StepEntry (normalizers, pre-tokenizers, decoders) */
	uint64_t template_at; /* TemplatePiece (single, pair) */
	uint64_t trie_at;     /* TrieSlot (1 << trie_bits), if trie_bits > 0 */
	uint64_t nodes_at;    /* int32_t (n_nodes): the token that ends at a node, or -1 */
	uint64_t scores_at;   /* double (n_nodes): of that token */
	uint64_t merges_at;   /* MergeSlot (1 << merge_bits), if merge_bits > 0 */
	uint64_t joins_at;    /* uint8_t (JOINS_BYTES), if merge_bits > 0 */
	uint64_t strings_at;
	uint64_t strings_length;
} ImageHeader;

/*
 * One of the two sets of added tokens: those matched before, and those matched after normalization.
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
	AddedSet sets[2]; /* [1]: normalized */
	TokenizerKind kind;
	const StepEntry *steps[3];         /* normalizers, pre-tokenizers, decoders */
	const TemplatePiece *templates[2]; /* for a text, for a pair */
	uint32_t n_template[2];
	TemplatePiece bert_pieces[8]; /* of a tokenizer that has no templates */
	const TrieSlot *trie;
	TrieSlot roots[256]; /* what the trie's root has by each byte; key SLOT_EMPTY: nothing */
	const int32_t *nodes;
	const double *scores;
	const MergeSlot *merges;
	const uint8_t *joins;
	const unsigned char *strings;
	int32_t byte_ids[256]; /* BPE: the token of each byte; Unigram: with byte_fallback */
	uint8_t plain[128];    /* what the normalizers make of a character that stands alone; or 0 */
	/*
	 * How ASCII goes through the splitters: what run of byte_level.c it belongs to, or 1 if it goes
	 * through them within a word; else 0. [0]: also 0 where plain is another.
	 */
	uint8_t ascii_runs[2][256];
	struct WordCache *cache; /* composed tokenizers: words that came before */
	uint8_t ascii_kind[256];
	/* of word bytes as they leave the normalizer, 0 for all others */
	uint8_t ascii_lower[256];
};

/*
 * added.c: finds the two sets in the list of added tokens of a tokenizer that is being opened;
 * false when the image is damaged.
 */
bool added_prepare(Tokenizer *tokenizer);

/* image_composed.c: the part of a composed tokenizer; false when the image is damaged. */
bool composed_valid(const ImageHeader *header, size_t length);
bool composed_prepare(Tokenizer *tokenizer, const unsigned char *image);

#endif
