/*
 * bpe.c: a word's bytes merged into tokens, the merge of least rank first, the leftmost of equals.
 *
 * Between two bytes that no merge brings together (image.h: joins) a word is cut: each part is
 * merged by itself. A short part looks for its best merge in a list, a long one keeps them in a
 * heap. A word that is too long to be remembered as a whole has its short parts remembered.
 */
#include "tokenizer/composed.h"

#define ASK_SYMBOLS 8192
#define ASK_PARTS 2048
#define NOBODY UINT32_MAX
#define NO_MERGE UINT64_MAX

typedef struct BpeSymbol
{
	uint32_t id;
	uint32_t previous; /* or NOBODY */
	uint32_t next;
	uint32_t length; /* bytes; 0: merged into the one before */
} BpeSymbol;

typedef struct BpeMerge
{
	uint32_t rank;
	uint32_t position; /* of the left symbol */
	uint32_t id;
} BpeMerge;

static inline bool
told_to_stop(TextEncoder *encoder, size_t turn)
{
	if (bulk_turn(turn, ASK_SYMBOLS) && !may_continue(encoder->question, encoder->status))
		encoder->stopped = true;
	return encoder->stopped;
}

static bool
make_room(Composer *composer, size_t bytes)
{
	TextEncoder *encoder = composer->encoder;
	size_t capacity = bytes + bytes / 2 + 256;

	if (bytes <= composer->symbols_capacity)
		return true;
	/* A merge makes at most two more possible, and there are less of them than symbols. */
	composer->symbols = arena_alloc_array(encoder->arena, capacity, sizeof *composer->symbols);
	composer->heap = arena_alloc_array(encoder->arena, 3 * capacity, sizeof *composer->heap);
	composer->symbols_capacity = capacity;
	if (composer->symbols != NULL && composer->heap != NULL)
		return true;
	composer->symbols_capacity = 0;
	encoder->failed = true;
	encoder->wanted = capacity * (sizeof *composer->symbols + 3 * sizeof *composer->heap);
	return false;
}

static const MergeSlot *
find_merge(const Tokenizer *t, uint32_t left, uint32_t right)
{
	uint32_t bits = t->header->merge_bits;
	uint32_t mask = (1u << bits) - 1;
	uint32_t slot = merge_hash(left, right, bits);

	for (uint32_t probe = 0; probe < TABLE_PROBES; probe++, slot++)
	{
		const MergeSlot *found = &t->merges[slot & mask];

		if (found->left == left && found->right == right)
			return found->id < t->n_ids ? found : NULL;
		if (found->left == SLOT_EMPTY)
			return NULL;
	}
	return NULL;
}

static inline bool
comes_before(const BpeMerge *a, const BpeMerge *b)
{
	return a->rank != b->rank ? a->rank < b->rank : a->position < b->position;
}

