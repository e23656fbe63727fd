/* grapheme.c: where one character, as a reader sees it, ends and the next begins. */
#include "tokenizer/grapheme.h"

static bool
is_control(uint8_t class)
{
	return class == GRAPHEME_CONTROL || class == GRAPHEME_CR || class == GRAPHEME_LF;
}

static bool
joins_hangul(uint8_t before, uint8_t after)
{
	switch (before)
	{
		case GRAPHEME_L:
			return after == GRAPHEME_L || after == GRAPHEME_V || after == GRAPHEME_LV ||
				   after == GRAPHEME_LVT;
		case GRAPHEME_LV:
		case GRAPHEME_V:
			return after == GRAPHEME_V || after == GRAPHEME_T;
		case GRAPHEME_LVT:
		case GRAPHEME_T:
			return after == GRAPHEME_T;
		default:
			return false;
	}
}

bool
grapheme_begins(const GraphemeState *state, uint8_t class)
{
	uint8_t before = state->previous;

	if (!state->begun)
		return true;
	if (before == GRAPHEME_CR && class == GRAPHEME_LF)
		return false;
	if (is_control(before) || is_control(class))
		return true;
	if (joins_hangul(before, class))
		return false;
	switch (class)
	{
		case GRAPHEME_EXTEND:
		case GRAPHEME_LINKED_EXTEND:
		case GRAPHEME_LINKER:
		case GRAPHEME_ZWJ:
		case GRAPHEME_SPACING:
			return false;
		default:
			break;
	}
	if (before == GRAPHEME_PREPEND)
		return false;
	if (class == GRAPHEME_CONSONANT)
		return state->conjunct != 2;
	if (class == GRAPHEME_PICTOGRAPH && before == GRAPHEME_ZWJ)
		return state->pictograph != 2;
	if (class == GRAPHEME_REGIONAL && before == GRAPHEME_REGIONAL)
		return !state->odd_regional;
	return true;
}

void
grapheme_note(GraphemeState *state, uint8_t class)
{
	bool extends =
		class == GRAPHEME_EXTEND || class == GRAPHEME_LINKED_EXTEND || class == GRAPHEME_LINKER;

	if (class == GRAPHEME_PICTOGRAPH)
		state->pictograph = 1;
	else if (class == GRAPHEME_ZWJ && state->pictograph == 1)
		state->pictograph = 2;
	else if (!extends || state->pictograph == 2)
		state->pictograph = 0;
	if (class == GRAPHEME_CONSONANT)
		state->conjunct = 1;
	else if (class == GRAPHEME_LINKER && state->conjunct > 0)
		state->conjunct = 2;
	else if (class != GRAPHEME_LINKED_EXTEND && class != GRAPHEME_ZWJ)
		state->conjunct = 0;
	state->odd_regional = class == GRAPHEME_REGIONAL && !state->odd_regional;
	state->previous = class;
	state->begun = true;
}
