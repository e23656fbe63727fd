/* arena_fixture.h: an arena as the state of a group of tests. */
#ifndef BERT_TEST_UNIT_ARENA_FIXTURE_H
#define BERT_TEST_UNIT_ARENA_FIXTURE_H

#include "core/arena.h"

static inline int
open_arena(void **state)
{
	*state = arena_create(&allocator_malloc, 0);
	return *state == NULL;
}

static inline int
close_arena(void **state)
{
	arena_destroy(*state);
	return 0;
}

#endif
