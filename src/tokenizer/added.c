/*
 * added.c: added tokens kept whole.
 *
 * A search finds the leftmost, then longest, pattern from where the last one ended, as the
 * reference's does; a token that must be a single word and is not is passed over, text and all.
 */
#include "tokenizer/encoder.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"

static bool
is_word(const unsigned char *text)
{
	uint32_t c;

	utf8_decode(text, &c);
	return (unicode_record(c).bits & UNICODE_WORD) != 0;
}

static bool
is_space(const unsigned char *text)
{
	uint32_t c;

	utf8_decode(text, &c);
	return (unicode_record(c).bits & UNICODE_SPACE) != 0;
}

static size_t
previous(const unsigned char *text, size_t position)
{
	do
		position--;
	while (position > 0 && (text[position] & 0xC0) == 0x80);
	return position;
}

static size_t
following(const unsigned char *text, size_t length, size_t position)
{
	do
		position++;
	while (position < length && (text[position] & 0xC0) == 0x80);
	return position;
}

bool
added_prepare(Tokenizer *tokenizer)
{
	uint32_t i = 0;

	for (int s = 0; s < 2; s++)
	{
		AddedSet *set = &tokenizer->sets[s];
		int distinct = 0;

		set->first = i;
		set->single_byte = -1;
		memset(set->range, 0, sizeof set->range);
		memset(set->range_end, 0, sizeof set->range_end);
		for (; i < tokenizer->header->n_added; i++)
		{
			const AddedEntry *entry = &tokenizer->added[i];
			const unsigned char *pattern =
				vocabulary_text(tokenizer, entry->pattern, entry->pattern_length);

			if (((entry->flags & ADDED_NORMALIZED) != 0) != (s == 1))
				break;
			/* A damaged image may have lost a text, or the order. */
			if (pattern == NULL || entry->pattern_length == 0 || entry->id >= tokenizer->n_ids)
				return false;
			if (set->range_end[pattern[0]] == 0)
			{
				set->range[pattern[0]] = i - set->first;
				set->single_byte = distinct++ == 0 ? pattern[0] : -1;
			}
			set->range_end[pattern[0]] = i - set->first + 1;
		}
		set->count = i - set->first;
	}
	return i == tokenizer->header->n_added;
}

void
added_search(AddedSearch *search, const Tokenizer *tokenizer, bool normalized,
			 const unsigned char *text, size_t length, const MayContinue *question, Status *status)
{
	search->tokenizer = tokenizer;
	search->set = &tokenizer->sets[normalized];
	search->text = text;
	search->length = length;
	search->cursor = 0;
	search->done = 0;
	search->asked = 0;
	search->question = question;
	search->status = status;
}

/* The next byte at or after position that a pattern begins with, at most until end. */
static size_t
next_candidate(const AddedSet *set, const unsigned char *text, size_t position, size_t end)
{
	if (set->single_byte >= 0)
	{
		const unsigned char *found = memchr(text + position, set->single_byte, end - position);

		return found == NULL ? end : (size_t) (found - text);
	}
	while (position < end && set->range_end[text[position]] == 0)
		position++;
	return position;
}

static const AddedEntry *
match_at(const AddedSearch *search, size_t position)
{
	const AddedSet *set = search->set;
	const Tokenizer *t = search->tokenizer;
	unsigned char byte = search->text[position];

	for (uint32_t i = set->range[byte]; i < set->range_end[byte]; i++)
	{
		const AddedEntry *entry = &t->added[set->first + i];

		if (entry->pattern_length <= search->length - position &&
			memcmp(t->texts + entry->pattern, search->text + position, entry->pattern_length) == 0)
			return entry;
	}
	return NULL;
}

/* Once in ASK_BYTES of text that the search has passed. */
static bool
ask(AddedSearch *search, size_t position)
{
	if (position - search->asked < ASK_BYTES)
		return true;
	search->asked = position;
	return may_continue(search->question, search->status);
}

/* The spaces around a match that its token takes. False when told to stop. */
static bool
take_spaces(AddedSearch *search, const AddedEntry *entry, size_t *start, size_t *stop)
{
	const unsigned char *text = search->text;
	size_t turn = 0;

	if ((entry->flags & ADDED_LSTRIP) != 0)
	{
		while (*start > search->done && is_space(text + previous(text, *start)))
		{
			*start = previous(text, *start);
			if (bulk_turn(turn++, ASK_BYTES) && !may_continue(search->question, search->status))
				return false;
		}
		if (*start < search->done)
			*start = search->done;
	}
	if ((entry->flags & ADDED_RSTRIP) != 0)
		while (*stop < search->length && is_space(text + *stop))
		{
			*stop = following(text, search->length, *stop);
			if (bulk_turn(turn++, ASK_BYTES) && !may_continue(search->question, search->status))
				return false;
		}
	return true;
}

bool
added_next(AddedSearch *search, AddedMatch *match, bool *found)
{
	const unsigned char *text = search->text;
	size_t length = search->length;

	*found = false;
	if (search->set->count == 0)
	{
		search->cursor = length;
		return true;
	}
	while (search->cursor < length)
	{
		size_t end = length - search->cursor > ASK_BYTES ? search->cursor + ASK_BYTES : length;
		size_t start = next_candidate(search->set, text, search->cursor, end);
		const AddedEntry *entry = start < end ? match_at(search, start) : NULL;
		size_t stop;

		if (!ask(search, search->cursor))
			return false;
		if (entry == NULL)
		{
			search->cursor = start < end ? start + 1 : end;
			continue;
		}
		stop = start + entry->pattern_length;
		search->cursor = stop;
		if ((entry->flags & ADDED_SINGLE_WORD) != 0 &&
			((start > 0 && is_word(text + previous(text, start))) ||
			 (stop < length && is_word(text + stop))))
			continue;
		if (!take_spaces(search, entry, &start, &stop))
			return false;
		match->id = entry->id;
		match->start = start;
		match->stop = stop;
		*found = true;
		search->done = stop;
		return true;
	}
	return true;
}

void
added_emit(TextEncoder *encoder, const AddedMatch *match, const unsigned char *text, uint32_t start,
		   uint32_t end)
{
	TokenList *list = &encoder->list;

	if (!token_list_reserve(encoder, 1))
		return;
	if (!list->counting)
	{
		list->ids[list->n] = (int32_t) match->id;
		list->starts[list->n] = start;
		list->ends[list->n] = end;
		list->words[list->n] = (int32_t) encoder->next_word;
		if (list->trims != NULL)
			token_trim(encoder, list->n, text + match->start, match->stop - match->start, false);
	}
	list->n++;
	encoder->next_word++;
}
