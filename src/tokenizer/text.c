/*
 * text.c: one text to tokens.
 *
 * The text is cut at the added tokens that are matched as written; each piece between them is
 * normalized by itself. Where tokens are matched after normalization, a piece is normalized as a
 * whole first, else it streams.
 */
#include <string.h>

#include "tokenizer/encoder.h"
#include "tokenizer/unicode.h"

#define WORD_CAPACITY 512

/* Where a text's piece lies, and the index of its first character. */
typedef struct Piece
{
	const unsigned char *text;
	size_t begin;
	size_t end;
	size_t character;
} Piece;

/* A piece after normalization, for the search in it. */
typedef struct NormalText
{
	Arena *arena;
	unsigned char *bytes;
	uint32_t *origins; /* per byte */
	size_t length;
	size_t capacity;
	const MayContinue *question;
	Status *status;
	bool failed;
	bool stopped;
	size_t wanted; /* bytes that were not to be had */
} NormalText;

bool
text_encoder_init(TextEncoder *encoder, const Tokenizer *tokenizer, Arena *arena,
				  const MayContinue *question, Status *status)
{
	memset(encoder, 0, sizeof *encoder);
	encoder->tokenizer = tokenizer;
	encoder->arena = arena;
	encoder->question = question;
	encoder->status = status;
	encoder->limit = SIZE_MAX;
	encoder->word_capacity = WORD_CAPACITY;
	encoder->word = arena_alloc_zero(arena, WORD_CAPACITY + IMAGE_PADDING);
	encoder->origins = arena_alloc_array(arena, WORD_CAPACITY, sizeof *encoder->origins);
	if (encoder->word == NULL || encoder->origins == NULL)
		return arena_fail(arena, status, "a word", WORD_CAPACITY);
	normalizer_init(&encoder->normalizer, tokenizer->normalize, arena, pretokenizer_push, encoder);
	encoder->normalizer.question = question;
	encoder->normalizer.status = status;
	return composer_create(encoder);
}

/* What has_failed found: the status says already that the work was stopped, or memory is used up.
 */
static bool
fail(TextEncoder *encoder)
{
	if (encoder->stopped || encoder->normalizer.stopped)
		return false;
	return arena_fail(encoder->arena, encoder->status, "a text's tokens", encoder->wanted);
}

static bool
has_failed(const TextEncoder *encoder)
{
	return encoder->failed || encoder->stopped || encoder->normalizer.failed ||
		   encoder->normalizer.stopped;
}

static bool
is_full(const TextEncoder *encoder)
{
	return encoder->list.n > encoder->limit;
}

/*
 * Most characters pass the normalizer unchanged, when nothing waits in it; Chinese ones only become
 * words. False: this one has to go through it.
 */
static inline bool
pass_unchanged(TextEncoder *encoder, uint32_t c, uint32_t origin)
{
	UnicodeRecord record = unicode_record(c);
	uint8_t bits = record.bits & (uint8_t) ~UNICODE_WORD;

	if (record.combining_class != 0 || !normalizer_idle(&encoder->normalizer))
		return false;
	if (bits == 0)
		pretokenizer_push(encoder, c, bits, origin);
	else if (bits == UNICODE_CHINESE && (encoder->normalizer.normalize & NORMALIZE_CHINESE) != 0)
	{
		pretokenizer_flush(encoder);
		pretokenizer_push(encoder, c, bits, origin);
		pretokenizer_flush(encoder);
	}
	else
		return false;
	return true;
}

/*
 * Words that are not plain ASCII, until one ends before an ASCII character. Returns the new
 * position.
 */
static size_t
encode_mixed(TextEncoder *encoder, const Piece *piece, size_t position, size_t soft_end,
			 size_t *character)
{
	do
	{
		uint32_t c;

		position += utf8_decode(piece->text + position, &c);
		if (!pass_unchanged(encoder, c, (uint32_t) *character))
			normalizer_push(&encoder->normalizer, c, (uint32_t) *character);
		++*character;
	} while (position < soft_end &&
			 !(piece->text[position] < 0x80 && encoder->word_chars == 0 &&
			   normalizer_idle(&encoder->normalizer)) &&
			 !has_failed(encoder) && !is_full(encoder));
	return position;
}

