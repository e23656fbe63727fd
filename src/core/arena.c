/* arena.c: a list of chunks, the newest first; a free list keeps rewound chunks of the standard
 * size. */
#include "core/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"

#define CHUNK_SIZE ((size_t) 256 * 1024)

typedef struct Chunk
{
	struct Chunk *older;
	size_t size; /* usable bytes from base */
	size_t used;
	size_t taken;        /* bytes asked of the allocator */
	unsigned char *base; /* aligned */
} Chunk;

struct Arena
{
	Allocator allocator;
	size_t limit;
	size_t held;
	size_t peak;
	const MayContinue *question;
	Chunk *newest;
	Chunk *spare;
};

static void *
malloc_allocate(void *context, size_t size)
{
	(void) context;
	return malloc(size);
}

static void
malloc_release(void *context, void *pointer)
{
	(void) context;
	free(pointer);
}

const Allocator allocator_malloc = {malloc_allocate, malloc_release, NULL};

Arena *
arena_create(const Allocator *allocator, size_t limit)
{
	Arena *arena = allocator->allocate(allocator->context, sizeof *arena);

	if (arena == NULL)
		return NULL;
	memset(arena, 0, sizeof *arena);
	arena->allocator = *allocator;
	arena->limit = limit;
	return arena;
}

static void
release_list(Arena *arena, Chunk *chunk)
{
	while (chunk != NULL)
	{
		Chunk *older = chunk->older;

		arena->held -= chunk->taken;
		arena->allocator.release(arena->allocator.context, chunk);
		chunk = older;
	}
}

void
arena_destroy(Arena *arena)
{
	if (arena == NULL)
		return;
	release_list(arena, arena->newest);
	release_list(arena, arena->spare);
	arena->allocator.release(arena->allocator.context, arena);
}

static Chunk *
chunk_create(Arena *arena, size_t size)
{
	size_t taken;
	Chunk *chunk;

	if (!size_add(size, sizeof(Chunk) + ARENA_ALIGNMENT, &taken))
		return NULL;
	if (arena->limit != 0 && (taken > arena->limit || arena->held > arena->limit - taken))
		return NULL;
	chunk = arena->allocator.allocate(arena->allocator.context, taken);
	if (chunk == NULL)
		return NULL;
	chunk->size = size;
	chunk->used = 0;
	chunk->taken = taken;
	chunk->base = (unsigned char *) (((uintptr_t) (chunk + 1) + ARENA_ALIGNMENT - 1) &
									 ~(uintptr_t) (ARENA_ALIGNMENT - 1));
	arena->held += taken;
	if (arena->held > arena->peak)
		arena->peak = arena->held;
	return chunk;
}

void *
arena_alloc(Arena *arena, size_t size)
{
	Chunk *chunk = arena->newest;
	size_t rounded;
	void *pointer;

	if (!size_add(size, ARENA_ALIGNMENT, &rounded))
		return NULL;
	rounded = size == 0 ? ARENA_ALIGNMENT : size_align(size, ARENA_ALIGNMENT);
	if (chunk == NULL || chunk->size - chunk->used < rounded)
	{
		if (rounded <= CHUNK_SIZE && arena->spare != NULL)
		{
			chunk = arena->spare;
			arena->spare = chunk->older;
			chunk->used = 0;
		}
		else
			chunk = chunk_create(arena, rounded < CHUNK_SIZE ? CHUNK_SIZE : rounded);
		if (chunk == NULL)
			return NULL;
		chunk->older = arena->newest;
		arena->newest = chunk;
	}
	pointer = chunk->base + chunk->used;
	chunk->used += rounded;
	return pointer;
}

void *
arena_alloc_zero(Arena *arena, size_t size)
{
	void *pointer = arena_alloc(arena, size);

	if (pointer != NULL)
		memset(pointer, 0, size);
	return pointer;
}

void *
arena_alloc_array(Arena *arena, size_t count, size_t size)
{
	size_t total;

	return size_mul(count, size, &total) ? arena_alloc(arena, total) : NULL;
}

void *
arena_alloc_array_zero(Arena *arena, size_t count, size_t size)
{
	size_t total;

	return size_mul(count, size, &total) ? arena_alloc_zero(arena, total) : NULL;
}

char *
arena_strndup(Arena *arena, const char *text, size_t length)
{
	char *copy = length == SIZE_MAX ? NULL : arena_alloc(arena, length + 1);

	if (copy != NULL)
	{
		memcpy(copy, text, length);
		copy[length] = '\0';
	}
	return copy;
}

char *
arena_strdup(Arena *arena, const char *text)
{
	return arena_strndup(arena, text, strlen(text));
}

size_t
arena_held(const Arena *arena)
{
	return arena->held;
}

size_t
arena_peak(const Arena *arena)
{
	return arena->peak;
}

ArenaMark
arena_mark(const Arena *arena)
{
	ArenaMark mark = {arena->newest, arena->newest == NULL ? 0 : arena->newest->used};

	return mark;
}

void
arena_rewind(Arena *arena, ArenaMark mark)
{
	while (arena->newest != mark.chunk)
	{
		Chunk *chunk = arena->newest;

		arena->newest = chunk->older;
		if (chunk->size == CHUNK_SIZE)
		{
			chunk->older = arena->spare;
			arena->spare = chunk;
		}
		else
		{
			arena->held -= chunk->taken;
			arena->allocator.release(arena->allocator.context, chunk);
		}
	}
	if (arena->newest != NULL)
		arena->newest->used = mark.used;
}

void
arena_report(const Arena *arena, Status *status, const char *what, size_t size)
{
	status_fail(status, STATUS_OUT_OF_MEMORY,
				"out of memory: %s needs %zu bytes more, %zu are held", what, size, arena->held);
	if (arena->limit != 0)
		status_hint(status, "The limit is %zu bytes.", arena->limit);
}

void
arena_set_question(Arena *arena, const MayContinue *question)
{
	arena->question = question;
}

const MayContinue *
arena_question(const Arena *arena)
{
	return arena->question;
}

bool
arena_may_continue(const Arena *arena, Status *status)
{
	return may_continue(arena->question, status);
}
