/* wordpiece.c: the greedy longest-match-first split of one word, and the list of tokens. */
#include "tokenizer/internal.h"

bool
token_list_reserve(TextEncoder *encoder, size_t more)
{
	TokenList  *list = &encoder->list;
	size_t		capacity = list->capacity;
	int32_t    *ids;
	uint32_t   *starts;
	uint32_t   *ends;
	int32_t    *words;

	if (list->counting || capacity - list->n >= more)
		return true;
	capacity = capacity + capacity / 2 + more + 64;
	ids = arena_alloc_array(encoder->arena, capacity, sizeof *ids);
	starts = arena_alloc_array(encoder->arena, capacity, sizeof *starts);
	ends = arena_alloc_array(encoder->arena, capacity, sizeof *ends);
	words = arena_alloc_array(encoder->arena, capacity, sizeof *words);
	if (ids == NULL || starts == NULL || ends == NULL || words == NULL)
	{
		encoder->failed = true;
		return false;
	}
	if (list->n > 0)
	{
		memcpy(ids, list->ids, list->n * sizeof *ids);
		memcpy(starts, list->starts, list->n * sizeof *starts);
		memcpy(ends, list->ends, list->n * sizeof *ends);
		memcpy(words, list->words, list->n * sizeof *words);
	}
	list->ids = ids;
	list->starts = starts;
	list->ends = ends;
	list->words = words;
	list->capacity = capacity;
	return true;
}

/* Room has been reserved. */
static inline void
append(TextEncoder *encoder, int32_t id, uint32_t start, uint32_t end)
{
	TokenList  *list = &encoder->list;

	if (!list->counting)
	{
		list->ids[list->n] = id;
		list->starts[list->n] = start;
		list->ends[list->n] = end;
		list->words[list->n] = (int32_t) encoder->next_word;
	}
	list->n++;
}

void
wordpiece_unknown(TextEncoder *encoder, uint32_t start, uint32_t end)
{
	if (token_list_reserve(encoder, 1))
		append(encoder, encoder->tokenizer->unk_id, start, end);
	encoder->next_word++;
}

static inline uint32_t
origin_of(const uint32_t *origins, uint32_t first, size_t byte)
{
	return origins != NULL ? origins[byte] : first + (uint32_t) byte;
}

static inline bool
is_trail(unsigned char byte)
{
	return (byte & 0xC0) == 0x80;
}

/* The word has no token of its own. */
static void
split_word(TextEncoder *encoder, const unsigned char *word, size_t bytes, const uint32_t *origins, uint32_t first)
{
	const Tokenizer *t = encoder->tokenizer;
	size_t		before = encoder->list.n;
	size_t		start = 0;

	while (start < bytes)
	{
		size_t		most = start == 0 ? t->max_plain : t->max_continuation;
		size_t		end = bytes - start > most ? start + most : bytes;
		int32_t		id = -1;

		if (start == 0 && end == bytes)
			end--;				/* that was tried */
		while (end > start && end < bytes && is_trail(word[end]))
			end--;
		while (end > start && (id = vocabulary_find(t, word + start, end - start, start > 0)) < 0)
		{
			end--;
			while (end > start && is_trail(word[end]))
				end--;
		}
		if (id < 0)
		{
			encoder->list.n = before;
			append(encoder, t->unk_id, origin_of(origins, first, 0), origin_of(origins, first, bytes - 1) + 1);
			return;
		}
		append(encoder, id, origin_of(origins, first, start), origin_of(origins, first, end - 1) + 1);
		start = end;
	}
}

void
wordpiece_word(TextEncoder *encoder, const unsigned char *word, size_t bytes, const uint32_t *origins, uint32_t first)
{
	const Tokenizer *t = encoder->tokenizer;
	int32_t		id;

	if (!token_list_reserve(encoder, bytes))
		return;
	id = vocabulary_find(t, word, bytes, false);
	if (id >= 0)
		append(encoder, id, origin_of(origins, first, 0), origin_of(origins, first, bytes - 1) + 1);
	else
		split_word(encoder, word, bytes, origins, first);
	encoder->next_word++;
}
