/* text_set.c: a hash table of texts in an arena. */
#include "pg/server/compat.h"

#include "common/hashfn.h"

#include "pg/job/text_set.h"

static size_t
place_of(const TextSet *set, uint64_t hash, const char *utf8, size_t length)
{
	size_t at = (size_t) hash & (set->places - 1);

	while (set->table[at] != 0)
	{
		uint32_t number = set->table[at] - 1;

		if (set->hashes[number] == hash && set->texts[number].length == length &&
			memcmp(set->texts[number].bytes, utf8, length) == 0)
			break;
		at = (at + 1) & (set->places - 1);
	}
	return at;
}

static bool
reserve(TextSet *set, Arena *arena, Status *status)
{
	TextSet larger = *set;

	if (set->n < set->capacity)
		return true;
	larger.capacity = Max(1024, 2 * set->capacity);
	larger.places = 2 * larger.capacity;
	larger.texts = arena_alloc_array(arena, larger.capacity, sizeof *larger.texts);
	larger.hashes = arena_alloc_array(arena, larger.capacity, sizeof *larger.hashes);
	larger.table = arena_alloc_array_zero(arena, larger.places, sizeof *larger.table);
	if (larger.texts == NULL || larger.hashes == NULL || larger.table == NULL ||
		larger.capacity > PG_INT32_MAX)
		return arena_fail(arena, status, "texts", larger.capacity * sizeof *larger.texts);
	if (set->n > 0)
	{
		memcpy(larger.texts, set->texts, set->n * sizeof *set->texts);
		memcpy(larger.hashes, set->hashes, set->n * sizeof *set->hashes);
	}
	for (size_t i = 0; i < set->n; i++)
		larger.table[place_of(&larger, larger.hashes[i], larger.texts[i].bytes,
							  larger.texts[i].length)] = (uint32_t) i + 1;
	*set = larger;
	return true;
}

bool
text_set_add(TextSet *set, Arena *arena, const char *utf8, size_t length, uint32_t *number,
			 Status *status)
{
	uint64_t hash = hash_bytes_extended((const unsigned char *) utf8, (int) length, 0);
	char *copy;
	size_t at;

	if (!reserve(set, arena, status))
		return false;
	at = place_of(set, hash, utf8, length);
	*number = set->table[at] == 0 ? (uint32_t) set->n : set->table[at] - 1;
	if (set->table[at] != 0)
		return true;
	copy = arena_strndup(arena, utf8, length);
	if (copy == NULL)
		return arena_fail(arena, status, "texts", length);
	set->texts[set->n] = (SampleText){copy, length};
	set->hashes[set->n++] = hash;
	set->table[at] = (uint32_t) set->n;
	return true;
}
