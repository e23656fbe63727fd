/*
 * encoder.h: what the stages of encoding share. Nobody outside src/tokenizer includes it.
 *
 * The way of a text: added tokens are cut out of it (added.c); what is between them goes through
 * the normalizer (normalizer.c) character by character into the pre-tokenizer (pretokenizer.c),
 * which collects words and hands each to WordPiece (wordpiece.c), which looks pieces up
 * (vocabulary.h) and appends tokens to a TokenList. Words of plain ASCII take a shortcut through
 * the first two. Lists become windows in windows.c.
 */
#ifndef BERT_TOKENIZER_ENCODER_H
#define BERT_TOKENIZER_ENCODER_H

#include "core/bulk.h"
#include "tokenizer/image.h"

#define ASK_BYTES ((size_t) 64 * 1024) /* of text between two questions to MayContinue */

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
	/*
	 * Where offsets are trimmed, else NULL: 0, or 1 and the white space at the end of a token that
	 * has one blank before it, which counts if it is the first of its window.
	 */
	uint32_t *trims;
} TokenList;

/* The stages of a composed tokenizer (composed.h). */
typedef struct Composer Composer;

/* A character on its way through canonical reordering. */
typedef struct RunChar
{
	uint32_t c;
	uint8_t combining_class;
	bool added; /* not the first of its decomposition */
	uint8_t bits;
} RunChar;

/* Takes a character of normalized text and the original character that it stands for. */
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
	Composer *composer; /* NULL: a Bert tokenizer */
} TextEncoder;

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

/* Room for a word of twice the length; false: encoder->failed or encoder->stopped says why. */
bool pretokenizer_grow(TextEncoder *encoder);
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

void added_search(AddedSearch *search, const Tokenizer *tokenizer, bool normalized,
				  const unsigned char *text, size_t length, const MayContinue *question,
				  Status *status);

/* The next match; *found is false at the end. False and *status when told to stop. */
bool added_next(AddedSearch *search, AddedMatch *match, bool *found);
/* The token in text[match->start .. match->stop), characters [start, end) of the original. */
void added_emit(TextEncoder *encoder, const AddedMatch *match, const unsigned char *text,
				uint32_t start, uint32_t end);

/*
 * trim.c: leaves white space at the ends of a token's text out of its offsets. bytes: the text is
 * a part of a BPE word and may begin or end within a character.
 */
void token_trim(TextEncoder *encoder, size_t token, const unsigned char *text, size_t length,
				bool bytes);
/* The same of a BPE word, which mostly has no blank at an end. */
static inline void
token_trim_bytes(TextEncoder *encoder, size_t token, const unsigned char *text, size_t length)
{
	if (text[0] == ' ' || text[length - 1] == ' ')
		token_trim(encoder, token, text, length, true);
	else
		encoder->list.trims[token] = 0;
}

/* The same for a token whose place in its window had to be known: see TokenList. */
void token_trim_placed(uint32_t trim, bool first, uint32_t *start, uint32_t *end);

/* composed.c */
bool composer_create(TextEncoder *encoder);
/* The piece text[begin .. end), whose first character has that index. */
bool composed_encode(TextEncoder *encoder, const unsigned char *text, size_t begin, size_t end,
					 size_t character);
/* Where normalized characters go: one, or n of ASCII side by side, each of which becomes plain's.
 */
typedef struct CharacterSink
{
	EmitCharacter one;
	void (*many)(void *context, const unsigned char *bytes, size_t n, const uint8_t plain[128],
				 uint32_t origin);
	void *context;
} CharacterSink;

/* Only its normalizers; range: begin and end. */
bool composed_normalize(TextEncoder *encoder, const unsigned char *text, const size_t range[2],
						size_t character, const CharacterSink *sink);
/* text[begin .. end) after normalization, with the origin of each byte. */
bool composed_encode_normal(TextEncoder *encoder, const unsigned char *text,
							const uint32_t *origins, size_t begin, size_t end);

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

#endif
