/* unicode.c: mappings of code points, and UTF-8. */
#include "tokenizer/unicode.h"

#include <stdbool.h>
#include <string.h>
#include <utf8proc.h>

#define HANGUL_FIRST 0xAC00
#define HANGUL_COUNT 11172
#define HANGUL_LEADING 0x1100
#define HANGUL_VOWEL 0x1161
#define HANGUL_TRAILING 0x11A7
#define HANGUL_VOWELS 21
#define HANGUL_TRAILINGS 28

static const UnicodeMapping *
find_mapping(const UnicodeMapping *mappings, size_t count, uint32_t c)
{
	size_t low = 0;

	while (low < count)
	{
		size_t middle = low + (count - low) / 2;

		if (mappings[middle].from < c)
			low = middle + 1;
		else
			count = middle;
	}
	return mappings[low].from == c ? &mappings[low] : NULL;
}

static int
copy_mapping(const UnicodeMapping *mapping, uint32_t *out)
{
	memcpy(out, mapping->to, sizeof mapping->to);
	return (int) mapping->count;
}

int
unicode_decompose(uint32_t c, uint32_t out[UNICODE_MAX_MAPPING])
{
	const UnicodeMapping *different;
	utf8proc_int32_t buffer[UNICODE_MAX_MAPPING];
	int boundary = 0;
	utf8proc_ssize_t count;

	if (c - HANGUL_FIRST < HANGUL_COUNT)
	{
		uint32_t index = c - HANGUL_FIRST;
		uint32_t trailing = index % HANGUL_TRAILINGS;

		out[0] = HANGUL_LEADING + index / (HANGUL_VOWELS * HANGUL_TRAILINGS);
		out[1] = HANGUL_VOWEL + index / HANGUL_TRAILINGS % HANGUL_VOWELS;
		out[2] = HANGUL_TRAILING + trailing;
		return trailing == 0 ? 2 : 3;
	}
	different = find_mapping(unicode_decompositions, unicode_decompositions_count, c);
	if (different != NULL)
		return copy_mapping(different, out);
	count = utf8proc_decompose_char((utf8proc_int32_t) c, buffer, UNICODE_MAX_MAPPING,
									UTF8PROC_DECOMPOSE, &boundary);
	if (count < 1 || count > UNICODE_MAX_MAPPING)
	{
		out[0] = c;
		return 1;
	}
	for (int i = 0; i < count; i++)
		out[i] = (uint32_t) buffer[i];
	return (int) count;
}

int
unicode_lower(uint32_t c, uint32_t out[UNICODE_MAX_MAPPING])
{
	const UnicodeMapping *different = find_mapping(unicode_lowers, unicode_lowers_count, c);

	if (different != NULL)
		return copy_mapping(different, out);
	out[0] = (uint32_t) utf8proc_tolower((utf8proc_int32_t) c);
	return 1;
}

int
unicode_decompose_compatible(uint32_t c, uint32_t out[UNICODE_MAX_COMPATIBLE])
{
	const UnicodeMapping *different = find_mapping(unicode_compatible, unicode_compatible_count, c);
	utf8proc_int32_t buffer[UNICODE_MAX_COMPATIBLE];
	int boundary = 0;
	utf8proc_ssize_t count;

	if (different != NULL)
		return copy_mapping(different, out);
	count = utf8proc_decompose_char((utf8proc_int32_t) c, buffer, UNICODE_MAX_COMPATIBLE,
									UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, &boundary);
	if (count < 1 || count > UNICODE_MAX_COMPATIBLE)
	{
		out[0] = c;
		return 1;
	}
	for (int i = 0; i < count; i++)
		out[i] = (uint32_t) buffer[i];
	return (int) count;
}

static uint32_t
compose_hangul(uint32_t first, uint32_t second)
{
	uint32_t leading = first - HANGUL_LEADING;
	uint32_t syllable = first - HANGUL_FIRST;
	uint32_t vowel = second - HANGUL_VOWEL;
	uint32_t trailing = second - HANGUL_TRAILING;

	if (leading < HANGUL_COUNT / (HANGUL_VOWELS * HANGUL_TRAILINGS) && vowel < HANGUL_VOWELS)
		return HANGUL_FIRST + (leading * HANGUL_VOWELS + vowel) * HANGUL_TRAILINGS;
	if (syllable < HANGUL_COUNT && syllable % HANGUL_TRAILINGS == 0 && trailing > 0 &&
		trailing < HANGUL_TRAILINGS)
		return first + trailing;
	return 0;
}

#define FIRST_COMPOSING 0x300 /* what composes with a character before it is a mark, or Hangul */

uint32_t
unicode_compose(uint32_t first, uint32_t second)
{
	size_t low = 0;
	size_t high = unicode_compositions_count;
	uint32_t hangul;

	if (second < FIRST_COMPOSING)
		return 0;
	hangul = compose_hangul(first, second);
	if (hangul != 0)
		return hangul;
	while (low < high)
	{
		size_t middle = low + (high - low) / 2;
		const UnicodeComposition *at = &unicode_compositions[middle];

		if (at->first == first && at->second == second)
			return at->both;
		if (at->first < first || (at->first == first && at->second < second))
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

static bool
is_trail(unsigned char byte)
{
	return (byte & 0xC0) == 0x80;
}

/* Bytes of the valid sequence at text, 0 if there is none. */
static size_t
sequence_length(const unsigned char *text, size_t left)
{
	unsigned char lead = text[0];

	if (lead < 0x80)
		return 1;
	if (lead < 0xC2 || lead > 0xF4)
		return 0;
	if (left < 2 || !is_trail(text[1]))
		return 0;
	if (lead < 0xE0)
		return 2;
	if (left < 3 || !is_trail(text[2]))
		return 0;
	if (lead < 0xF0)
	{
		if ((lead == 0xE0 && text[1] < 0xA0) || (lead == 0xED && text[1] > 0x9F))
			return 0;
		return 3;
	}
	if (left < 4 || !is_trail(text[3]))
		return 0;
	if ((lead == 0xF0 && text[1] < 0x90) || (lead == 0xF4 && text[1] > 0x8F))
		return 0;
	return 4;
}

size_t
utf8_valid_prefix(const unsigned char *text, size_t length)
{
	size_t position = 0;

	while (position < length)
	{
		size_t step;

		/* Blocks of ASCII: the compiler makes this loop wide. */
		while (length - position >= 64)
		{
			unsigned char any = 0;

			for (int i = 0; i < 64; i++)
				any |= text[position + i];
			if (any >= 0x80)
				break;
			position += 64;
		}
		for (size_t end = length - position < 64 ? length : position + 64; position < end;
			 position += step)
		{
			step = sequence_length(text + position, length - position);
			if (step == 0)
				return position;
		}
	}
	return position;
}

size_t
utf8_count(const unsigned char *text, size_t length)
{
	size_t count = 0;

	for (size_t i = 0; i < length; i++)
		count += !is_trail(text[i]);
	return count;
}
