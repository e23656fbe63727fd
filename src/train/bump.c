/* bump.c: checked sizes, aligned pieces. */
#include "train/bump.h"

#include "core/arena.h"
#include "core/checked.h"

void *
bump_take(Bump *bump, size_t rows, size_t columns, size_t size)
{
	size_t bytes;
	size_t at = bump->used;

	if (!size_mul(rows, columns, &bytes) || !size_mul(bytes, size, &bytes) ||
		!size_add(bytes, ARENA_ALIGNMENT, &bytes) ||
		!size_add(at, size_align(bytes - ARENA_ALIGNMENT, ARENA_ALIGNMENT), &bump->used))
	{
		bump->overflow = true;
		return NULL;
	}
	return bump->base == NULL ? NULL : bump->base + at;
}

float *
bump_floats(Bump *bump, size_t rows, size_t columns)
{
	return bump_take(bump, rows, columns, sizeof(float));
}
