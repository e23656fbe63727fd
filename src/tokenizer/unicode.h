/*
 * unicode.h: what the reference does with a code point.
 *
 * Classes and combining classes come from unicode_tables.c, which is the reference's own answer for
 * every code point. Mappings come from utf8proc, except for the few in which the reference differs.
 */
#ifndef BERT_TOKENIZER_UNICODE_H
#define BERT_TOKENIZER_UNICODE_H

#include <stddef.h>
#include <stdint.h>

/* dropped by clean_text: controls, formats, private use, unassigned */
#define UNICODE_CLEANED 0x01
#define UNICODE_SPACE 0x02       /* separates words */
#define UNICODE_CHINESE 0x04     /* set apart by handle_chinese_chars */
#define UNICODE_DECOMPOSES 0x08  /* has a canonical decomposition */
#define UNICODE_MARK 0x10        /* dropped by strip_accents, after decomposition */
#define UNICODE_LOWERS 0x20      /* lower-casing changes it */
#define UNICODE_PUNCTUATION 0x40 /* a word of its own */
#define UNICODE_WORD 0x80        /* \w: what a single_word token must not touch */

#define UNICODE_MAX_MAPPING 4 /* code points that one becomes, at most */
#define UNICODE_BLOCK 128

typedef struct UnicodeRecord
{
	uint8_t bits;
	uint8_t combining_class;
} UnicodeRecord;

typedef struct UnicodeMapping
{
	uint32_t from;
	uint32_t count;
	uint32_t to[UNICODE_MAX_MAPPING];
} UnicodeMapping;

extern const UnicodeRecord unicode_records[];
extern const uint8_t unicode_stage1[];
extern const uint8_t unicode_stage2[];
extern const UnicodeMapping unicode_decompositions[];
extern const size_t unicode_decompositions_count;
extern const UnicodeMapping unicode_lowers[];
extern const size_t unicode_lowers_count;

/* c < 0x110000 */
static inline UnicodeRecord
unicode_record(uint32_t c)
{
	return unicode_records[unicode_stage2[unicode_stage1[c / UNICODE_BLOCK] * UNICODE_BLOCK +
										  c % UNICODE_BLOCK]];
}

/* The full canonical decomposition of a code point with UNICODE_DECOMPOSES; returns how many. */
int unicode_decompose(uint32_t c, uint32_t out[UNICODE_MAX_MAPPING]);

/* The lower-case form of a code point with UNICODE_LOWERS; returns how many. */
int unicode_lower(uint32_t c, uint32_t out[UNICODE_MAX_MAPPING]);

/* What the stages of composed tokenizers ask besides; unicode_properties.c has the answers. */
#define UNICODE_LETTER 0x01     /* \p{L} of the byte-level pre-tokenizer */
#define UNICODE_NUMBER 0x02     /* \p{N} of it */
#define UNICODE_NUMERIC 0x04    /* set apart by Digits */
#define UNICODE_COMBINING 0x08  /* dropped by StripAccents */
#define UNICODE_COMPATIBLE 0x10 /* has another compatibility decomposition than a canonical one */

/* By which extended grapheme clusters are found (Unicode Standard Annex #29). */
typedef enum GraphemeClass
{
	GRAPHEME_OTHER,
	GRAPHEME_CR,
	GRAPHEME_LF,
	GRAPHEME_CONTROL,
	GRAPHEME_L,
	GRAPHEME_V,
	GRAPHEME_T,
	GRAPHEME_LV,
	GRAPHEME_LVT,
	GRAPHEME_EXTEND,
	GRAPHEME_LINKED_EXTEND, /* of a conjunct */
	GRAPHEME_LINKER,
	GRAPHEME_ZWJ,
	GRAPHEME_SPACING,
	GRAPHEME_PREPEND,
	GRAPHEME_REGIONAL,
	GRAPHEME_PICTOGRAPH,
	GRAPHEME_CONSONANT /* of a conjunct */
} GraphemeClass;

typedef struct UnicodeProperties
{
	uint8_t bits;
	uint8_t grapheme; /* GraphemeClass */
} UnicodeProperties;

typedef struct UnicodeComposition
{
	uint32_t first;
	uint32_t second;
	uint32_t both;
} UnicodeComposition;

#define UNICODE_MAX_COMPATIBLE 18 /* code points that one becomes, at most */

extern const UnicodeProperties unicode_property_records[];
extern const uint16_t unicode_property_stage1[];
extern const uint8_t unicode_property_stage2[];
extern const UnicodeMapping unicode_compatible[];
extern const size_t unicode_compatible_count;
extern const UnicodeComposition unicode_compositions[];
extern const size_t unicode_compositions_count;

/* c < 0x110000 */
static inline UnicodeProperties
unicode_properties(uint32_t c)
{
	return unicode_property_records
		[unicode_property_stage2[unicode_property_stage1[c / UNICODE_BLOCK] * UNICODE_BLOCK +
								 c % UNICODE_BLOCK]];
}

/* The full compatibility decomposition of a code point with UNICODE_COMPATIBLE; how many. */
int unicode_decompose_compatible(uint32_t c, uint32_t out[UNICODE_MAX_COMPATIBLE]);

/* The code point that two canonically compose to, or 0. */
uint32_t unicode_compose(uint32_t first, uint32_t second);

/* Writes a code point as UTF-8; returns the bytes, 1 to 4. */
static inline int
utf8_encode(uint32_t c, unsigned char *out)
{
	if (c < 0x80)
	{
		out[0] = (unsigned char) c;
		return 1;
	}
	if (c < 0x800)
	{
		out[0] = (unsigned char) (0xC0 | c >> 6);
		out[1] = (unsigned char) (0x80 | (c & 0x3F));
		return 2;
	}
	if (c < 0x10000)
	{
		out[0] = (unsigned char) (0xE0 | c >> 12);
		out[1] = (unsigned char) (0x80 | (c >> 6 & 0x3F));
		out[2] = (unsigned char) (0x80 | (c & 0x3F));
		return 3;
	}
	out[0] = (unsigned char) (0xF0 | c >> 18);
	out[1] = (unsigned char) (0x80 | (c >> 12 & 0x3F));
	out[2] = (unsigned char) (0x80 | (c >> 6 & 0x3F));
	out[3] = (unsigned char) (0x80 | (c & 0x3F));
	return 4;
}

/* Reads one code point of valid UTF-8; returns the bytes. */
static inline int
utf8_decode(const unsigned char *text, uint32_t *c)
{
	if (text[0] < 0x80)
	{
		*c = text[0];
		return 1;
	}
	if (text[0] < 0xE0)
	{
		*c = (uint32_t) (text[0] & 0x1F) << 6 | (text[1] & 0x3F);
		return 2;
	}
	if (text[0] < 0xF0)
	{
		*c =
			(uint32_t) (text[0] & 0x0F) << 12 | (uint32_t) (text[1] & 0x3F) << 6 | (text[2] & 0x3F);
		return 3;
	}
	*c = (uint32_t) (text[0] & 0x07) << 18 | (uint32_t) (text[1] & 0x3F) << 12 |
		 (uint32_t) (text[2] & 0x3F) << 6 | (text[3] & 0x3F);
	return 4;
}

/*
 * How many bytes from the start are valid UTF-8 (no surrogates, no overlong forms); length if all
 * are.
 */
size_t utf8_valid_prefix(const unsigned char *text, size_t length);

/* Characters in valid UTF-8. */
size_t utf8_count(const unsigned char *text, size_t length);

#endif
