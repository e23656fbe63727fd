/*
 * decode_steps.c: the decoders of a composed tokenizer. Each takes the list of tokens' texts that
 * the one before it gives; what the last one gives is joined.
 */
#include "tokenizer/decode_steps.h"

#include <stdio.h>

#include "core/bulk.h"
#include "core/checked.h"
#include "tokenizer/composed.h"

#define ASK_PARTS 4096                                       /* texts between two questions */
static const char replacement[3] = {'\xef', '\xbf', '\xbd'}; /* U+FFFD */

typedef struct Work
{
	const Tokenizer *tokenizer;
	Arena *arena;
	const MayContinue *question;
	Status *status;
	DecodedParts *parts;
} Work;

static inline bool
may_go_on(const Work *work, size_t turn)
{
	return !bulk_turn(turn, ASK_PARTS) || may_continue(work->question, work->status);
}

/* Room for bytes; NULL and *status when there is none. */
static char *
room(const Work *work, size_t bytes)
{
	char *out = arena_alloc(work->arena, bytes + 1);

	if (out == NULL)
		arena_fail(work->arena, work->status, "decoded text", bytes);
	return out;
}

static bool
starts_with(const DecodedPart *part, size_t at, const char *text, size_t length)
{
	return part->length - at >= length && memcmp(part->text + at, text, length) == 0;
}

/* Replaces text by content in a part; kept: NULL, or how many bytes of content are put. */
static bool
replace_in(const Work *work, DecodedPart *part, const char *text, size_t length,
		   const char *content, size_t content_length)
{
	size_t matches = 0;
	size_t out_length = 0;
	char *out;

	for (size_t at = 0; at < part->length;)
		if (starts_with(part, at, text, length))
		{
			matches++;
			at += length;
		}
		else
			at++;
	if (matches == 0)
		return true;
	out = room(work, part->length + matches * content_length);
	if (out == NULL)
		return false;
	for (size_t at = 0; at < part->length;)
		if (starts_with(part, at, text, length))
		{
			memcpy(out + out_length, content, content_length);
			out_length += content_length;
			at += length;
		}
		else
			out[out_length++] = part->text[at++];
	*part = (DecodedPart){out, out_length};
	return true;
}

static const char *
step_text(const Work *work, const StepEntry *step)
{
	return (const char *) work->tokenizer->strings + step->text;
}

static const char *
step_content(const Work *work, const StepEntry *step)
{
	return (const char *) work->tokenizer->strings + step->content;
}

/* --- Steps on each part --- */

static bool
decode_metaspace(const Work *work, const StepEntry *step, DecodedPart *part, bool first)
{
	size_t put = first && step->count != PREPEND_NEVER ? 0 : 1;

	return replace_in(work, part, step_text(work, step), step->text_length, " ", put);
}

static bool
decode_strip(const Work *work, const StepEntry *step, DecodedPart *part)
{
	const char *text = step_text(work, step);
	size_t length = step->text_length;

	for (uint32_t i = 0; i < step->count && starts_with(part, 0, text, length); i++)
	{
		part->text += length;
		part->length -= length;
	}
	for (uint32_t i = 0; i < step->count2 && part->length >= length &&
						 starts_with(part, part->length - length, text, length);
		 i++)
		part->length -= length;
	return true;
}

static bool
decode_wordpiece(const Work *work, const StepEntry *step, DecodedPart *part, bool first)
{
	const char *prefix = step_text(work, step);
	char *out = room(work, part->length + 1);
	size_t length = 0;

	if (out == NULL)
		return false;
	if (!first && starts_with(part, 0, prefix, step->text_length))
	{
		part->text += step->text_length;
		part->length -= step->text_length;
	}
	else if (!first)
		out[length++] = ' ';
	memcpy(out + length, part->text, part->length);
	length += part->length;
	if ((step->flags & STEP_CLEANUP) != 0)
		length = decode_clean_up(out, length);
	*part = (DecodedPart){out, length};
	return true;
}

/* --- Steps on the whole list --- */

