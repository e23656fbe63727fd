/* memory.c: the bridge between arenas and memory contexts. */
#include "pg/server/compat.h"

#include <sys/mman.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "pg/server/settings.h"
#include "pg/server/memory.h"
#include "pg/server/progress.h"

#define LARGE_PAGE ((Size) 2 * 1024 * 1024)

/*
 * A page is cleared when it is first touched and given back at the end, whether the work is done or
 * cancelled; for a gigabyte of small ones that is a tenth of a second each that nothing can
 * interrupt.
 */
void
memory_prefer_large_pages(void *memory, Size size)
{
#ifdef MADV_HUGEPAGE
	char *begin = (char *) TYPEALIGN(LARGE_PAGE, memory);
	char *end = (char *) TYPEALIGN_DOWN(LARGE_PAGE, (char *) memory + size);

	if (size >= 2 * LARGE_PAGE && begin < end)
		(void) madvise(begin, (Size) (end - begin), MADV_HUGEPAGE);
#endif
}

static void *
context_allocate(void *context, size_t size)
{
	void *memory;

	if (size > MaxAllocHugeSize)
		return NULL;
	memory = MemoryContextAllocExtended(context, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (memory != NULL)
		memory_prefer_large_pages(memory, size);
	return memory;
}

static void
context_release(void *context, void *pointer)
{
	(void) context;
	pfree(pointer);
}

static ErrorData *interrupt_error;

/*
 * A cancel or a termination is left to report_status. Other interrupts (a barrier, a recovery
 * conflict, a request for statistics) are processed here; should that raise an error, it is kept
 * and raised by report_status, so that nothing jumps over the plain C layers.
 */
static bool
no_interrupt_pending(void *context)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile bool proceed = true;

	progress_tell();
	if (!INTERRUPTS_PENDING_CONDITION() || InterruptHoldoffCount != 0 || CritSectionCount != 0)
		return true;
	if (QueryCancelPending || ProcDiePending)
		return false;
	PG_TRY();
	{
		ProcessInterrupts();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(TopMemoryContext);
		interrupt_error = CopyErrorData();
		FlushErrorState();
		proceed = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	return proceed;
}

void
raise_interrupt(void)
{
	CHECK_FOR_INTERRUPTS();
	if (interrupt_error != NULL)
	{
		ErrorData *error = interrupt_error;

		interrupt_error = NULL;
		ReThrowError(error);
	}
}

const MayContinue backend_may_continue = {no_interrupt_pending, NULL};

Arena *
arena_in_context(MemoryContext context, Size limit)
{
	Allocator allocator = {context_allocate, context_release, context};
	Arena *arena = arena_create(&allocator, limit);

	if (arena == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	arena_set_question(arena, &backend_may_continue);
	return arena;
}

Size
memory_ceiling(void)
{
	return guc_memory_ceiling > 0 ? (Size) guc_memory_ceiling * 1024 : SIZE_MAX;
}

Size
memory_limit(void)
{
	return Min((Size) guc_max_memory * 1024, memory_ceiling());
}

const char *
memory_limit_name(void)
{
	return (Size) guc_max_memory * 1024 <= memory_ceiling() ? "bert.max_memory"
															: "bert.memory_ceiling";
}

void
memory_check_weights(Size elements, bool shared_work)
{
	Size limit = shared_work ? memory_ceiling() : memory_limit();
	const char *name = shared_work ? "bert.memory_ceiling" : memory_limit_name();

	if (elements > limit / sizeof(float))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("the weights need %zu MB of memory, %s is %zu MB",
						elements / (1048576 / sizeof(float)) + 1, name, limit / 1048576),
				 strcmp(name, "bert.max_memory") == 0 ? errhint("Raise bert.max_memory.")
													  : errhint("A superuser may raise it.")));
}

float *
memory_for_weights(Size elements, bool shared_work)
{
	float *memory;

	memory_check_weights(elements, shared_work);
	memory = MemoryContextAllocHuge(CurrentMemoryContext, Max(elements, 1) * sizeof(float));
	memory_prefer_large_pages(memory, elements * sizeof(float));
	return memory;
}

Arena *
arena_for_call(void)
{
	return arena_in_context(CurrentMemoryContext, memory_limit());
}
