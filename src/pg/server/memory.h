/* memory.h: arenas inside memory contexts, and PostgreSQL's interrupts as the core's "may I go
 * on?". */
#ifndef BERT_PG_SERVER_MEMORY_H
#define BERT_PG_SERVER_MEMORY_H

#include "core/arena.h"

/*
 * An arena whose chunks are palloc'd in the context (huge, never longjmping): resetting or deleting
 * the context frees it. limit: bytes, 0 for none.
 */
extern Arena *arena_in_context(MemoryContext context, Size limit);

/*
 * What one call may take, in bytes: bert.max_memory, but not more than bert.memory_ceiling. The
 * second is the ceiling alone (SIZE_MAX without one): for what is not of the caller's choosing.
 */
extern Size memory_limit(void);
extern Size memory_ceiling(void);
/* The setting that decides memory_limit(). */
extern const char *memory_limit_name(void);

/*
 * Room for that many floats of weights in CurrentMemoryContext; 53200 before it is taken if the
 * limit is lower. shared_work: of the ceiling alone, as for the cache that all sessions share.
 */
extern float *memory_for_weights(Size elements, bool shared_work);
extern void memory_check_weights(Size elements, bool shared_work);

/* The same, limited by bert.max_memory, in CurrentMemoryContext. */
extern Arena *arena_for_call(void);

/* Asks the system for large pages where there is room for several of them. */
extern void memory_prefer_large_pages(void *memory, Size size);

/* Says no when an interrupt is pending that ends the statement; raise_interrupt then raises it. */
extern const MayContinue backend_may_continue;

extern void raise_interrupt(void);

#endif