/* As many bytes as all parts have; NULL: out of memory. */
static char *
room_for_all(const Work *work)
{
	const DecodedParts *parts = work->parts;
	size_t total = 0;

	for (size_t i = 0; i < parts->n; i++)
		total += parts->items[i].length;
	return room(work, total);
}

static bool
fuse(const Work *work)
{
	DecodedParts *parts = work->parts;
	char *out = room_for_all(work);
	size_t total = 0;

	if (out == NULL)
		return false;
	for (size_t i = 0; i < parts->n; i++)
	{
		memcpy(out + total, parts->items[i].text, parts->items[i].length);
		total += parts->items[i].length;
		if (!may_go_on(work, i))
			return false;
	}
	parts->items[0] = (DecodedPart){out, total};
	parts->n = 1;
	return true;
}

/*
 * Bytes that are no UTF-8 become U+FFFD as Rust's standard library does it: one for the longest
 * beginning of a character, else one for the byte.
 */
static size_t
bad_length(const unsigned char *bytes, size_t left)
{
	unsigned char lead = bytes[0];
	unsigned char least = 0x80;
	unsigned char most = 0xBF;
	size_t wanted = lead >= 0xC2 && lead <= 0xDF   ? 2
					: lead >= 0xE0 && lead <= 0xEF ? 3
					: lead >= 0xF0 && lead <= 0xF4 ? 4
												   : 1;
	size_t length = 1;

	if (lead == 0xE0)
		least = 0xA0;
	else if (lead == 0xED)
		most = 0x9F;
	else if (lead == 0xF0)
		least = 0x90;
	else if (lead == 0xF4)
		most = 0x8F;
	while (length < wanted && length < left && bytes[length] >= least && bytes[length] <= most)
	{
		length++;
		least = 0x80;
		most = 0xBF;
	}
	return length;
}

static bool
repair(const Work *work, const unsigned char *bytes, size_t length, DecodedPart *part)
{
	char *out = room(work, length * 3);
	size_t n = 0;
	size_t turn = 0;

	if (out == NULL)
		return false;
	for (size_t at = 0; at < length;)
	{
		size_t piece = length - at > 65536 ? 65536 : length - at;
		size_t valid = utf8_valid_prefix(bytes + at, piece);

		memcpy(out + n, bytes + at, valid);
		n += valid;
		at += valid;
		if (valid == piece || at == length)
			continue;
		/* a character that the piece has cut */
		if (piece == 65536 && piece - valid < 4 && utf8_valid_prefix(bytes + at, 4) > 0)
			continue;
		at += bad_length(bytes + at, length - at);
		memcpy(out + n, replacement, sizeof replacement);
		n += sizeof replacement;
		if (!may_go_on(work, turn++))
			return false;
	}
	*part = (DecodedPart){out, n};
	return true;
}

/* The bytes of a token; a token with a character that stands for none is put as it is. */
static size_t
put_bytes(const DecodedPart *part, char *out)
{
	size_t n = 0;

	for (size_t at = 0; at < part->length;)
	{
		uint32_t c;
		int byte;

		at += (size_t) utf8_decode((const unsigned char *) part->text + at, &c);
		byte = byte_of_character(c);
		if (byte < 0)
		{
			memcpy(out, part->text, part->length);
			return part->length;
		}
		out[n++] = (char) (unsigned char) byte;
	}
	return n;
}

static bool
decode_byte_level(const Work *work)
{
	DecodedParts *parts = work->parts;
	char *out = room_for_all(work);
	size_t total = 0;

	if (out == NULL)
		return false;
	for (size_t i = 0; i < parts->n; i++)
	{
		total += put_bytes(&parts->items[i], out + total);
		if (!may_go_on(work, i))
			return false;
	}
	parts->n = 1;
	return repair(work, (const unsigned char *) out, total, &parts->items[0]);
}

