/*
 * splitter.c: the pre-tokenizers of a composed tokenizer, one after the other, as a stream. Each
 * takes the characters of a split and its end, and gives smaller splits to the next one; what comes
 * out of the last is a word.
 */
#include "tokenizer/composed.h"

enum
{
	KIND_WORD = 1,
	KIND_OTHER
};

/* What is given now belongs to another split. */
static void
split_here(Composer *composer, size_t i)
{
	splitter_end(composer, i + 1);
}

/* A character that is a delimiter or not, as SplitBehavior says. */
static void
push_delimited(Composer *composer, size_t i, SplitBehavior behavior, bool matches, uint32_t c,
			   uint32_t origin)
{
	Splitter *splitter = &composer->splitters[i];
	bool matched = splitter->matched;
	bool begun = splitter->begun;

	splitter->begun = true;
	splitter->matched = matches;
	switch (behavior)
	{
		case SPLIT_REMOVED:
			if (matches)
			{
				split_here(composer, i);
				return;
			}
			break;
		case SPLIT_ISOLATED:
			if (matches || matched)
				split_here(composer, i);
			break;
		case SPLIT_MERGED_WITH_PREVIOUS:
			if (matched)
				split_here(composer, i);
			break;
		case SPLIT_MERGED_WITH_NEXT:
			if (matches)
				split_here(composer, i);
			break;
		case SPLIT_CONTIGUOUS:
			if (begun && matches != matched)
				split_here(composer, i);
			break;
	}
	splitter_push(composer, i + 1, c, origin);
}

static bool
in_pattern(const Splitter *splitter, uint32_t c)
{
	switch ((SplitPattern) splitter->step->count2)
	{
		case PATTERN_SPACE:
			return (unicode_record(c).bits & UNICODE_SPACE) != 0;
		case PATTERN_DIGIT:
			return c >= '0' && c <= '9';
		case PATTERN_NUMBER:
			return (unicode_properties(c).bits & UNICODE_NUMBER) != 0;
		default:
			return c == splitter->delimiter;
	}
}

/*
 * Matches, and what lies between them, are spans; the behavior says which of them stay together,
 * and which are left out.
 */
static void
push_pattern(Composer *composer, size_t i, uint32_t c, uint32_t origin)
{
	Splitter *splitter = &composer->splitters[i];
	uint32_t flags = splitter->step->flags;
	bool invert = (flags & STEP_INVERT) != 0;
	bool before = splitter->matched != invert; /* of the last span: whether it counts as matched */
	bool found = in_pattern(splitter, c);
	bool matches = found != invert;
	bool together;

	if (splitter->begun && found == splitter->matched && (!found || (flags & STEP_RUN) != 0))
	{
		if (splitter->step->count != SPLIT_REMOVED || !matches)
			splitter_push(composer, i + 1, c, origin);
		return;
	}
	switch ((SplitBehavior) splitter->step->count)
	{
		case SPLIT_MERGED_WITH_PREVIOUS:
			together = matches && !before;
			break;
		case SPLIT_MERGED_WITH_NEXT:
			together = before && !matches;
			break;
		case SPLIT_CONTIGUOUS:
			together = before == matches;
			break;
		default:
			together = false;
	}
	if (splitter->begun && !together)
		split_here(composer, i);
	splitter->begun = true;
	splitter->matched = found;
	if (splitter->step->count != SPLIT_REMOVED || !matches)
		splitter_push(composer, i + 1, c, origin);
}

static void
push_metaspace(Composer *composer, size_t i, uint32_t c, uint32_t origin)
{
	Splitter *splitter = &composer->splitters[i];
	const StepEntry *step = splitter->step;
	uint32_t space = splitter->delimiter;

	if (c == ' ')
		c = space;
	if (!splitter->begun)
	{
		if (c != space &&
			(step->count == PREPEND_ALWAYS || (step->count == PREPEND_FIRST && origin == 0)))
			splitter_push(composer, i + 1, space, origin);
		splitter->begun = true;
	}
	else if (c == space && (step->flags & STEP_SPLIT) != 0)
		split_here(composer, i);
	splitter_push(composer, i + 1, c, origin);
}

