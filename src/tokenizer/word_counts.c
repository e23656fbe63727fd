/* word_counts.c: a hash table of words. When it is full, the rarest words go, so that memory stays
 * bounded. */
#include "tokenizer/word_counts.h"

#include <string.h>

#include "core/bulk.h"

#define FIRST_CAPACITY 65536
#define FIRST_TEXTS ((size_t) 1024 * 1024)
#define ASK_WORDS 16384 /* words put into their slots between two questions */
#define MEAN_BYTES 32   /* what a word may have on average before words are forgotten */

static uint32_t
hash_bytes(const unsigned char *text, size_t length)
{
	uint64_t hash = length;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ text[i]) * UINT64_C(0x100000001B3);
	return (uint32_t) (hash ^ hash >> 32);
}

static bool
may_go_on(WordCounts *counts)
{
	counts->stopped = !arena_may_continue(counts->arena, counts->status);
	return !counts->stopped;
}

static bool
copy(WordCounts *counts, void *to, const void *from, size_t bytes)
{
	counts->stopped = !bulk_copy(to, from, bytes, arena_question(counts->arena), counts->status);
	return !counts->stopped;
}

static bool
fill_slots(WordCounts *counts)
{
	counts->stopped = !bulk_clear(counts->slots, (counts->slot_mask + 1) * sizeof *counts->slots,
								  arena_question(counts->arena), counts->status);
	for (size_t i = 0; i < counts->n_words && !counts->stopped; i++)
	{
		size_t slot = counts->words[i].hash & counts->slot_mask;

		while (counts->slots[slot] != 0)
			slot = (slot + 1) & counts->slot_mask;
		counts->slots[slot] = (uint32_t) i + 1;
		if (bulk_turn(i, ASK_WORDS) && !may_go_on(counts))
			return false;
	}
	return !counts->stopped;
}

static bool
set_capacity(WordCounts *counts, size_t capacity)
{
	WordCount *words = arena_alloc_array(counts->arena, capacity, sizeof *words);
	uint32_t *slots = arena_alloc_array(counts->arena, capacity * 2, sizeof *slots);

	if (words == NULL || slots == NULL ||
		!copy(counts, words, counts->words, counts->n_words * sizeof *words))
		return false;
	counts->words = words;
	counts->slots = slots;
	counts->capacity = capacity;
	counts->slot_mask = capacity * 2 - 1;
	return fill_slots(counts);
}

static bool
grow_texts(WordCounts *counts)
{
	size_t larger = counts->texts_capacity == 0 ? FIRST_TEXTS : counts->texts_capacity * 2;
	unsigned char *texts = arena_alloc(counts->arena, larger);

	if (texts == NULL || !copy(counts, texts, counts->texts, counts->texts_length))
		return false;
	counts->texts = texts;
	counts->texts_capacity = larger;
	return true;
}

bool
word_counts_init(WordCounts *counts, Arena *arena, size_t max_words)
{
	memset(counts, 0, sizeof *counts);
	counts->arena = arena;
	counts->max_words = max_words;
	return set_capacity(counts, FIRST_CAPACITY) && grow_texts(counts);
}

/* Forgets at least half of the words, the rarest first. */
static bool
forget_rare(WordCounts *counts)
{
	int64_t least = 1;
	size_t kept = counts->n_words;

	while (kept > counts->n_words / 2)
	{
		kept = 0;
		least *= 2;
		for (size_t i = 0; i < counts->n_words; i++)
			kept += counts->words[i].count >= least;
		if (!may_go_on(counts))
			return false;
	}
	kept = 0;
	counts->texts_length = 0;
	for (size_t i = 0; i < counts->n_words; i++)
	{
		WordCount word = counts->words[i];

		if (bulk_turn(i, ASK_WORDS) && !may_go_on(counts))
			return false;
		if (word.count < least)
			continue;
		memmove(counts->texts + counts->texts_length, counts->texts + word.text, word.length);
		word.text = counts->texts_length;
		counts->texts_length += word.length;
		counts->words[kept++] = word;
	}
	counts->n_words = kept;
	return fill_slots(counts);
}

bool
word_counts_add(WordCounts *counts, const unsigned char *text, size_t length)
{
	uint32_t hash = hash_bytes(text, length);
	size_t slot = hash & counts->slot_mask;
	WordCount *word;

	for (; counts->slots[slot] != 0; slot = (slot + 1) & counts->slot_mask)
	{
		word = &counts->words[counts->slots[slot] - 1];
		if (word->hash == hash && word->length == length &&
			memcmp(counts->texts + word->text, text, length) == 0)
		{
			word->count++;
			return true;
		}
	}
	if (counts->n_words >= counts->max_words ||
		(counts->n_words > 0 && counts->texts_length > counts->max_words * MEAN_BYTES))
	{
		return forget_rare(counts) && word_counts_add(counts, text, length);
	}
	if (counts->n_words == counts->capacity)
		return set_capacity(counts, counts->capacity * 2) && word_counts_add(counts, text, length);
	while (counts->texts_capacity - counts->texts_length < length)
		if (!grow_texts(counts))
			return false;
	word = &counts->words[counts->n_words];
	word->text = counts->texts_length;
	memcpy(counts->texts + word->text, text, length);
	counts->texts_length += length;
	word->length = (uint32_t) length;
	word->hash = hash;
	word->count = 1;
	counts->slots[slot] = (uint32_t) ++counts->n_words;
	return true;
}
