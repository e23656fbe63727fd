/*
 * expand.h: what PostgreSQL compresses stored values with, taken apart with questions in between.
 *
 * The server expands a value in one go, a second for some hundred megabytes, without a look at
 * anything else. These ask "may I go on?" every megabyte.
 *
 * pglz (src/common/pg_lzcompress.c of PostgreSQL): a byte of flags stands before eight items, the
 * lowest bit for the first. 0: a byte as it is. 1: two or three bytes that say what to repeat of
 * the output: the first one's low half + 3 is the length (18: a third byte is added), its high half
 * and the second byte are how far back, 1 to 4095; the two may overlap.
 *
 * lz4 (lz4_Block_format.md of LZ4): a byte's high half is how many bytes follow as they are, its
 * low half + 4 how many are repeated after them from how far back, which two bytes say, the lower
 * one first. A half of 15 goes on in bytes that are added, up to the first that is not 255; those
 * of the second come after the distance. The last bytes are followed by no repetition.
 */
#ifndef BERT_CORE_EXPAND_H
#define BERT_CORE_EXPAND_H

#include <stddef.h>

#include "core/status.h"

/*
 * Fills out with exactly out_bytes from all the in_bytes. STATUS_INVALID_DATA when it is not that
 * many, or refers to what lies before the beginning; STATUS_CANCELLED.
 */
typedef bool (*Expand)(const void *in, size_t in_bytes, void *out, size_t out_bytes,
					   const MayContinue *question, Status *status);

bool expand_pglz(const void *in, size_t in_bytes, void *out, size_t out_bytes,
				 const MayContinue *question, Status *status);
bool expand_lz4(const void *in, size_t in_bytes, void *out, size_t out_bytes,
				const MayContinue *question, Status *status);

#endif
