/*
 * sort.h: sorting many elements without a long silence.
 *
 * Like qsort, for arrays that may have millions of elements: asks the arena's "may I go on?" every
 * few thousand comparisons. Stable. false with STATUS_CANCELLED, or STATUS_OUT_OF_MEMORY for the
 * room of a second array; the elements are then in some order.
 */
#ifndef BERT_CORE_SORT_H
#define BERT_CORE_SORT_H

#include <stddef.h>

#include "core/arena.h"
#include "core/status.h"

bool sort_array(Arena *arena, void *base, size_t count, size_t size,
				int (*compare)(const void *a, const void *b), Status *status);

#endif
