/*
 * recycling.h: an allocator that keeps the chunks that it was given back: getting them anew for
 * every input would take most of the time.
 */
#ifndef BERT_FUZZ_RECYCLING_H
#define BERT_FUZZ_RECYCLING_H

#include <stdlib.h>

#include "core/arena.h"

#define RECYCLED 8

static struct
{
	size_t *blocks[RECYCLED];
	size_t next; /* that makes room */
} recycled;

static void *
recycling_allocate(void *context, size_t size)
{
	size_t *block = NULL;

	(void) context;
	for (size_t i = 0; i < RECYCLED && block == NULL; i++)
		if (recycled.blocks[i] != NULL && *recycled.blocks[i] == size)
		{
			block = recycled.blocks[i];
			recycled.blocks[i] = NULL;
		}
	if (block == NULL)
		block = malloc(size + ARENA_ALIGNMENT);
	if (block == NULL)
		return NULL;
	*block = size;
	return (char *) block + ARENA_ALIGNMENT;
}

static void
recycling_release(void *context, void *pointer)
{
	size_t *block = (size_t *) ((char *) pointer - ARENA_ALIGNMENT);
	size_t place = recycled.next++ % RECYCLED;

	(void) context;
	for (size_t i = 0; i < RECYCLED; i++)
		if (recycled.blocks[i] == NULL)
			place = i;
	free(recycled.blocks[place]);
	recycled.blocks[place] = block;
}

static const Allocator recycling = {recycling_allocate, recycling_release, NULL};

#endif
