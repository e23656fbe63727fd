/*
 * composed.h: the stages of composed tokenizers. Nobody outside src/tokenizer includes it.
 *
 * A piece of text goes through a chain of normalizers (chain.c; normal_forms.c and precompiled.c
 * are two of its links) character by character, into a chain of splitters (splitter.c, the last of
 * a BPE tokenizer is byte_level.c), which collect a word at the end and hand it to the model
 * (unigram.c, bpe.c). composed.c drives.
 *
 * A character of normalized text stands for exactly one original character, its origin. The
 * reference says of each character that a normalizer gives whether it replaces the next one of its
 * input (and how many more go with it) or is added to the one before. So a link keeps the origins
 * of its input in a queue, and whatever it gives takes them from there in order.
 */
#ifndef BERT_TOKENIZER_COMPOSED_H
#define BERT_TOKENIZER_COMPOSED_H

#include "tokenizer/encoder.h"
#include "tokenizer/grapheme.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"

#define UNIGRAM_UNK_PENALTY 10.0 /* below the least score of a token */
#define TABLE_PROBES 128         /* longest chain of the trie and of the merges */
#define MOST_HELD 8              /* STEP_REPLACE_RUN: longest run that is kept in full */
#define CLUSTER_BYTES 6          /* longer grapheme clusters are mapped character by character */

static inline uint32_t
trie_hash(uint32_t key, uint32_t bits)
{
	return (uint32_t) (key * HASH_FACTOR >> (64 - bits));
}

static inline uint32_t
merge_hash(uint32_t left, uint32_t right, uint32_t bits)
{
	uint64_t hash = ((uint64_t) left << 32 | right) * HASH_FACTOR;

	return (uint32_t) ((hash ^ hash >> 32) * HASH_FACTOR >> (64 - bits));
}

/* The character that byte-level vocabularies write for a byte, in UTF-8; returns its bytes. */
size_t byte_text(unsigned char byte, unsigned char *out);

/* The byte that a character of a byte-level vocabulary stands for, or -1. */
int byte_of_character(uint32_t c);

/* --- Normalizers --- */

/* A character that waits in a link. */
typedef struct Waiting
{
	uint32_t c;
	uint32_t origin; /* where the link keeps origins by character */
	int32_t change;  /* <= 0: replaces the next one, and that many more go; 1: added */
	uint8_t combining_class;
} Waiting;

typedef struct WaitingList
{
	Waiting *items;
	size_t n;
	size_t capacity;
} WaitingList;

typedef struct OriginQueue
{
	uint32_t *items;
	size_t head; /* items[head .. end) wait */
	size_t end;
	size_t capacity;
	uint32_t last; /* the one that was taken last */
} OriginQueue;

/* Where a grapheme cluster stands (precompiled.c). */
typedef struct Cluster
{
	unsigned char bytes[CLUSTER_BYTES + 4];
	size_t n_bytes;
	size_t n_chars;
	bool is_long; /* of CLUSTER_BYTES or more: its characters are mapped one by one */
	GraphemeState at;
} Cluster;

typedef struct Link
{
	const StepEntry *step;
	bool begun;          /* something came, or was given */
	WaitingList waiting; /* white space at the end, a pattern's begin, marks to be sorted ... */
	OriginQueue origins;
	uint32_t *pattern; /* STEP_REPLACE: code points */
	size_t n_pattern;
	size_t run; /* STEP_REPLACE_RUN: how many characters it has */
	/* composition: the starter, and the marks that did not compose with it */
	bool has_starter;
	Waiting starter;
	int last_class; /* of those marks, or -1 */
	WaitingList marks;
	/* STEP_PRECOMPILED */
	Cluster cluster;
	bool has_held;
	Waiting held;
} Link;

typedef struct Chain
{
	const StepEntry *steps;
	size_t n;
	const unsigned char *strings;
	Arena *arena;
	EmitCharacter emit;
	void *context;
	const MayContinue *question;
	Status *status;
	bool failed;   /* out of memory */
	bool stopped;  /* told so: *status is filled */
	size_t wanted; /* bytes that were not to be had */
	Link *links;   /* (n) */
} Chain;

/* The steps and strings as in an image; they are valid. False when there is no memory. */
bool chain_init(Chain *chain, const StepEntry *steps, size_t n, const unsigned char *strings,
				Arena *arena);
/* For another piece of text; buffers are kept. */
void chain_reset(Chain *chain);
void chain_push(Chain *chain, size_t link, uint32_t c, uint32_t origin);
void chain_finish(Chain *chain);
/*
 * What came last is an ASCII character, and so is what follows: nothing need wait for it but what
 * must.
 */
void chain_settle(Chain *chain);
bool chain_idle(const Chain *chain);
/* Characters have passed the idle chain by. */
void chain_passed(Chain *chain);
/* Fills plain: what each ASCII character becomes between others of them, 0 if it may change. */
void chain_plain(const Tokenizer *tokenizer, uint8_t plain[128]);

bool waiting_append(Chain *chain, WaitingList *list, Waiting item);
bool origins_append(Chain *chain, OriginQueue *queue, uint32_t origin);
/* Gives a character to the next link with the origin that its change says. */
void chain_give(Chain *chain, size_t link, uint32_t c, int32_t change);
/* Every ASK_CHARACTERS turns. */
bool chain_told_to_stop(Chain *chain, size_t turn);

void forms_push(Chain *chain, size_t link, uint32_t c, uint32_t origin);
void forms_finish(Chain *chain, size_t link);
void precompiled_push(Chain *chain, size_t link, uint32_t c, uint32_t origin);
void precompiled_finish(Chain *chain, size_t link);
void precompiled_settle(Chain *chain, size_t link);

