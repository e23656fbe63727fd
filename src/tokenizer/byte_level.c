/*
 * byte_level.c: the last pre-tokenizer of byte-level BPE. Words are what its regular expression
 * finds:
 *
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 * The last character of white space waits for the next one: a blank goes with a word, everything
 * else stands alone, and what is before it is a word of its own. An apostrophe at the beginning of
 * a word waits for up to two more.
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

static void
give(Composer *composer, const Splitter *splitter, size_t k)
{
	word_push(composer, splitter->held[k], splitter->held_origins[k]);
}

static void
hold(Splitter *splitter, uint32_t c, uint32_t origin)
{
	splitter->held[splitter->n_held] = c;
	splitter->held_origins[splitter->n_held++] = origin;
}

/* Begins a run, or goes on with it; nothing is held. */
static void
push_run(Composer *composer, Splitter *splitter, uint8_t run, uint32_t c, uint32_t origin)
{
	if (splitter->kind != run)
		word_end(composer);
	splitter->kind = run;
	word_push(composer, c, origin);
}

/* White space is held, a character of it; what came was not white space. */
static void
leave_spaces(Composer *composer, Splitter *splitter, uint8_t run)
{
	word_end(composer);
	give(composer, splitter, 0);
	if (splitter->held[0] != ' ')
		word_end(composer);
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
leave_apostrophe(Composer *composer, Splitter *splitter)
{
	size_t n = splitter->n_held;

	splitter->n_held = 0;
	word_end(composer);
	give(composer, splitter, 0);
	splitter->kind = RUN_OTHERS;
	if (n > 1)
		push_run(composer, splitter, RUN_LETTERS, splitter->held[1], splitter->held_origins[1]);
}

static void
push(Composer *composer, Splitter *splitter, uint32_t c, uint32_t origin)
{
	uint8_t run = run_of(c);

	if (splitter->n_held > 0 && splitter->kind != RUN_SPACES)
	{
		int found = contraction(splitter, c);

		if (found > 0)
		{
			hold(splitter, c, origin);
			if (found < 2)
				return;
			word_end(composer);
			for (size_t k = 0; k < splitter->n_held; k++)
				give(composer, splitter, k);
			word_end(composer);
			splitter->n_held = 0;
			splitter->kind = RUN_NONE;
			return;
		}
		leave_apostrophe(composer, splitter);
	}
	if (run == RUN_SPACES)
	{
		if (splitter->kind != RUN_SPACES)
			word_end(composer);
		else if (splitter->n_held > 0)
			give(composer, splitter, 0);
		splitter->n_held = 0;
		splitter->kind = RUN_SPACES;
		hold(splitter, c, origin);
		return;
	}
	if (splitter->kind == RUN_SPACES)
	{
		/* after anything but a blank an apostrophe begins a word */
		bool blank = splitter->held[0] == ' ';

		leave_spaces(composer, splitter, blank || c != '\'' ? run : RUN_NONE);
		if (blank || c != '\'')
		{
			word_push(composer, c, origin);
			return;
		}
	}
	if (c == '\'' && splitter->kind != RUN_OTHERS)
	{
		hold(splitter, c, origin);
		return;
	}
	push_run(composer, splitter, run, c, origin);
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
		word_push(composer, c, origin);
	else
		push(composer, splitter, c, origin);
}

void
byte_level_end(Composer *composer, size_t i)
{
	Splitter *splitter = &composer->splitters[i];

	if (splitter->n_held > 0 && splitter->kind == RUN_SPACES)
		give(composer, splitter, 0);
	else if (splitter->n_held > 0)
		leave_apostrophe(composer, splitter);
	splitter->n_held = 0;
	splitter->kind = RUN_NONE;
}
