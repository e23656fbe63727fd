/* chunks.c: boundaries of paragraphs, sentences and words, and chunks that end there. */
#include "tokenizer/chunks.h"

#include "core/bulk.h"
#include "tokenizer/grapheme.h"

#define ASK_CHARACTERS 65536
/* the part of max_tokens that is new in a chunk which ends early, at a paragraph or sentence */
#define LEAST_PART 4

/* What has been seen of a text up to a character. */
typedef struct TextState
{
	GraphemeState grapheme;
	uint32_t previous; /* the character before */
	bool blank;        /* white space since the last other character */
	int lines;         /* ends of lines since then */
	bool ended;        /* before that a sentence ended */
	bool wide;         /* with a mark that no white space needs to follow */
} TextState;

static bool
is_line_end(uint32_t c)
{
	return c == '\n' || c == 0x85 || c == 0x2028;
}

static bool
is_space(uint32_t c)
{
	return is_line_end(c) || c == '\r' || c == 0x2029 ||
		   (unicode_record(c).bits & UNICODE_SPACE) != 0;
}

/* Ends a sentence. */
static bool
is_stop(uint32_t c)
{
	static const uint32_t stops[] = {'.',    '!',    '?',    0x2026, 0x203C, 0x2047, 0x2048, 0x2049,
									 0x0589, 0x061F, 0x06D4, 0x0964, 0x0965, 0x104B, 0x1362, 0x1367,
									 0x1368, 0x17D4, 0x3002, 0xFF01, 0xFF0E, 0xFF1F, 0xFF61};

	for (size_t i = 0; i < sizeof stops / sizeof *stops; i++)
		if (stops[i] == c)
			return true;
	return false;
}

/* May stand between a sentence's stop and the next sentence. */
static bool
is_closing(uint32_t c)
{
	static const uint32_t closing[] = {'"',    '\'',   ')',    ']',    '}',    0x00BB, 0x2019,
									   0x201D, 0x203A, 0x300D, 0x300F, 0x3011, 0xFF09, 0xFF3D};

	for (size_t i = 0; i < sizeof closing / sizeof *closing; i++)
		if (closing[i] == c)
			return true;
	return false;
}

static void
note_character(TextState *state, uint32_t c)
{
	grapheme_note(&state->grapheme, unicode_properties(c).grapheme);
	if (is_space(c))
	{
		state->blank = true;
		state->lines += c == 0x2029 ? 2 : is_line_end(c) ? 1 : 0;
	}
	else
	{
		bool goes_on = state->ended && !state->blank && is_closing(c);

		state->ended = is_stop(c) || goes_on;
		state->wide = goes_on ? state->wide : c >= 0x3000 && is_stop(c);
		state->blank = false;
		state->lines = 0;
	}
	state->previous = c;
}

/* What is before character c, where a token begins; in_word: the token before is of its word. */
static Boundary
boundary_before(const TextState *state, uint32_t c, bool in_word)
{
	bool chinese =
		((unicode_record(c).bits | unicode_record(state->previous).bits) & UNICODE_CHINESE) != 0;

	if (!grapheme_begins(&state->grapheme, unicode_properties(c).grapheme))
		return BOUNDARY_NONE;
	if (state->lines >= 2)
		return BOUNDARY_PARAGRAPH;
	if (state->ended && (state->blank || state->wide) && !(c >= 'a' && c <= 'z') && !is_stop(c) &&
		(state->blank || !is_closing(c)))
		return BOUNDARY_SENTENCE;
	if (state->lines > 0)
		return BOUNDARY_LINE;
	if (in_word)
		return BOUNDARY_TOKEN;
	return state->blank || (chinese && (unicode_record(c).bits & UNICODE_PUNCTUATION) == 0)
			   ? BOUNDARY_WORD
			   : BOUNDARY_JOINT;
}

/* Not the rest of a character that the token before begins. */
static bool
begins_character(const Encoding *encoding, size_t token)
{
	return token == 0 || encoding->ends[token - 1] <= encoding->starts[token];
}

static bool
same_word(const Encoding *encoding, size_t token)
{
	return token > 0 && encoding->words[token] == encoding->words[token - 1];
}

bool
chunk_boundaries(Arena *arena, const EncodeInput *text, const Encoding *encoding, Boundaries *found,
				 Status *status)
{
	TextState state = {0};
	size_t token = 0;
	uint32_t position = 0;

	found->kinds = arena_alloc_array_zero(arena, encoding->n + 1, 1);
	found->starts = arena_alloc_array(arena, encoding->n + 1, sizeof *found->starts);
	if (found->kinds == NULL || found->starts == NULL)
		return arena_fail(arena, status, "boundaries", (encoding->n + 1) * 5);
	for (size_t at = 0; at < text->length && token < encoding->n; position++)
	{
		uint32_t c;

		at += (size_t) utf8_decode((const unsigned char *) text->text + at, &c);
		if (bulk_turn(position, ASK_CHARACTERS) && !arena_may_continue(arena, status))
			return false;
		/* some tokenizers have the white space before a word in its token */
		for (; !is_space(c) && token < encoding->n && encoding->starts[token] <= position; token++)
		{
			found->starts[token] = position;
			if (begins_character(encoding, token))
				found->kinds[token] =
					(uint8_t) boundary_before(&state, c, same_word(encoding, token));
		}
		note_character(&state, c);
	}
	for (; token < encoding->n; token++)
		found->starts[token] = encoding->starts[token];
	found->kinds[0] = found->kinds[encoding->n] = BOUNDARY_PARAGRAPH;
	return true;
}

/* The last boundary of this kind or a better one in (from, to]; 0: there is none. */
static size_t
last_boundary(const ChunkCursor *cursor, size_t from, size_t to, Boundary least)
{
	while (to > from && cursor->kinds[to] < least)
		to--;
	return to > from ? to : 0;
}

void
chunk_end(ChunkCursor *cursor, size_t max_tokens)
{
	size_t room = cursor->n - cursor->first;
	size_t furthest = cursor->first + (max_tokens < room ? max_tokens : room);
	size_t from = cursor->before > cursor->first ? cursor->before : cursor->first;

	cursor->end = furthest;
	if (furthest == cursor->n)
		return;
	for (int least = BOUNDARY_PARAGRAPH; least > BOUNDARY_NONE; least--)
	{
		size_t enough = least > BOUNDARY_WORD ? max_tokens / LEAST_PART : 0;
		size_t end = last_boundary(cursor, from + enough, furthest, (Boundary) least);

		if (end > 0)
		{
			cursor->end = end;
			return;
		}
	}
}

bool
chunk_begin(ChunkCursor *cursor)
{
	size_t end = cursor->end;
	size_t earliest = end - (cursor->overlap < end - cursor->first
								 ? cursor->overlap
								 : (end > cursor->first ? end - cursor->first - 1 : 0));

	cursor->before = end;
	if (end >= cursor->n)
		return false;
	cursor->first = end;
	for (size_t least = BOUNDARY_SENTENCE; end > 0 && least >= BOUNDARY_WORD; least--)
		for (size_t i = earliest; i < end; i++)
			if (cursor->kinds[i] >= least)
			{
				cursor->first = i;
				return true;
			}
	return true;
}