/* "<0x41>" is a byte. */
static int
byte_of_token(const DecodedPart *part)
{
	int value = 0;

	if (part->length != 6 || memcmp(part->text, "<0x", 3) != 0 || part->text[5] != '>')
		return -1;
	for (int i = 3; i < 5; i++)
	{
		char c = part->text[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
					: c >= 'A' && c <= 'F' ? c - 'A' + 10
					: c >= 'a' && c <= 'f' ? c - 'a' + 10
										   : -1;

		/* Rust's parser takes a sign */
		if (digit < 0 && !(i == 3 && c == '+'))
			return -1;
		value = value * 16 + (digit < 0 ? 0 : digit);
	}
	return value;
}

/* Bytes side by side that are no UTF-8 together become as many U+FFFD. */
static void
put_fallback(DecodedParts *parts, size_t *n, const unsigned char *bytes, size_t length)
{
	if (length == 0)
		return;
	if (utf8_valid_prefix(bytes, length) == length)
		parts->items[(*n)++] = (DecodedPart){(const char *) bytes, length};
	else
		for (size_t i = 0; i < length; i++)
			parts->items[(*n)++] = (DecodedPart){replacement, sizeof replacement};
}

static bool
decode_byte_fallback(const Work *work)
{
	DecodedParts *parts = work->parts;
	unsigned char *bytes = (unsigned char *) room(work, parts->n);
	size_t begin = 0;
	size_t end = 0;
	size_t n = 0;

	if (bytes == NULL)
		return false;
	for (size_t i = 0; i < parts->n; i++)
	{
		DecodedPart part = parts->items[i];
		int byte = byte_of_token(&part);

		if (byte >= 0)
			bytes[end++] = (unsigned char) byte;
		else
		{
			put_fallback(parts, &n, bytes + begin, end - begin);
			begin = end;
			parts->items[n++] = part;
		}
		if (!may_go_on(work, i))
			return false;
	}
	put_fallback(parts, &n, bytes + begin, end - begin);
	parts->n = n;
	return true;
}

static bool
decode_part(const Work *work, const StepEntry *step, size_t i)
{
	DecodedPart *part = &work->parts->items[i];

	switch ((StepKind) step->kind)
	{
		case STEP_DECODE_METASPACE:
			return decode_metaspace(work, step, part, i == 0);
		case STEP_DECODE_WORDPIECE:
			return decode_wordpiece(work, step, part, i == 0);
		case STEP_DECODE_STRIP:
			return decode_strip(work, step, part);
		case STEP_DECODE_REPLACE:
			return replace_in(work, part, step_text(work, step), step->text_length,
							  step_content(work, step), step->content_length);
		default:
			return true;
	}
}

static bool
run_step(const Work *work, const StepEntry *step)
{
	if (work->parts->n == 0)
		return true;
	switch ((StepKind) step->kind)
	{
		case STEP_DECODE_BYTE_LEVEL:
			return decode_byte_level(work);
		case STEP_DECODE_BYTE_FALLBACK:
			return decode_byte_fallback(work);
		case STEP_DECODE_FUSE:
			return fuse(work);
		default:
			break;
	}
	for (size_t i = 0; i < work->parts->n; i++)
		if (!decode_part(work, step, i) || !may_go_on(work, i))
			return false;
	return true;
}

bool
decode_steps(const Tokenizer *tokenizer, Arena *arena, DecodedParts *parts,
			 const MayContinue *question, DecodedText *out, Status *status)
{
	Work work = {tokenizer, arena, question, status, parts};
	uint32_t n_steps = tokenizer->header->n_steps[2];

	for (uint32_t i = 0; i < n_steps; i++)
		if (!run_step(&work, &tokenizer->steps[2][i]))
			return false;
	/* without a decoder tokens are joined with blanks */
	for (size_t i = 1; n_steps == 0 && i < parts->n; i++)
	{
		char *spaced = room(&work, parts->items[i].length + 1);

		if (spaced == NULL || !may_go_on(&work, i))
			return false;
		spaced[0] = ' ';
		memcpy(spaced + 1, parts->items[i].text, parts->items[i].length);
		parts->items[i] = (DecodedPart){spaced, parts->items[i].length + 1};
	}
	if (parts->n == 0)
		parts->items[parts->n++] = (DecodedPart){"", 0};
	if (!fuse(&work))
		return false;
	out->length = parts->items[0].length;
	out->text = (char *) parts->items[0].text;
	out->text[out->length] = '\0';
	return true;
}
