/*
 * bump.h: handing out pieces of one allocation. With base NULL it only counts, so the same layout
 * code first says how much is needed and then where everything is.
 */
#ifndef BERT_TRAIN_BUMP_H
#define BERT_TRAIN_BUMP_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Bump
{
	char *base;
	size_t used; /* bytes */
	bool overflow;
} Bump;

/* rows * columns elements of `size` bytes, aligned as an arena's; NULL while counting. */
void *bump_take(Bump *bump, size_t rows, size_t columns, size_t size);
float *bump_floats(Bump *bump, size_t rows, size_t columns);

#endif