/* --- Splitters and models --- */

#define WORD_CACHE_BITS 12
#define WORD_BYTES 32 /* longest word that is remembered */
#define WORD_TOKENS 6

/* A word that came before; a place of its hash. 64 bytes. */
typedef struct WordCacheEntry
{
	unsigned char key[WORD_BYTES];
	uint8_t length; /* 0: nothing is there */
	uint8_t n;
	uint8_t ends[WORD_TOKENS]; /* of its tokens, in bytes */
	int32_t ids[WORD_TOKENS];
} WordCacheEntry;

struct WordCache
{
	WordCacheEntry entries[1 << WORD_CACHE_BITS];
};

/* Where a word of at most WORD_BYTES bytes is remembered. Keys are readable 8 bytes past them. */
static inline WordCacheEntry *
cache_place(const Tokenizer *t, const unsigned char *key, size_t bytes)
{
	return &t->cache->entries[hash_long(key, bytes, (uint32_t) bytes, t->seed) >>
							  (64 - WORD_CACHE_BITS)];
}

static inline bool
cache_holds(const WordCacheEntry *entry, const unsigned char *key, size_t bytes)
{
	return entry->length == bytes && same_bytes(entry->key, key, bytes);
}

/* ids and ends: of at most WORD_TOKENS tokens. */
static inline void
cache_fill(WordCacheEntry *entry, const unsigned char *key, size_t bytes, const int32_t *ids,
		   const uint8_t *ends, size_t n)
{
	memset(entry, 0, sizeof *entry);
	memcpy(entry->key, key, bytes);
	entry->length = (uint8_t) bytes;
	entry->n = (uint8_t) n;
	memcpy(entry->ends, ends, n);
	memcpy(entry->ids, ids, n * sizeof *ids);
}

typedef struct Splitter
{
	const StepEntry *step;
	bool begun;   /* the split has a character */
	uint8_t kind; /* of the last character */
	bool matched; /* the last character was a delimiter */
	/* STEP_METASPACE: the replacement; STEP_PATTERN: the character that is looked for */
	uint32_t delimiter;
	/* byte_level.c: characters that wait for the next one */
	uint32_t held[4];
	uint32_t held_origins[4];
	size_t n_held;
} Splitter;

struct Composer
{
	TextEncoder *encoder;
	Chain chain;
	Splitter splitters[PIPELINE_STEPS];
	size_t n_splitters;
	bool direct;       /* words of ASCII are found by words_ascii */
	bool prefix_space; /* ... but not the first of a piece */
	/* unigram.c */
	size_t next_try; /* bytes of a word at which its begin is tried to be encoded */
	bool partial;    /* it has been: the rest belongs to the same word */
	double base_score;
	/* the tokens of the word so far, as long as there is room; else n_recorded is more */
	size_t n_recorded;
	int32_t recorded_ids[WORD_TOKENS];
	uint8_t recorded_ends[WORD_TOKENS];
	struct PathNode *path;
	size_t path_capacity;
	/* bpe.c */
	struct BpeSymbol *symbols;
	size_t symbols_capacity;
	struct BpeMerge *heap;
	size_t heap_capacity;
};

void splitter_push(Composer *composer, size_t i, uint32_t c, uint32_t origin);
void splitter_end(Composer *composer, size_t i);
void byte_level_push(Composer *composer, size_t i, uint32_t c, uint32_t origin);
/* The words that byte-level BPE finds, as splits for the next stage. */
void words_push(Composer *composer, size_t i, uint32_t c, uint32_t origin);
/* Gives what is held; the splits' end is the caller's to say. */
void words_end(Composer *composer, size_t i);

/* A text on the way past the normalizers, or behind them. */
typedef struct AsciiText
{
	const unsigned char *bytes;
	size_t end;
	const uint8_t *runs;     /* of Tokenizer.ascii_runs */
	const uint32_t *origins; /* per byte, or NULL: byte i is character first + i */
	size_t first;            /* may be less than zero, wrapped */
} AsciiText;

static inline uint32_t
ascii_origin(const AsciiText *text, size_t at)
{
	return text->origins != NULL ? text->origins[at] : (uint32_t) (text->first + at);
}

/*
 * Encodes words of ASCII that begin at `at`, where one may begin, and before soft_end; returns
 * where it stopped, which is `at` when the characters have to go the long way. Only if direct.
 */
size_t words_ascii(Composer *composer, const AsciiText *text, size_t at, size_t soft_end);
/* Whether the first splitter finds words as above and those after it change nothing. */
bool byte_level_direct(const Tokenizer *tokenizer);
/* What kind of run a character belongs to there; not 0. */
uint8_t byte_level_run(uint32_t c);
/* Fills ascii_runs; plain is filled. */
void splitter_runs(Tokenizer *tokenizer);
/* The end of the chain: a character of a word, and its end. */
void word_push(Composer *composer, uint32_t c, uint32_t origin);
void word_end(Composer *composer);

/*
 * The word in the encoder, which belongs to the split that is being counted. part: only its begin,
 * as far as nothing that follows can change it; returns the bytes that were encoded then.
 */
size_t unigram_word(Composer *composer, bool part);
/* Fills roots. */
void unigram_roots(Tokenizer *tokenizer);
void bpe_word(Composer *composer);

/* A token of the word: bytes [begin, end) of it. */
void word_token(Composer *composer, int32_t id, size_t begin, size_t end);

#endif
