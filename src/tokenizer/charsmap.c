/* charsmap.c: the double array of a character map. */
#include "tokenizer/charsmap.h"

#include <string.h>

static uint32_t
load32(const unsigned char *at)
{
	return at[0] | (uint32_t) at[1] << 8 | (uint32_t) at[2] << 16 | (uint32_t) at[3] << 24;
}

/*
 * A unit of the array: bits 0 to 7 and 31 are the label, bit 8 says that a leaf follows, bits 10
 * and up are the offset to the children, shifted by 8 if bit 9 is set. A leaf's bits 0 to 30 are a
 * value.
 */
static uint32_t
unit_label(uint32_t unit)
{
	return unit & (UINT32_C(1) << 31 | 0xFF);
}

static uint32_t
unit_offset(uint32_t unit)
{
	return (unit >> 10) << ((unit & (1u << 9)) >> 6);
}

bool
charsmap_check(const unsigned char *map, size_t length, Status *status)
{
	uint32_t bytes = length < 4 ? 0 : load32(map);

	return (bytes >= 4 && bytes % 4 == 0 && bytes <= length - 4) ||
		   status_fail(status, STATUS_INVALID_DATA, "the normalizer's character map is damaged");
}

const unsigned char *
charsmap_find(const unsigned char *map, size_t length, const unsigned char *text, size_t n,
			  size_t *found)
{
	uint32_t n_units = load32(map) / 4;
	const unsigned char *units = map + 4;
	const unsigned char *texts = units + (size_t) n_units * 4;
	size_t texts_length = length - 4 - (size_t) n_units * 4;
	uint32_t node = unit_offset(load32(units));

	for (size_t i = 0; i < n && text[i] != 0; i++)
	{
		uint32_t unit;

		node ^= text[i];
		if (node >= n_units)
			return NULL;
		unit = load32(units + (size_t) node * 4);
		if (unit_label(unit) != text[i])
			return NULL;
		node ^= unit_offset(unit);
		if ((unit & (1u << 8)) != 0)
		{
			uint32_t value =
				node >= n_units ? UINT32_MAX : load32(units + (size_t) node * 4) & 0x7FFFFFFF;
			const unsigned char *end;

			if (value > texts_length)
				return NULL;
			end = memchr(texts + value, 0, texts_length - value);
			*found = end == NULL ? texts_length - value : (size_t) (end - (texts + value));
			return utf8_valid_prefix(texts + value, *found) == *found ? texts + value : NULL;
		}
	}
	return NULL;
}
