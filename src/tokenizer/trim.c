/*
 * trim.c: offsets without the white space of byte-level tokens, as the reference's post-processors
 * leave it out. A blank that was put before the text (add_prefix_space) is not left out: it is
 * taken for that where a token is the first of its window or begins at 0 and has just one.
 */
#include "tokenizer/encoder.h"
#include "tokenizer/unicode.h"

#define SHIFTED_BLANK 0x120 /* how byte-level vocabularies write a blank */

static bool
is_blank(const unsigned char *text)
{
	uint32_t c;

	utf8_decode(text, &c);
	return c == SHIFTED_BLANK || (unicode_record(c).bits & UNICODE_SPACE) != 0;
}

static size_t
before(const unsigned char *text, size_t at)
{
	do
		at--;
	while (at > 0 && (text[at] & 0xC0) == 0x80);
	return at;
}

static size_t
after(const unsigned char *text, size_t at, size_t length)
{
	do
		at++;
	while (at < length && (text[at] & 0xC0) == 0x80);
	return at;
}

/* How many blanks a token's text begins and ends with. bytes: it is not made of characters. */
static void
count_blanks(const unsigned char *text, size_t length, bool bytes, uint32_t *lead, uint32_t *trail)
{
	*lead = *trail = 0;
	for (size_t at = 0; at < length; ++*lead)
	{
		if (bytes ? text[at] != ' ' : !is_blank(text + at))
			break;
		at = bytes ? at + 1 : after(text, at, length);
	}
	for (size_t at = length; at > 0; ++*trail)
	{
		at = bytes ? at - 1 : before(text, at);
		if (bytes ? text[at] != ' ' : !is_blank(text + at))
			break;
	}
}

static void
trim_end(uint32_t trail, uint32_t start, uint32_t *end)
{
	if (trail > 0 && *end >= trail)
		*end = *end - trail > start ? *end - trail : start;
}

static void
trim_start(uint32_t lead, uint32_t *start, uint32_t end)
{
	*start = end - *start > lead ? *start + lead : end;
}

void
token_trim(TextEncoder *encoder, size_t token, const unsigned char *text, size_t length, bool bytes)
{
	TokenList *list = &encoder->list;
	uint32_t lead;
	uint32_t trail;

	count_blanks(text, length, bytes, &lead, &trail);
	list->trims[token] = 0;
	if (lead == 1 && encoder->tokenizer->header->trim_prefix_space != 0)
	{
		if (list->starts[token] != 0)
		{
			list->trims[token] = 1 + trail;
			return;
		}
		lead = 0;
	}
	if (lead > 0)
		trim_start(lead, &list->starts[token], list->ends[token]);
	trim_end(trail, list->starts[token], &list->ends[token]);
}

void
token_trim_placed(uint32_t trim, bool first, uint32_t *start, uint32_t *end)
{
	if (trim == 0)
		return;
	if (!first)
		trim_start(1, start, *end);
	trim_end(trim - 1, *start, end);
}
