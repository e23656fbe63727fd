/*
 * arena.h: the only allocator of the plain C layers.
 *
 * An Arena hands out 64-byte aligned memory from chunks that it gets from an Allocator (malloc in
 * programs, a memory context in the server) and gives all of it back at once. It refuses, by
 * returning NULL, what would take it past its limit: the caller turns that into
 * STATUS_OUT_OF_MEMORY. The caller who creates an arena owns it; nobody frees a piece of one.
 */
#ifndef BERT_CORE_ARENA_H
#define BERT_CORE_ARENA_H

#include <stddef.h>

#include "core/status.h"

#define ARENA_ALIGNMENT 64

typedef struct Allocator
{
	void *(*allocate)(void *context, size_t size); /* NULL when out of memory */
	void (*release)(void *context, void *pointer);
	void *context;
} Allocator;

extern const Allocator allocator_malloc;

typedef struct Arena Arena;

/* limit: bytes the arena may hold in all, 0 for none. NULL when out of memory. */
Arena *arena_create(const Allocator *allocator, size_t limit);
void arena_destroy(Arena *arena); /* NULL is allowed */

/*
 * Memory for size bytes (0 is allowed), uninitialized or zeroed; NULL past the limit or out of
 * memory.
 */
void *arena_alloc(Arena *arena, size_t size);
void *arena_alloc_zero(Arena *arena, size_t size);

/* The same for count elements of size bytes, with a checked product. */
void *arena_alloc_array(Arena *arena, size_t count, size_t size);
void *arena_alloc_array_zero(Arena *arena, size_t count, size_t size);

/* A NUL-terminated copy of length bytes. */
char *arena_strndup(Arena *arena, const char *text, size_t length);
char *arena_strdup(Arena *arena, const char *text);

/*
 * The question "may I go on?" for long work whose memory is this arena's; the owner sets it, and it
 * must outlive the arena. arena_may_continue asks it: false with STATUS_CANCELLED when told to
 * stop.
 */
void arena_set_question(Arena *arena, const MayContinue *question);
const MayContinue *arena_question(const Arena *arena);
bool arena_may_continue(const Arena *arena, Status *status);

/* Bytes held now, chunks included; and the most that were ever held. */
size_t arena_held(const Arena *arena);
size_t arena_peak(const Arena *arena);

/*
 * Gives back all that was allocated after the mark; chunks of the standard size are kept for reuse.
 */
typedef struct ArenaMark
{
	void *chunk;
	size_t used;
} ArenaMark;

ArenaMark arena_mark(const Arena *arena);
void arena_rewind(Arena *arena, ArenaMark mark);

void arena_report(const Arena *arena, Status *status, const char *what, size_t size);

/* Fills *status with STATUS_OUT_OF_MEMORY, naming what the memory was for; returns false. */
static inline bool
arena_fail(const Arena *arena, Status *status, const char *what, size_t size)
{
	arena_report(arena, status, what, size);
	return false;
}

#endif
