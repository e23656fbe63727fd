/*
 * failing_allocator.h: an allocator whose n-th allocation from now fails, and that counts what is
 * not given back.
 */
#ifndef BERT_TEST_FAILING_ALLOCATOR_H
#define BERT_TEST_FAILING_ALLOCATOR_H

#include <stdlib.h>

#include "core/arena.h"

typedef struct Failing
{
	long until_failure; /* below 0: it has failed */
	long held;
} Failing;

static inline void *
failing_allocate(void *context, size_t size)
{
	Failing *failing = context;
	void *pointer = failing->until_failure-- == 0 ? NULL : malloc(size);

	failing->held += pointer != NULL;
	return pointer;
}

static inline void
failing_release(void *context, void *pointer)
{
	((Failing *) context)->held -= pointer != NULL;
	free(pointer);
}

static inline Allocator
failing_allocator(Failing *failing)
{
	return (Allocator){failing_allocate, failing_release, failing};
}

#endif
