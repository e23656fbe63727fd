/* sort.c: merge sort from short runs, which insertion sorts. */
#include "core/sort.h"

#include <string.h>

#include "core/bulk.h"
#include "core/checked.h"

#define RUN ((size_t) 8)
#define ASK_ELEMENTS 16384 /* a power of two */

typedef struct Sort
{
	Arena *arena;
	Status *status;
	size_t size;
	int (*compare)(const void *a, const void *b);
	char *from;
	char *to;
	size_t turn;
} Sort;

static bool
may_go_on(Sort *sort)
{
	return !bulk_turn(sort->turn++, ASK_ELEMENTS) || arena_may_continue(sort->arena, sort->status);
}

static void
insert_all(const Sort *sort, char *run, size_t count, char *element)
{
	for (size_t i = 1; i < count; i++)
	{
		size_t at = i;

		memcpy(element, run + i * sort->size, sort->size);
		while (at > 0 && sort->compare(run + (at - 1) * sort->size, element) > 0)
			at--;
		memmove(run + (at + 1) * sort->size, run + at * sort->size, (i - at) * sort->size);
		memcpy(run + at * sort->size, element, sort->size);
	}
}

/* Merges from[begin .. middle) and from[middle .. end) into the same place of to. */
static bool
merge(Sort *sort, size_t begin, size_t middle, size_t end)
{
	const char *a = sort->from + begin * sort->size;
	const char *a_end = sort->from + middle * sort->size;
	const char *b = a_end;
	const char *b_end = sort->from + end * sort->size;
	char *to = sort->to + begin * sort->size;

	while (a < a_end || b < b_end)
	{
		bool first = b == b_end || (a < a_end && sort->compare(a, b) <= 0);

		memcpy(to, first ? a : b, sort->size);
		to += sort->size;
		if (first)
			a += sort->size;
		else
			b += sort->size;
		if (!may_go_on(sort))
			return false;
	}
	return true;
}

/* The result is in sort->from. */
static bool
merge_all(Sort *sort, size_t count)
{
	for (size_t width = RUN; width < count; width *= 2)
	{
		char *swap = sort->from;

		for (size_t begin = 0; begin < count; begin += 2 * width)
			if (!merge(sort, begin, size_min(begin + width, count),
					   size_min(begin + 2 * width, count)))
				return false;
		sort->from = sort->to;
		sort->to = swap;
	}
	return true;
}

bool
sort_array(Arena *arena, void *base, size_t count, size_t size,
		   int (*compare)(const void *a, const void *b), Status *status)
{
	Sort sort = {.arena = arena, .status = status, .size = size, .compare = compare, .from = base};
	ArenaMark mark = arena_mark(arena);
	bool ok = true;

	if (count < 2)
		return true;
	sort.to = arena_alloc_array(arena, count, size);
	if (sort.to == NULL)
		return arena_fail(arena, status, "sorting", count * size);
	for (size_t begin = 0; ok && begin < count; begin += RUN)
	{
		insert_all(&sort, sort.from + begin * size, size_min(RUN, count - begin), sort.to);
		ok = may_go_on(&sort);
	}
	ok = ok && merge_all(&sort, count);
	if (ok && sort.from != base)
		ok = bulk_copy(base, sort.from, count * size, arena_question(arena), status);
	arena_rewind(arena, mark);
	return ok;
}
