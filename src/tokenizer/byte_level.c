/*
 * byte_level.c: the last pre-tokenizer of byte-level BPE, and a Split by the same pattern, which
 * may come before others. Words are what the regular expression finds:
 *
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 * The last character of white space waits for the next one: a blank goes with a word, everything
 * else stands alone, and what is before it is a word of its own. An apostrophe at the beginning of
 * a word waits for up to two more.
 *
 * Words of ASCII characters that the normalizers leave alone are cut out of the text directly.
 */
#include "tokenizer/composed.h"

enum
{
	RUN_NONE,
	RUN_LETTERS,
	RUN_NUMBERS,
	RUN_OTHERS,
	RUN_SPACES
};

#define FIRST_SHIFTED 256 /* where the bytes go that are no visible characters */

static bool
is_visible(int byte)
{
	return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

size_t
byte_text(unsigned char byte, unsigned char *out)
{
	uint32_t c = FIRST_SHIFTED;

	if (is_visible(byte))
		return (size_t) utf8_encode(byte, out);
	for (int before = 0; before < byte; before++)
		c += !is_visible(before);
	return (size_t) utf8_encode(c, out);
}

int
byte_of_character(uint32_t c)
{
	uint32_t shifted = FIRST_SHIFTED;

	if (c < FIRST_SHIFTED)
		return is_visible((int) c) ? (int) c : -1;
	for (int byte = 0; byte < 256; byte++)
		if (!is_visible(byte) && shifted++ == c)
			return byte;
	return -1;
}

static uint8_t
run_of(uint32_t c)
{
	uint8_t bits = unicode_properties(c).bits;

	if ((bits & UNICODE_LETTER) != 0)
		return RUN_LETTERS;
	if ((bits & UNICODE_NUMBER) != 0)
		return RUN_NUMBERS;
	return (unicode_record(c).bits & UNICODE_SPACE) != 0 ? RUN_SPACES : RUN_OTHERS;
}

/* What the words go to: the next stage. Most often that is the end. */
static inline void
out_push(Composer *composer, size_t i, uint32_t c, uint32_t origin)
{
	if (i + 1 == composer->n_splitters)
		word_push(composer, c, origin);
	else
		splitter_push(composer, i + 1, c, origin);
}

static inline void
out_end(Composer *composer, size_t i)
{
	if (i + 1 == composer->n_splitters)
		word_end(composer);
	else
		splitter_end(composer, i + 1);
}

static void
give(Composer *composer, size_t i, size_t k)
{
	const Splitter *splitter = &composer->splitters[i];

	out_push(composer, i, splitter->held[k], splitter->held_origins[k]);
}

static void
hold(Splitter *splitter, uint32_t c, uint32_t origin)
{
	splitter->held[splitter->n_held] = c;
	splitter->held_origins[splitter->n_held++] = origin;
}

/* Begins a run, or goes on with it; nothing is held. */
static void
push_run(Composer *composer, size_t i, uint8_t run, uint32_t c, uint32_t origin)
{
	Splitter *splitter = &composer->splitters[i];

	if (splitter->kind != run)
		out_end(composer, i);
	splitter->kind = run;
	out_push(composer, i, c, origin);
}

/* White space is held, a character of it; what came was not white space. */
static void
leave_spaces(Composer *composer, size_t i, uint8_t run)
{
	Splitter *splitter = &composer->splitters[i];

	out_end(composer, i);
	give(composer, i, 0);
	if (splitter->held[0] != ' ')
		out_end(composer, i);
	splitter->n_held = 0;
	splitter->kind = run;
}

/* 0: no contraction can become of what is held and c; 1: it may; 2: it is one. */
static int
contraction(const Splitter *splitter, uint32_t c)
{
	if (splitter->n_held == 1)
	{
		if (c == 's' || c == 't' || c == 'm' || c == 'd')
			return 2;
		return c == 'r' || c == 'v' || c == 'l';
	}
	return (splitter->held[1] == 'l' ? c == 'l' : c == 'e') ? 2 : 0;
}

/* What is held is an apostrophe and a letter perhaps, but no contraction. */
static void
leave_apostrophe(Composer *composer, size_t i)
{
	Splitter *splitter = &composer->splitters[i];
	size_t n = splitter->n_held;

	splitter->n_held = 0;
	out_end(composer, i);
	give(composer, i, 0);
	splitter->kind = RUN_OTHERS;
	if (n > 1)
		push_run(composer, i, RUN_LETTERS, splitter->held[1], splitter->held_origins[1]);
}

/* What is held and c, of which contraction says that they are one, or may become one. */
static void
push_contraction(Composer *composer, size_t i, bool complete, uint32_t c, uint32_t origin)
{
	Splitter *splitter = &composer->splitters[i];

	hold(splitter, c, origin);
	if (!complete)
		return;
	out_end(composer, i);
	for (size_t k = 0; k < splitter->n_held; k++)
		give(composer, i, k);
	out_end(composer, i);
	splitter->n_held = 0;
	splitter->kind = RUN_NONE;
}

void
words_push(Composer *composer, size_t i, uint32_t c, uint32_t origin)
{
	Splitter *splitter = &composer->splitters[i];
	uint8_t run = run_of(c);

	if (splitter->n_held > 0 && splitter->kind != RUN_SPACES)
	{
		int found = contraction(splitter, c);

		if (found > 0)
		{
			push_contraction(composer, i, found == 2, c, origin);
			return;
		}
		leave_apostrophe(composer, i);
	}
	if (run == RUN_SPACES)
	{
		if (splitter->kind != RUN_SPACES)
			out_end(composer, i);
		else if (splitter->n_held > 0)
			give(composer, i, 0);
		splitter->n_held = 0;
		splitter->kind = RUN_SPACES;
		hold(splitter, c, origin);
		return;
	}
	if (splitter->kind == RUN_SPACES)
	{
		/* after anything but a blank an apostrophe begins a word */
		bool blank = splitter->held[0] == ' ';

		leave_spaces(composer, i, blank || c != '\'' ? run : RUN_NONE);
		if (blank || c != '\'')
		{
			out_push(composer, i, c, origin);
			return;
		}
	}
	if (c == '\'' && splitter->kind != RUN_OTHERS)
		hold(splitter, c, origin);
	else
		push_run(composer, i, run, c, origin);
}

void
byte_level_push(Composer *composer, size_t i, uint32_t c, uint32_t origin)
{
	Splitter *splitter = &composer->splitters[i];
	uint32_t flags = splitter->step->flags;

	if (!splitter->begun)
	{
		splitter->begun = true;
		if ((flags & STEP_PREFIX_SPACE) != 0 && c != ' ')
			byte_level_push(composer, i, ' ', origin);
	}
	if ((flags & STEP_REGEX) == 0)
		out_push(composer, i, c, origin);
	else
		words_push(composer, i, c, origin);
}

void
words_end(Composer *composer, size_t i)
{
	Splitter *splitter = &composer->splitters[i];

	if (splitter->kind == RUN_SPACES)
		give(composer, i, 0);
	else
		leave_apostrophe(composer, i);
	splitter->n_held = 0;
}

/* --- Words of ASCII --- */

#define LONGEST_ASCII 4096 /* a longer word streams */

bool
byte_level_direct(const Tokenizer *t)
{
	const StepEntry *first = t->steps[1];
	const StepEntry *last;

	if (t->kind != TOKENIZER_BPE)
		return false;
	last = first + t->header->n_steps[1] - 1;
	if (first == last)
		return (last->flags & STEP_REGEX) != 0;
	return first + 1 == last && first->kind == STEP_PATTERN && first->count2 == PATTERN_WORDS &&
		   (last->flags & (STEP_REGEX | STEP_PREFIX_SPACE)) == 0;
}

uint8_t
byte_level_run(uint32_t c)
{
	return run_of(c);
}

static inline size_t
run_end(const uint8_t *runs, const unsigned char *text, size_t at, size_t end)
{
	uint8_t run = runs[text[at]];

	do
		at++;
	while (at < end && runs[text[at]] == run);
	return at;
}

/* How many bytes a contraction has that begins with the apostrophe at `at`; 0: there is none. */
static size_t
ascii_contraction(const unsigned char *text, size_t at, size_t end)
{
	unsigned char second = at + 1 < end ? text[at + 1] : 0;
	unsigned char third = at + 2 < end ? text[at + 2] : 0;

	if (second == 's' || second == 't' || second == 'm' || second == 'd')
		return 2;
	return ((second == 'r' || second == 'v') && third == 'e') || (second == 'l' && third == 'l')
			   ? 3
			   : 0;
}

/*
 * The end of the word at `at`, where no other has begun; or `at` itself, where characters count
 * that are not known here. What follows a word is known, too.
 */
static size_t
ascii_word_end(const uint8_t *runs, const unsigned char *text, size_t at, size_t end)
{
	size_t stop = at;

	if (runs[text[at]] == RUN_SPACES)
	{
		stop = run_end(runs, text, at, end);
		if (stop < end && runs[text[stop]] == RUN_NONE)
			return at;
		if (stop == end || (stop == at + 1 && text[at] != ' '))
			return stop;
		if (stop > at + 1)
			return stop - 1;
	}
	else if (text[at] == '\'')
	{
		size_t bytes = ascii_contraction(text, at, end);

		if (bytes > 0)
			return at + bytes == end || runs[text[at + bytes]] != RUN_NONE ? at + bytes : at;
		/* what becomes of a letter that is not known may make it one */
		if (at + 2 < end && runs[text[at + 1]] == RUN_LETTERS && runs[text[at + 2]] == RUN_NONE)
			return at;
	}
	if (runs[text[stop]] == RUN_NONE)
		return at;
	stop = run_end(runs, text, stop, end);
	return stop == end || runs[text[stop]] != RUN_NONE ? stop : at;
}

/* The tokens of a word that is remembered; its bytes are in the encoder. */
static void
put_remembered(TextEncoder *encoder, const WordCacheEntry *entry, const AsciiText *text, size_t at)
{
	TokenList *list = &encoder->list;
	size_t n = list->n;
	size_t begin = 0;

	if (!token_list_reserve(encoder, entry->n))
		return;
	list->n += entry->n;
	if (list->counting)
		return;
	for (size_t i = 0; i < entry->n; begin = entry->ends[i++], n++)
	{
		size_t last = entry->ends[i] - (size_t) 1;

		list->ids[n] = entry->ids[i];
		list->starts[n] = ascii_origin(text, at + begin);
		list->ends[n] = ascii_origin(text, at + last) + 1;
		list->words[n] = (int32_t) encoder->next_word;
		if (list->trims != NULL)
			token_trim_bytes(encoder, n, encoder->word + begin, last + 1 - begin);
	}
}

static void
ascii_word(Composer *composer, const AsciiText *text, size_t at, size_t bytes)
{
	TextEncoder *encoder = composer->encoder;

	if (bytes > WORD_BYTES)
	{
		for (size_t i = at; i < at + bytes; i++)
			word_push(composer, text->bytes[i], ascii_origin(text, i));
		word_end(composer);
		return;
	}
	/* a fixed number of bytes is faster to copy */
	if (text->end - at >= WORD_BYTES)
		memcpy(encoder->word, text->bytes + at, WORD_BYTES);
	else
		memcpy(encoder->word, text->bytes + at, bytes);
	{
		const WordCacheEntry *entry = cache_place(encoder->tokenizer, encoder->word, bytes);

		if (cache_holds(entry, encoder->word, bytes))
		{
			put_remembered(encoder, entry, text, at);
			encoder->next_word++;
			return;
		}
	}
	for (size_t i = 0; i < bytes; i++)
		encoder->origins[i] = ascii_origin(text, at + i);
	encoder->word_bytes = bytes;
	word_end(composer);
}

size_t
words_ascii(Composer *composer, const AsciiText *text, size_t at, size_t soft_end)
{
	TextEncoder *encoder = composer->encoder;
	Splitter *splitter = &composer->splitters[0];
	uint8_t run = text->runs[text->bytes[at]];
	size_t stop;

	if (run == RUN_NONE || splitter->n_held > 0 || splitter->kind == RUN_SPACES ||
		splitter->kind == run || (composer->prefix_space && !splitter->begun))
		return at;
	for (; at < soft_end && encoder->list.n <= encoder->limit; at = stop)
	{
		stop = ascii_word_end(text->runs, text->bytes, at, text->end);
		if (stop == at || stop - at > LONGEST_ASCII || encoder->failed || encoder->stopped)
			break;
		if (splitter->kind != RUN_NONE)
			word_end(composer);
		splitter->begun = true;
		splitter->kind = RUN_NONE;
		ascii_word(composer, text, at, stop - at);
	}
	return at;
}