static bool
encode_streaming(TextEncoder *encoder, const Piece *piece)
{
	size_t position = piece->begin;
	size_t character = piece->character;

	while (position < piece->end)
	{
		size_t soft_end = piece->end - position > ASK_BYTES ? position + ASK_BYTES : piece->end;

		while (position < soft_end && !is_full(encoder))
		{
			if (encoder->word_chars == 0 && normalizer_idle(&encoder->normalizer))
			{
				size_t next = pretokenizer_ascii(encoder, piece->text, position, soft_end,
												 piece->end, character);

				character += next - position;
				position = next;
				if (position >= soft_end || is_full(encoder))
					break;
			}
			position = encode_mixed(encoder, piece, position, soft_end, &character);
			if (has_failed(encoder))
				return fail(encoder);
		}
		if (is_full(encoder))
			break;
		if (position < piece->end && !may_continue(encoder->question, encoder->status))
			return false;
	}
	normalizer_finish(&encoder->normalizer);
	pretokenizer_flush(encoder);
	return has_failed(encoder) ? fail(encoder) : true;
}

static bool
make_room(NormalText *text, size_t more)
{
	size_t larger = text->capacity * 2 + more + 256;
	unsigned char *copy;
	uint32_t *origins;

	if (text->capacity - text->length >= more)
		return true;
	copy = arena_alloc(text->arena, larger);
	origins = arena_alloc_array(text->arena, larger, sizeof *origins);
	if (copy == NULL || origins == NULL)
	{
		text->failed = true;
		text->wanted = larger * (1 + sizeof *origins);
		return false;
	}
	if (!bulk_copy(copy, text->bytes, text->length, text->question, text->status) ||
		!bulk_copy(origins, text->origins, text->length * sizeof *origins, text->question,
				   text->status))
	{
		text->stopped = true;
		return false;
	}
	text->bytes = copy;
	text->origins = origins;
	text->capacity = larger;
	return true;
}

static void
collect(void *context, uint32_t c, uint8_t bits, uint32_t origin)
{
	NormalText *text = context;
	int bytes;

	(void) bits;
	if (!make_room(text, 4))
		return;
	bytes = utf8_encode(c, text->bytes + text->length);
	for (int i = 0; i < bytes; i++)
		text->origins[text->length++] = origin;
}

static void
collect_plain(void *context, const unsigned char *bytes, size_t n, const uint8_t plain[128],
			  uint32_t origin)
{
	NormalText *text = context;

	if (!make_room(text, n))
		return;
	for (size_t i = 0; i < n; i++)
		text->bytes[text->length + i] = plain[bytes[i]];
	for (size_t i = 0; i < n; i++)
		text->origins[text->length + i] = origin + (uint32_t) i;
	text->length += n;
}

static bool
normalize_composed(TextEncoder *encoder, const Piece *piece, NormalText *normal)
{
	CharacterSink sink = {collect, collect_plain, normal};
	bool ok = composed_normalize(encoder, piece->text, (size_t[]){piece->begin, piece->end},
								 piece->character, &sink);

	if (normal->stopped)
		encoder->stopped = true;
	if (normal->failed)
		encoder->wanted = normal->wanted;
	return normal->failed || normal->stopped ? fail(encoder) : ok;
}

static bool
normalize_piece(TextEncoder *encoder, const Piece *piece, NormalText *normal)
{
	Normalizer normalizer;
	size_t character = piece->character;
	size_t next_ask = piece->begin + ASK_BYTES;

	memset(normal, 0, sizeof *normal);
	normal->arena = encoder->arena;
	normal->question = encoder->question;
	normal->status = encoder->status;
	if (encoder->composer != NULL)
		return normalize_composed(encoder, piece, normal);
	normalizer_init(&normalizer, encoder->tokenizer->normalize, encoder->arena, collect, normal);
	normalizer.question = encoder->question;
	normalizer.status = encoder->status;
	for (size_t position = piece->begin; position < piece->end && !normal->failed &&
										 !normal->stopped && !normalizer.failed &&
										 !normalizer.stopped;)
	{
		uint32_t c;

		position += utf8_decode(piece->text + position, &c);
		normalizer_push(&normalizer, c, (uint32_t) character++);
		if (position >= next_ask)
		{
			if (!may_continue(encoder->question, encoder->status))
				return false;
			next_ask = position + ASK_BYTES;
		}
	}
	normalizer_finish(&normalizer);
	if (normal->failed)
		encoder->wanted = normal->wanted;
	encoder->stopped = normal->stopped || normalizer.stopped;
	if (encoder->stopped)
		return false;
	return normal->failed || normalizer.failed ? fail(encoder) : true;
}

