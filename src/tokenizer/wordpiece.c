/* wordpiece.c: the greedy longest-match-first split of one word, and the list of tokens. */
#include "tokenizer/encoder.h"
#include "tokenizer/vocabulary.h"

bool
token_list_grow(TextEncoder *encoder, size_t more)
{
	TokenList *list = &encoder->list;
	size_t capacity = list->capacity;
	int32_t *ids;
	uint32_t *starts;
	uint32_t *ends;
	int32_t *words;
	uint32_t *trims = NULL;
	bool trimming = encoder->tokenizer->header->trim_offsets != 0;

	capacity = capacity * 2 > capacity + more ? capacity * 2 : capacity + more;
	ids = arena_alloc_array(encoder->arena, capacity + 2, sizeof *ids);
	starts = arena_alloc_array(encoder->arena, capacity + 2, sizeof *starts);
	ends = arena_alloc_array(encoder->arena, capacity + 2, sizeof *ends);
	words = arena_alloc_array(encoder->arena, capacity + 2, sizeof *words);
	if (trimming)
		trims = arena_alloc_array_zero(encoder->arena, capacity, sizeof *trims);
	if (ids == NULL || starts == NULL || ends == NULL || words == NULL ||
		(trimming && trims == NULL))
	{
		encoder->failed = true;
		encoder->wanted = capacity * (sizeof *ids + sizeof *starts + sizeof *ends + sizeof *words);
		return false;
	}
	/* One place before the tokens and one behind them is left for the template. */
	ids++;
	starts++;
	ends++;
	words++;
	if (!bulk_copy(ids, list->ids, list->n * sizeof *ids, encoder->question, encoder->status) ||
		!bulk_copy(starts, list->starts, list->n * sizeof *starts, encoder->question,
				   encoder->status) ||
		!bulk_copy(ends, list->ends, list->n * sizeof *ends, encoder->question, encoder->status) ||
		!bulk_copy(words, list->words, list->n * sizeof *words, encoder->question,
				   encoder->status) ||
		(trimming && !bulk_copy(trims, list->trims, list->n * sizeof *trims, encoder->question,
								encoder->status)))
	{
		encoder->stopped = true;
		return false;
	}
	list->ids = ids;
	list->starts = starts;
	list->ends = ends;
	list->words = words;
	list->trims = trims;
	list->capacity = capacity;
	return true;
}

/* Room has been reserved. */
static inline void
append(TextEncoder *encoder, int32_t id, uint32_t start, uint32_t end)
{
	TokenList *list = &encoder->list;

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

/*
 * The longest token that a piece of a word begins with, at most `most` bytes of it; -1. A token's
 * text ends where a character ends, so only lengths matter.
 */
static int32_t
longest_piece(const Tokenizer *t, const unsigned char *text, size_t most, bool continuation,
			  size_t *length)
{
	int32_t id;

	if (most >= LENGTHS_BYTES)
	{
		uint32_t lengths = t->lengths[lengths_index(text, continuation)];
		size_t longest = continuation ? t->max_continuation : t->max_plain;

		if (most < longest)
			longest = most;
		if (lengths >> LENGTHS_LAST != 0)
			for (size_t n = longest; n >= LENGTHS_LAST; n--)
				if ((id = vocabulary_find(t, text, n, continuation)) >= 0)
				{
					*length = n;
					return id;
				}
		lengths &= (most < LENGTHS_LAST - 1 ? 2u << most : 1u << LENGTHS_LAST) - 1;
		while (lengths >> LENGTHS_BYTES != 0)
		{
			size_t n = LENGTHS_LAST - (size_t) __builtin_clz(lengths);

			if ((id = vocabulary_find(t, text, n, continuation)) >= 0)
			{
				*length = n;
				return id;
			}
			lengths &= (1u << n) - 1;
		}
	}
	for (size_t n = most < LENGTHS_BYTES ? most : LENGTHS_BYTES - 1; n > 0; n--)
		if ((id = vocabulary_find(t, text, n, continuation)) >= 0)
		{
			*length = n;
			return id;
		}
	return -1;
}

/* The word has no token of its own. */
static void
split_word(TextEncoder *encoder, const unsigned char *word, size_t bytes, const uint32_t *origins,
		   uint32_t first)
{
	const Tokenizer *t = encoder->tokenizer;
	size_t before = encoder->list.n;
	size_t start = 0;

	while (start < bytes)
	{
		size_t length = 0;
		int32_t id = longest_piece(t, word + start, start == 0 ? bytes - 1 : bytes - start,
								   start > 0, &length);

		if (id < 0)
		{
			encoder->list.n = before;
			append(encoder, t->unk_id, origin_of(origins, first, 0),
				   origin_of(origins, first, bytes - 1) + 1);
			return;
		}
		append(encoder, id, origin_of(origins, first, start),
			   origin_of(origins, first, start + length - 1) + 1);
		start += length;
	}
}

void
wordpiece_short(TextEncoder *encoder, uint64_t key, const unsigned char *word, size_t bytes,
				uint32_t first)
{
	int32_t id;

	if (!token_list_reserve(encoder, SLOT_SHORT))
		return;
	id = vocabulary_find_short(encoder->tokenizer, key, (uint32_t) bytes);
	if (id >= 0)
		append(encoder, id, first, first + (uint32_t) bytes);
	else
		split_word(encoder, word, bytes, NULL, first);
	encoder->next_word++;
}

void
wordpiece_word(TextEncoder *encoder, const unsigned char *word, size_t bytes,
			   const uint32_t *origins, uint32_t first)
{
	const Tokenizer *t = encoder->tokenizer;
	int32_t id;

	if (!token_list_reserve(encoder, bytes))
		return;
	id = vocabulary_find(t, word, bytes, false);
	if (id >= 0)
		append(encoder, id, origin_of(origins, first, 0), origin_of(origins, first, bytes - 1) + 1);
	else
		split_word(encoder, word, bytes, origins, first);
	encoder->next_word++;
}
