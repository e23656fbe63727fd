/* memory.c: the bridge between arenas and memory contexts. */
#include "pg/compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "pg/guc.h"
#include "pg/memory.h"

static void *
context_allocate(void *context, size_t size)
{
	if (size > MaxAllocHugeSize)
		return NULL;
	return MemoryContextAllocExtended(context, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
}

static void
context_release(void *context, void *pointer)
{
	(void) context;
	pfree(pointer);
}

Arena *
arena_in_context(MemoryContext context, Size limit)
{
	Allocator	allocator = {context_allocate, context_release, context};
	Arena	   *arena = arena_create(&allocator, limit);

	if (arena == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return arena;
}

Arena *
arena_for_call(void)
{
	return arena_in_context(CurrentMemoryContext, (Size) guc_max_memory * 1024);
}

static bool
no_interrupt_pending(void *context)
{
	(void) context;
	return !INTERRUPTS_PENDING_CONDITION();
}

const MayContinue backend_may_continue = {no_interrupt_pending, NULL};