static void
heap_put(BpeMerge *heap, size_t *n, BpeMerge merge)
{
	size_t at = (*n)++;

	while (at > 0 && comes_before(&merge, &heap[(at - 1) / 2]))
	{
		heap[at] = heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap[at] = merge;
}

static BpeMerge
heap_take(BpeMerge *heap, size_t *n)
{
	BpeMerge top = heap[0];
	BpeMerge moving = heap[--*n];
	size_t at = 0;

	for (size_t child = 1; child < *n; child = 2 * at + 1)
	{
		if (child + 1 < *n && comes_before(&heap[child + 1], &heap[child]))
			child++;
		if (!comes_before(&heap[child], &moving))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = moving;
	return top;
}

static void
offer(const Composer *composer, size_t *n, uint32_t position)
{
	const BpeSymbol *left = &composer->symbols[position];
	const MergeSlot *merge =
		left->next == NOBODY
			? NULL
			: find_merge(composer->encoder->tokenizer, left->id, composer->symbols[left->next].id);

	if (merge != NULL)
		heap_put(composer->heap, n, (BpeMerge){merge->rank, position, merge->id});
}

/* The queue also has merges whose symbols have changed since: nothing becomes of them. */
static void
merge_all(Composer *composer, size_t bytes)
{
	TextEncoder *encoder = composer->encoder;
	BpeSymbol *symbols = composer->symbols;
	size_t n = 0;

	for (size_t i = 0; i + 1 < bytes && !told_to_stop(encoder, i); i++)
		offer(composer, &n, (uint32_t) i);
	for (size_t turn = 0; n > 0 && !told_to_stop(encoder, turn); turn++)
	{
		BpeMerge top = heap_take(composer->heap, &n);
		BpeSymbol *left = &symbols[top.position];
		BpeSymbol *right;
		const MergeSlot *merge;

		if (left->length == 0 || left->next == NOBODY)
			continue;
		right = &symbols[left->next];
		merge = find_merge(encoder->tokenizer, left->id, right->id);
		if (merge == NULL || merge->id != top.id)
			continue;
		left->id = top.id;
		left->length += right->length;
		left->next = right->next;
		right->length = 0;
		if (left->next != NOBODY)
			symbols[left->next].previous = top.position;
		if (left->previous != NOBODY)
			offer(composer, &n, left->previous);
		offer(composer, &n, top.position);
	}
}

/* The whole word as the vocabulary writes it, if that is a token. */
static int32_t
whole_word(const Tokenizer *t, const unsigned char *word, size_t bytes)
{
	char text[TOKEN_MAX_BYTES + 4];
	size_t length = 0;

	for (size_t i = 0; i < bytes; i++)
	{
		if (length > t->max_plain || length > TOKEN_MAX_BYTES - 2)
			return -1;
		length += byte_text(word[i], (unsigned char *) text + length);
	}
	return tokenizer_id(t, text, length);
}

/* --- Parts of a word --- */

/* A part of more than WORD_BYTES bytes. */
static void
long_part(Composer *composer, size_t begin, size_t bytes)
{
	TextEncoder *encoder = composer->encoder;
	const Tokenizer *t = encoder->tokenizer;

	if (!make_room(composer, bytes))
		return;
	for (size_t i = 0; i < bytes && !told_to_stop(encoder, i); i++)
		composer->symbols[i] = (BpeSymbol){(uint32_t) t->byte_ids[encoder->word[begin + i]],
										   i == 0 ? NOBODY : (uint32_t) (i - 1),
										   i + 1 == bytes ? NOBODY : (uint32_t) (i + 1), 1};
	if (encoder->stopped)
		return;
	merge_all(composer, bytes);
	for (uint32_t i = 0; i != NOBODY && !told_to_stop(encoder, begin) && !encoder->failed;
		 i = composer->symbols[i].next)
	{
		size_t length = composer->symbols[i].length;

		word_token(composer, (int32_t) composer->symbols[i].id, begin, begin + length);
		begin += length;
	}
}

/* What two tokens become, with its rank in the upper half. */
static inline uint64_t
ranked_merge(const Tokenizer *t, int32_t left, int32_t right)
{
	const MergeSlot *merge = find_merge(t, (uint32_t) left, (uint32_t) right);

	return merge == NULL ? NO_MERGE : (uint64_t) merge->rank << 32 | merge->id;
}

/* Tokens of 1 to WORD_BYTES bytes, and where each ends; returns how many. */
static size_t
merge_short(const Tokenizer *t, const unsigned char *bytes, size_t n, int32_t *ids, uint8_t *ends)
{
	uint64_t merges[WORD_BYTES]; /* of a token and the next one */

	for (size_t i = 0; i < n; i++)
	{
		ids[i] = t->byte_ids[bytes[i]];
		ends[i] = (uint8_t) (i + 1);
	}
	for (size_t i = 0; i + 1 < n; i++)
		merges[i] = ranked_merge(t, ids[i], ids[i + 1]);
	while (n > 1)
	{
		size_t best = 0;

		for (size_t i = 1; i + 1 < n; i++)
			if (merges[i] < merges[best])
				best = i;
		if (merges[best] == NO_MERGE)
			break;
		ids[best] = (int32_t) (uint32_t) merges[best];
		ends[best] = ends[best + 1];
		n--;
		for (size_t i = best + 1; i < n; i++)
		{
			ids[i] = ids[i + 1];
			ends[i] = ends[i + 1];
			merges[i - 1] = merges[i];
		}
		if (best > 0)
			merges[best - 1] = ranked_merge(t, ids[best - 1], ids[best]);
		if (best + 1 < n)
			merges[best] = ranked_merge(t, ids[best], ids[best + 1]);
	}
	return n;
}

/* A part of at most WORD_BYTES bytes; place: where it is remembered, or NULL. */
static void
short_part(Composer *composer, size_t begin, size_t bytes, WordCacheEntry *place)
{
	const TextEncoder *encoder = composer->encoder;
	const unsigned char *word = encoder->word + begin;
	int32_t ids[WORD_BYTES];
	uint8_t ends[WORD_BYTES];
	size_t n;
	size_t done = 0;

	if (place != NULL && cache_holds(place, word, bytes))
	{
		for (size_t i = 0; i < place->n; done = place->ends[i++])
			word_token(composer, place->ids[i], begin + done, begin + place->ends[i]);
		return;
	}
	n = merge_short(encoder->tokenizer, word, bytes, ids, ends);
	for (size_t i = 0; i < n; done = ends[i++])
		word_token(composer, ids[i], begin + done, begin + ends[i]);
	if (place != NULL && n <= WORD_TOKENS)
		cache_fill(place, word, bytes, ids, ends, n);
}

static inline bool
joins(const Tokenizer *t, unsigned char left, unsigned char right)
{
	return (t->joins[JOINS_BYTE(left, right)] & JOINS_BIT(right)) != 0;
}

void
bpe_word(Composer *composer)
{
	TextEncoder *encoder = composer->encoder;
	const Tokenizer *t = encoder->tokenizer;
	const unsigned char *word = encoder->word;
	size_t bytes = encoder->word_bytes;
	bool ignore_merges = t->header->ignore_merges != 0;
	bool remember = bytes > WORD_BYTES && !ignore_merges;
	int32_t id = ignore_merges ? whole_word(t, word, bytes) : -1;

	if (id >= 0)
	{
		word_token(composer, id, 0, bytes);
		return;
	}
	for (size_t begin = 0, turn = 0; begin < bytes && !encoder->failed; turn++)
	{
		size_t end = begin + 1;
		size_t length;

		if (bulk_turn(turn, ASK_PARTS) && told_to_stop(encoder, ASK_SYMBOLS - 1))
			return;
		while (end < bytes && joins(t, word[end - 1], word[end]))
			end++;
		length = end - begin;
		if (length == 1)
			word_token(composer, t->byte_ids[word[begin]], begin, end);
		else if (length > WORD_BYTES)
			long_part(composer, begin, length);
		else
			short_part(composer, begin, length,
					   remember ? cache_place(t, word + begin, length) : NULL);
		if (encoder->stopped)
			return;
		begin = end;
	}
}
