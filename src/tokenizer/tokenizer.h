/*
 * tokenizer.h: texts to tokens and back: the Bert tokenizer (normalizer, pre-tokenizer, WordPiece),
 * and composed ones (Unigram, byte-level BPE); pairs, windows, decoding.
 *
 * Ids, tokens and character offsets equal those of the HuggingFace `tokenizers` library's Bert
 * tokenizer (normalizers/bert.rs, pre_tokenizers/bert.rs, models/wordpiece), which is the
 * reference.
 *
 * A tokenizer is first compiled into an image: position-independent bytes with the vocabulary's
 * hash table, the token texts and the settings. The image is written once to the cache, mapped
 * read-only by every backend and opened without allocation of the vocabulary, so a new session pays
 * microseconds. tokenizer_open checks every offset it will follow; a damaged image gives
 * STATUS_INVALID_DATA.
 *
 * Text is UTF-8 and is validated (STATUS_INVALID_TEXT names the byte's position). Offsets are in
 * characters of the original text, 0-based, end-exclusive.
 */
#ifndef BERT_TOKENIZER_TOKENIZER_H
#define BERT_TOKENIZER_TOKENIZER_H

#include "files/tokenizer_settings.h"

typedef struct Tokenizer Tokenizer;

/*
 * Checks the vocabulary (no duplicate line, CRLF accepted and stripped, [UNK] present) and lays out
 * the image. An empty line is an id that no text gives.
 */
bool tokenizer_compile(Arena *arena, const TokenizerSettings *settings, unsigned char **image,
					   size_t *length, Status *status);

/*
 * Opens an image, which must outlive the tokenizer. A composed tokenizer remembers words, so two
 * threads need two of them.
 */
Tokenizer *tokenizer_open(Arena *arena, const unsigned char *image, size_t length, Status *status);

/* with added tokens: largest id + 1 */
int tokenizer_vocab_size(const Tokenizer *tokenizer);
/* model_max_length, 0 if not stated */
int tokenizer_max_length(const Tokenizer *tokenizer);
int32_t tokenizer_cls_id(const Tokenizer *tokenizer);
int32_t tokenizer_sep_id(const Tokenizer *tokenizer);
int32_t tokenizer_pad_id(const Tokenizer *tokenizer);
int32_t tokenizer_unk_id(const Tokenizer *tokenizer);
/* -1 if the vocabulary has none; so for the others but unk */
int32_t tokenizer_mask_id(const Tokenizer *tokenizer);
bool tokenizer_is_special(const Tokenizer *tokenizer, int32_t id);
/* begins with "##" */
bool tokenizer_is_continuation(const Tokenizer *tokenizer, int32_t id);

/*
 * The token's text (not NUL-terminated) and its length; NULL when the id is not in the vocabulary.
 */
const char *tokenizer_token(const Tokenizer *tokenizer, int32_t id, size_t *length);
/* -1 if not there */
int32_t tokenizer_id(const Tokenizer *tokenizer, const char *token, size_t length);

/* How many special tokens the template puts around a text, or a pair. */
int tokenizer_special_count(const Tokenizer *tokenizer, bool pair);

typedef enum Truncation
{
	TRUNCATE_NONE,
	TRUNCATE_LONGEST_FIRST,
	TRUNCATE_ONLY_FIRST,
	TRUNCATE_ONLY_SECOND
} Truncation;

typedef struct EncodeOptions
{
	bool special_tokens;
	Truncation truncation;
	int max_length; /* tokens, special ones included; used unless TRUNCATE_NONE */
	int stride;     /* tokens that neighbouring overflow windows share */
	bool overflow;  /* keep what truncation cuts as further windows */
} EncodeOptions;

typedef struct Encoding
{
	size_t n;          /* tokens */
	int32_t *ids;      /* (n) */
	int32_t *type_ids; /* (n) 0 for the first text, 1 for the second (0 with one_type) */
	/* (n) characters; 0,0 for the template's special tokens, as in the reference */
	uint32_t *starts;
	uint32_t *ends;
	/* (n) index of the pre-tokenized word in its text, -1 for special tokens */
	int32_t *words;
	int8_t *sequences; /* (n) 0 or 1: which text; -1 for the template's special tokens */
} Encoding;

typedef struct EncodeResult
{
	size_t n_windows; /* >= 1; more only with overflow */
	Encoding *windows;
	bool truncated; /* something was cut */
} EncodeResult;

typedef struct EncodeInput
{
	const char *text; /* UTF-8 */
	size_t length;    /* bytes */
	const char *pair; /* or NULL */
	size_t pair_length;
} EncodeInput;

/*
 * Encodes text, or text and pair. Everything is allocated in the arena. Asks
 * may_continue at least once in about 64 KB of text.
 */
bool tokenizer_encode(const Tokenizer *tokenizer, Arena *arena, const EncodeInput *input,
					  const EncodeOptions *options, const MayContinue *question,
					  EncodeResult *result, Status *status);

/* How many tokens text has, special tokens not counted; no arrays are made. */
bool tokenizer_count(const Tokenizer *tokenizer, Arena *arena, const char *text, size_t length,
					 const MayContinue *question, size_t *count, Status *status);

typedef struct DecodedText
{
	char *text; /* NUL-terminated, in the arena */
	size_t length;
} DecodedText;

/* Tokens that go on with a word have a prefix ("##"). */
bool tokenizer_marks_subwords(const Tokenizer *tokenizer);

/*
 * n tokens' texts as the decoder of a tokenizer that does not mark subwords joins them.
 */
bool tokenizer_join(const Tokenizer *tokenizer, Arena *arena, const char *const *tokens, size_t n,
					const MayContinue *question, DecodedText *out, Status *status);

typedef struct DecodeInput
{
	const int32_t *ids;
	size_t n;
	bool skip_special_tokens;
} DecodeInput;

/*
 * Ids to text as the reference's decoder: WordPiece's with clean-up of spaces before punctuation,
 * or the ones that a composed tokenizer has. Ids
 * that no token has are left out, as in the reference; a negative one is STATUS_INVALID_ARGUMENT.
 */
bool tokenizer_decode(const Tokenizer *tokenizer, Arena *arena, const DecodeInput *input,
					  const MayContinue *question, DecodedText *out, Status *status);

#endif