static void
push_whitespace(Composer *composer, size_t i, uint32_t c, uint32_t origin)
{
	Splitter *splitter = &composer->splitters[i];
	uint8_t bits = unicode_record(c).bits;
	uint8_t kind = (bits & UNICODE_WORD) != 0 ? KIND_WORD : KIND_OTHER;

	if ((bits & UNICODE_SPACE) != 0)
	{
		split_here(composer, i);
		splitter->kind = 0;
		return;
	}
	if (kind != splitter->kind)
		split_here(composer, i);
	splitter->kind = kind;
	splitter_push(composer, i + 1, c, origin);
}

void
splitter_push(Composer *composer, size_t i, uint32_t c, uint32_t origin)
{
	const StepEntry *step;

	if (i == composer->n_splitters)
	{
		word_push(composer, c, origin);
		return;
	}
	step = composer->splitters[i].step;
	switch ((StepKind) step->kind)
	{
		case STEP_WHITESPACE_SPLIT:
			if ((unicode_record(c).bits & UNICODE_SPACE) != 0)
				split_here(composer, i);
			else
				splitter_push(composer, i + 1, c, origin);
			return;
		case STEP_WHITESPACE:
			push_whitespace(composer, i, c, origin);
			return;
		case STEP_DIGITS:
			push_delimited(composer, i,
						   (step->flags & STEP_INDIVIDUAL) != 0 ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS,
						   (unicode_properties(c).bits & UNICODE_NUMERIC) != 0, c, origin);
			return;
		case STEP_PUNCTUATION:
			push_delimited(composer, i, (SplitBehavior) step->count,
						   (unicode_record(c).bits & UNICODE_PUNCTUATION) != 0, c, origin);
			return;
		case STEP_METASPACE:
			push_metaspace(composer, i, c, origin);
			return;
		case STEP_BYTE_LEVEL:
			byte_level_push(composer, i, c, origin);
			return;
		case STEP_PATTERN:
			if (step->count2 == PATTERN_WORDS)
				words_push(composer, i, c, origin);
			else
				push_pattern(composer, i, c, origin);
			return;
		default:
			splitter_push(composer, i + 1, c, origin);
	}
}

void
splitter_end(Composer *composer, size_t i)
{
	for (; i < composer->n_splitters; i++)
	{
		Splitter *splitter = &composer->splitters[i];

		if (splitter->n_held > 0)
			words_end(composer, i);
		splitter->begun = false;
		splitter->matched = false;
		splitter->kind = 0;
	}
	word_end(composer);
}

/* Whether an ASCII character within a split goes on to the next stage as it is. */
static bool
passes(const Tokenizer *t, const StepEntry *step, uint32_t c)
{
	UnicodeRecord record = unicode_record(c);

	switch ((StepKind) step->kind)
	{
		case STEP_WHITESPACE_SPLIT:
			return (record.bits & UNICODE_SPACE) == 0;
		case STEP_DIGITS:
			return (unicode_properties(c).bits & UNICODE_NUMERIC) == 0;
		case STEP_PUNCTUATION:
			return (record.bits & UNICODE_PUNCTUATION) == 0;
		case STEP_METASPACE:
			return c != ' ' && c != t->strings[step->text];
		case STEP_BYTE_LEVEL:
			return (step->flags & STEP_REGEX) == 0;
		default:
			return false;
	}
}

void
splitter_runs(Tokenizer *t)
{
	bool direct = byte_level_direct(t);

	for (uint32_t byte = 1; byte < 128; byte++)
	{
		uint8_t run = direct ? byte_level_run(byte) : 1;

		for (size_t i = 0; i < t->header->n_steps[1] && !direct; i++)
			run &= passes(t, &t->steps[1][i], byte);
		t->ascii_runs[0][byte] = t->plain[byte] == byte ? run : 0;
		t->ascii_runs[1][byte] = run;
	}
}
