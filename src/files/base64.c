/* base64.c: both ways, four characters for three bytes. */
#include "files/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int
digit_value(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool
base64_decode(Arena *arena, const char *text, size_t length, unsigned char **out,
			  size_t *out_length, Status *status)
{
	size_t padding = 0;
	unsigned char *bytes;
	size_t n = 0;

	while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
		padding++;
	if (length % 4 != 0)
		return status_fail(status, STATUS_INVALID_DATA, "it is not base64");
	bytes = arena_alloc(arena, length / 4 * 3 + 1);
	if (bytes == NULL)
		return arena_fail(arena, status, "bytes", length);
	for (size_t i = 0; i < length; i += 4)
	{
		unsigned group = 0;

		for (size_t k = i; k < i + 4; k++)
		{
			int value = k >= length - padding ? 0 : digit_value((unsigned char) text[k]);

			if (value < 0)
				return status_fail(status, STATUS_INVALID_DATA, "it is not base64");
			group = group << 6 | (unsigned) value;
		}
		bytes[n++] = (unsigned char) (group >> 16);
		bytes[n++] = (unsigned char) (group >> 8);
		bytes[n++] = (unsigned char) group;
	}
	*out = bytes;
	*out_length = n - padding;
	return true;
}

char *
base64_encode(Arena *arena, const unsigned char *bytes, size_t length)
{
	char *text = arena_alloc(arena, (length + 2) / 3 * 4 + 1);
	char *at = text;

	if (text == NULL)
		return NULL;
	for (size_t i = 0; i < length; i += 3)
	{
		unsigned group = (unsigned) bytes[i] << 16;

		if (i + 1 < length)
			group |= (unsigned) bytes[i + 1] << 8;
		if (i + 2 < length)
			group |= bytes[i + 2];
		*at++ = digits[group >> 18];
		*at++ = digits[group >> 12 & 63];
		*at++ = i + 1 < length ? digits[group >> 6 & 63] : '=';
		*at++ = i + 2 < length ? digits[group & 63] : '=';
	}
	*at = '\0';
	return text;
}
