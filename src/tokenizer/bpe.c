/*
 * bpe.c: a word's bytes merged into tokens, the merge of least rank first, the leftmost of equals.
 *
 * The order is that of the reference's queue, which also keeps merges whose symbols have changed
 * since: such a one is done if what is there now gives the same token.
 */
#include "tokenizer/composed.h"

#define ASK_SYMBOLS 8192
#define NOBODY UINT32_MAX

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

void
bpe_word(Composer *composer)
{
	TextEncoder *encoder = composer->encoder;
	const Tokenizer *t = encoder->tokenizer;
	size_t bytes = encoder->word_bytes;
	size_t begin = 0;
	int32_t id = t->header->ignore_merges != 0 ? whole_word(t, encoder->word, bytes) : -1;

	if (id >= 0)
	{
		word_token(composer, id, 0, bytes);
		return;
	}
	if (!make_room(composer, bytes))
		return;
	for (size_t i = 0; i < bytes && !told_to_stop(encoder, i); i++)
		composer->symbols[i] = (BpeSymbol){(uint32_t) t->byte_ids[encoder->word[i]],
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
