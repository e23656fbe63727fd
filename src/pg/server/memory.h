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

/* The same, limited by bert.max_memory, in CurrentMemoryContext. */
extern Arena *arena_for_call(void);

/* Says no when an interrupt is pending that ends the statement; raise_interrupt then raises it. */
extern const MayContinue backend_may_continue;

extern void raise_interrupt(void);

#endif