static bool
encode_normal(TextEncoder *encoder, const NormalText *normal, size_t begin, size_t end)
{
	size_t next_ask = begin + ASK_BYTES;

	if (encoder->composer != NULL)
		return composed_encode_normal(encoder, normal->bytes, normal->origins, begin, end);
	for (size_t position = begin; position < end && !has_failed(encoder) && !is_full(encoder);)
	{
		uint32_t origin = normal->origins[position];
		uint32_t c;

		position += utf8_decode(normal->bytes + position, &c);
		pretokenizer_push(encoder, c, unicode_record(c).bits, origin);
		if (position >= next_ask)
		{
			if (!may_continue(encoder->question, encoder->status))
				return false;
			next_ask = position + ASK_BYTES;
		}
	}
	pretokenizer_flush(encoder);
	return has_failed(encoder) ? fail(encoder) : true;
}

/* A piece in which tokens are matched after normalization. */
static bool
encode_searching(TextEncoder *encoder, const Piece *piece)
{
	NormalText normal;
	AddedSearch search;
	size_t done = 0;

	if (!normalize_piece(encoder, piece, &normal))
		return false;
	added_search(&search, encoder->tokenizer, true, normal.bytes, normal.length, encoder->question,
				 encoder->status);
	while (!is_full(encoder))
	{
		AddedMatch match;
		bool found;

		if (!added_next(&search, &match, &found))
			return false;
		if (!found)
			break;
		if (done < match.start && !encode_normal(encoder, &normal, done, match.start))
			return false;
		added_emit(encoder, &match, normal.bytes, normal.origins[match.start],
				   normal.origins[match.stop - 1] + 1);
		done = match.stop;
		if (has_failed(encoder))
			return fail(encoder);
	}
	return done < normal.length ? encode_normal(encoder, &normal, done, normal.length) : true;
}

static bool
encode_piece(TextEncoder *encoder, const Piece *piece)
{
	if (encoder->tokenizer->sets[1].count > 0)
		return encode_searching(encoder, piece);
	if (encoder->composer != NULL)
		return composed_encode(encoder, piece->text, piece->begin, piece->end, piece->character);
	return encode_streaming(encoder, piece);
}

/* utf8_count of text[begin .. end), asking on the way. */
static bool
count_characters(TextEncoder *encoder, const unsigned char *text, size_t begin, size_t end,
				 size_t *count)
{
	*count = 0;
	while (begin < end)
	{
		size_t part = end - begin > 16 * ASK_BYTES ? 16 * ASK_BYTES : end - begin;

		*count += utf8_count(text + begin, part);
		begin += part;
		if (begin < end && !may_continue(encoder->question, encoder->status))
			return false;
	}
	return true;
}

/* The index of the character at byte `to`, when byte `from` is that of character `character`. */
static bool
character_at(TextEncoder *encoder, const unsigned char *text, size_t from, size_t character,
			 size_t to, size_t *out)
{
	size_t count;

	/* A match may begin in spaces which the last one has taken. */
	if (!count_characters(encoder, text, from < to ? from : to, from < to ? to : from, &count))
		return false;
	*out = from < to ? character + count : character - count;
	return true;
}

bool
text_encode(TextEncoder *encoder, const unsigned char *text, size_t length)
{
	AddedSearch search;
	Piece piece = {text, 0, length, 0};
	size_t begin = 0;
	size_t character = 0;

	added_search(&search, encoder->tokenizer, false, text, length, encoder->question,
				 encoder->status);
	while (!is_full(encoder))
	{
		AddedMatch match;
		bool found;
		size_t start;

		if (!added_next(&search, &match, &found))
			return false;
		if (!found)
			break;
		if (!character_at(encoder, text, begin, character, match.start, &start))
			return false;
		if (begin < match.start)
		{
			piece.begin = begin;
			piece.end = match.start;
			piece.character = character;
			if (!encode_piece(encoder, &piece))
				return false;
		}
		if (!character_at(encoder, text, match.start, start, match.stop, &character))
			return false;
		added_emit(encoder, &match, text, (uint32_t) start, (uint32_t) character);
		begin = match.stop;
		if (has_failed(encoder))
			return fail(encoder);
	}
	if (begin < length && !is_full(encoder))
	{
		piece.begin = begin;
		piece.end = length;
		piece.character = character;
		if (!encode_piece(encoder, &piece))
			return false;
	}
	return has_failed(encoder) ? fail(encoder) : true;
}
