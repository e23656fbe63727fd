/*
 * bulk.h: copying, clearing and hashing much memory without a long silence.
 *
 * A hundred megabytes take tens of milliseconds, more when their pages are new. These ask "may I go
 * on?" between pieces; false with STATUS_CANCELLED when told to stop.
 */
#ifndef BERT_CORE_BULK_H
#define BERT_CORE_BULK_H

#include <stddef.h>

#include "core/hash.h"
#include "core/status.h"

/* memcpy; from may be NULL when there is nothing to copy. */
bool bulk_copy(void *to, const void *from, size_t bytes, const MayContinue *question,
			   Status *status);

/* SHA-256 of the bytes */
bool bulk_sha256(const void *bytes, size_t length, unsigned char digest[SHA256_BYTES],
				 const MayContinue *question, Status *status);

/* memset to zero */
bool bulk_clear(void *to, size_t bytes, const MayContinue *question, Status *status);

/*
 * For loops with short turns: true in one of `every` turns, a power of two. Use as
 * "if (bulk_turn(i, 4096) && !may_continue(...))".
 */
static inline bool
bulk_turn(size_t i, size_t every)
{
	return (i & (every - 1)) == every - 1;
}

#endif
