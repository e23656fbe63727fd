/* checked.h: size arithmetic that cannot wrap. Each returns false on overflow and then leaves *out
 * alone. */
#ifndef BERT_CORE_CHECKED_H
#define BERT_CORE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>

static inline bool
size_add(size_t a, size_t b, size_t *out)
{
	size_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return false;
	*out = sum;
	return true;
}

static inline bool
size_mul(size_t a, size_t b, size_t *out)
{
	size_t product;

	if (__builtin_mul_overflow(a, b, &product))
		return false;
	*out = product;
	return true;
}

static inline size_t
size_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * n rounded up to a multiple of step (a power of two). The caller knows that n + step cannot wrap.
 */
static inline size_t
size_align(size_t n, size_t step)
{
	return (n + step - 1) & ~(step - 1);
}

#endif
