/*
 * unigram.c: the best path through a word: the tokens whose scores add up to the most.
 *
 * As in the reference, sums are made from left to right, the first of equal paths stays, a
 * character that no token is has a score of its own, and unknown ones side by side become one.
 *
 * A long word need not be held whole: where all paths that can go on meet, what is before them is
 * decided.
 */
#include "tokenizer/composed.h"

#define UNREACHED UINT32_MAX
#define UNKNOWN TRIE_MAX_NODES /* one more than the last node */
#define ALIVE 0x80000000u
#define ASK_POSITIONS 16384
#define FIRST_PATH 512

typedef struct PathNode
{
	double score;  /* of the best path that ends here */
	uint32_t from; /* where its last token begins, or UNREACHED */
	uint32_t node; /* of the trie, or UNKNOWN; | ALIVE in meeting_place */
} PathNode;

static bool
make_path(Composer *composer, size_t bytes)
{
	TextEncoder *encoder = composer->encoder;
	size_t capacity = composer->path_capacity;

	if (capacity > bytes)
		return true;
	capacity = bytes + bytes / 2 + FIRST_PATH;
	composer->path = arena_alloc_array(encoder->arena, capacity, sizeof *composer->path);
	composer->path_capacity = composer->path == NULL ? 0 : capacity;
	if (composer->path != NULL)
		return true;
	encoder->failed = true;
	encoder->wanted = capacity * sizeof *composer->path;
	return false;
}

static inline bool
told_to_stop(TextEncoder *encoder, size_t turn)
{
	if (bulk_turn(turn, ASK_POSITIONS) && !may_continue(encoder->question, encoder->status))
		encoder->stopped = true;
	return encoder->stopped;
}

static inline const TrieSlot *
trie_child(const Tokenizer *t, uint32_t node, unsigned char byte)
{
	uint32_t bits = t->header->trie_bits;
	uint32_t mask = (1u << bits) - 1;
	uint32_t key = node << 8 | byte;
	uint32_t slot = trie_hash(key, bits);

	for (uint32_t probe = 0; probe < TABLE_PROBES; probe++, slot++)
	{
		const TrieSlot *found = &t->trie[slot & mask];

		if (found->key == key)
			return found;
		if (found->key == SLOT_EMPTY)
			return NULL;
	}
	return NULL;
}

void
unigram_roots(Tokenizer *t)
{
	for (int byte = 0; byte < 256; byte++)
	{
		const TrieSlot *slot = trie_child(t, 0, (unsigned char) byte);

		t->roots[byte] = slot != NULL ? *slot : (TrieSlot){SLOT_EMPTY, 0, 0};
	}
}

static inline void
offer(PathNode *target, double score, uint32_t from, uint32_t node)
{
	if (target->from == UNREACHED || score > target->score)
		*target = (PathNode){score, from, node};
}

static void
find_paths(Composer *composer, const unsigned char *word, size_t bytes)
{
	TextEncoder *encoder = composer->encoder;
	const Tokenizer *t = encoder->tokenizer;
	PathNode *path = composer->path;

	path[0] = (PathNode){composer->base_score, 0, UNKNOWN};
	for (size_t i = 1; i <= bytes; i++)
		path[i] = (PathNode){0, UNREACHED, UNKNOWN};
	for (size_t start = 0; start < bytes && !told_to_stop(encoder, start);)
	{
		double score = path[start].score;
		uint32_t c;
		size_t first = (size_t) utf8_decode(word + start, &c);
		bool single = false;
		const TrieSlot *slot = &t->roots[word[start]];

		if (slot->key == SLOT_EMPTY)
			slot = NULL;
		for (size_t at = start; slot != NULL;)
		{
			uint32_t node = slot->child & ~TRIE_LEAF;

			at++;
			/* the image may be damaged */
			if ((slot->child & TRIE_LEAF) != 0 && node < t->header->n_nodes)
			{
				offer(&path[at], t->scores[node] + score, (uint32_t) start, node);
				single |= at - start == first;
			}
			if (at == bytes || (slot->children & TRIE_CHILD(word[at])) == 0)
				break;
			slot = trie_child(t, node, word[at]);
		}
		if (!single)
			offer(&path[start + first], t->header->unk_score + score, (uint32_t) start, UNKNOWN);
		start += first;
	}
}

