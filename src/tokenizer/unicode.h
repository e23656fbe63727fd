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
