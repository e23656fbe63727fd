/*
 * memo.h: what this backend has computed, by what it is of: a text is computed once, however often
 * a plan calls the functions.
 *
 * A row of numbers (an embedding, or a head's logits; rows.h) or another result (result.h) is found
 * again by the SHA-256 of all that decides it: the model's contents and precision
 * (ModelHandle.serial), kernels, head, function, options, prompt, text and pair. So nothing in here
 * can become wrong, and nothing has to be invalidated: a model that was changed is another one. The
 * least recently used ones make room; bert.result_cache_size bounds them all.
 */
#ifndef BERT_PG_INFER_MEMO_H
#define BERT_PG_INFER_MEMO_H

#include "core/hash.h"

/*
 * Longer texts are not remembered: where a model reads only their beginning, a hash of all of it
 * would take longer.
 */
#define MEMO_MAX_TEXT ((size_t) 64 * 1024)

typedef struct MemoKey
{
	unsigned char bytes[SHA256_BYTES];
} MemoKey;

/* What is remembered, MAXALIGNed; it stays where it is until the next memo_store. */
typedef struct MemoRow
{
	const void *bytes;
	size_t size;
	bool truncated; /* its text was cut */
	bool ahead;     /* computed before it was asked for */
} MemoRow;

/* Whether anything is to be remembered: bert.result_cache_size is not 0. */
extern bool memo_enabled(void);

/* Whether so many bytes more would leave the most of what is remembered where it is. */
extern bool memo_has_room(size_t bytes);

/* False when it is not there. asked: it is needed now, and no longer ahead of that the next time.
 */
extern bool memo_find(const MemoKey *key, bool asked, MemoRow *row);

/* Copies it; does nothing where it is too large, or memory is short. */
extern void memo_store(const MemoKey *key, const MemoRow *row);

#endif