/* The token of a path's node; the image may be damaged. */
static int32_t
node_id(const Tokenizer *t, uint32_t node)
{
	int32_t id = node >= t->header->n_nodes ? -1 : t->nodes[node];

	return id < 0 || (uint32_t) id >= t->n_ids ? t->unk_id : id;
}

static bool
is_unknown(const Tokenizer *t, const PathNode *at)
{
	return node_id(t, at->node) == t->unk_id;
}

/* Unknown characters side by side are looked up as one, then as bytes. */
static void
put_unknown(Composer *composer, size_t begin, size_t end)
{
	TextEncoder *encoder = composer->encoder;
	const Tokenizer *t = encoder->tokenizer;
	const unsigned char *word = encoder->word;
	int32_t id = -1;

	if (end - begin <= t->max_plain)
		id = vocabulary_find(t, word + begin, end - begin, false);
	if (id < 0 && t->header->byte_fallback != 0)
	{
		bool all = true;

		for (size_t i = begin; i < end && all; i++)
			all = t->byte_ids[word[i]] >= 0;
		for (size_t i = begin; i < end && all && !told_to_stop(encoder, i); i++)
			word_token(composer, t->byte_ids[word[i]], begin, end);
		if (all)
			return;
	}
	word_token(composer, id < 0 ? t->unk_id : id, begin, end);
}

/* Tokens of the path to end, which is turned round for that: from becomes where a token ends. */
static void
put_path(Composer *composer, size_t end)
{
	TextEncoder *encoder = composer->encoder;
	const Tokenizer *t = encoder->tokenizer;
	PathNode *path = composer->path;
	uint32_t next = UNREACHED;
	size_t turn = 0;

	for (uint32_t at = (uint32_t) end; at > 0 && !told_to_stop(encoder, turn++);)
	{
		uint32_t from = path[at].from;

		path[at].from = next;
		next = at;
		at = from;
	}
	for (size_t begin = 0; begin < end && !encoder->stopped && !encoder->failed; turn++)
	{
		size_t stop = next;
		uint32_t node = path[stop].node;
		bool unknown = is_unknown(t, &path[stop]);

		next = path[stop].from;
		while (unknown && stop < end && is_unknown(t, &path[next]) &&
			   !told_to_stop(encoder, turn++))
		{
			stop = next;
			next = path[stop].from;
		}
		if (unknown)
			put_unknown(composer, begin, stop);
		else
			word_token(composer, node_id(t, node), begin, stop);
		begin = stop;
		told_to_stop(encoder, turn);
	}
}

/*
 * The last place that all paths go through which can still become the best, and after a token that
 * is known; 0 if there is none. Whatever comes begins in the last max_plain bytes or is reached
 * from there, and every boundary of characters is reached.
 */
static size_t
meeting_place(Composer *composer, const unsigned char *word, size_t bytes)
{
	TextEncoder *encoder = composer->encoder;
	const Tokenizer *t = encoder->tokenizer;
	PathNode *path = composer->path;
	size_t first = bytes > t->max_plain ? bytes - t->max_plain : 0;
	size_t alive = 0;
	size_t place;

	for (size_t at = first; at <= bytes; at++)
		if (at == bytes || (word[at] & 0xC0) != 0x80)
		{
			path[at].node |= ALIVE;
			alive++;
		}
	/* each goes back to where it came from, the last one first, until they are all one */
	for (place = bytes; place > 0 && !told_to_stop(encoder, bytes - place); place--)
	{
		PathNode *from = &path[path[place].from];

		if ((path[place].node & ALIVE) == 0)
			continue;
		path[place].node &= ~ALIVE;
		if (alive == 1)
			break;
		alive--;
		if ((from->node & ALIVE) == 0)
		{
			from->node |= ALIVE;
			alive++;
		}
	}
	while (place > 0 && is_unknown(t, &path[place]) && !told_to_stop(encoder, place))
		place = path[place].from;
	return place;
}

size_t
unigram_word(Composer *composer, bool part)
{
	TextEncoder *encoder = composer->encoder;
	size_t bytes = encoder->word_bytes;
	size_t end = bytes;

	if (!make_path(composer, bytes))
		return 0;
	find_paths(composer, encoder->word, bytes);
	if (part)
		end = meeting_place(composer, encoder->word, bytes);
	if (encoder->stopped || end == 0)
		return 0;
	composer->base_score = composer->path[end].score;
	put_path(composer, end);
	return end;
}
