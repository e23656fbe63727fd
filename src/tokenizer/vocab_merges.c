/*
 * vocab_merges.c: the most frequent pair of neighbouring pieces becomes a piece, again and again.
 *
 * Counts of all pairs are kept up to date while words change. A heap holds pairs with the count
 * they had when they were put in; one that comes out with an old count goes back with the new one,
 * as in the reference. Each entry has the list of words in which its pair appeared, so that a merge
 * visits these words only.
 */
#include "tokenizer/vocab_merges.h"

#include <string.h>

#include "core/bulk.h"
#include "core/note.h"
#include "tokenizer/unicode.h"

#define NONE UINT32_MAX
#define PREFIX "##"
#define PREFIX_LENGTH 2
#define ASK_WORDS 4096    /* words visited between two questions */
#define ASK_SYMBOLS 65536 /* their pieces, for words may be long */
#define ASK_PAIRS 16384   /* pairs put into a table or the heap */

static const char *const special_tokens[VOCAB_SPECIAL_TOKENS] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]",
																 "[MASK]"};

typedef struct Letter
{
	int64_t count;
	uint32_t id;           /* NONE: not in the alphabet */
	uint32_t continuation; /* id with the prefix; NONE: never seen inside a word */
} Letter;

typedef struct Piece
{
	size_t text;
	uint32_t length;
	uint32_t hash;
} Piece;

typedef struct PairCount
{
	uint64_t key; /* first piece << 32 | second piece */
	int64_t count;
	uint32_t places; /* words where it has appeared since it was last put into the heap */
} PairCount;

typedef struct Place
{
	uint32_t word;
	uint32_t next;
} Place;

typedef struct HeapEntry
{
	int64_t count;
	uint64_t key;
	uint32_t places;
} HeapEntry;

typedef struct Merger
{
	Arena *arena;
	const VocabBuilderOptions *options;
	const WordCounts *counts;
	const MayContinue *question;
	Status *status;
	Letter *letters; /* (0x110000) */

	Piece *pieces; /* the vocabulary */
	size_t n_pieces;
	size_t pieces_capacity;
	uint32_t *piece_slots; /* piece + 1 */
	size_t piece_mask;
	unsigned char *texts;
	size_t texts_length;
	size_t texts_capacity;

	uint32_t *symbols;      /* the words' pieces, one word after the other */
	size_t *word_starts;    /* (n_words) */
	uint32_t *word_lengths; /* pieces left */

	PairCount *pairs;
	size_t n_pairs;
	size_t pairs_capacity;
	uint32_t *pair_slots; /* pair + 1 */
	size_t pair_mask;

	Place *places;
	size_t n_places;
	size_t places_capacity;
	uint32_t free_place;

	HeapEntry *heap;
	size_t n_heap;
	size_t heap_capacity;

	uint32_t *touched; /* pairs that have places */
	size_t n_touched;
	size_t touched_capacity;
} Merger;

static bool
out_of_memory(const Merger *m)
{
	return arena_fail(m->arena, m->status, "a vocabulary's pairs", 0);
}

/* Room for one more element. */
static bool
make_room(Merger *m, void *array, size_t n, size_t *capacity, size_t element)
{
	size_t larger = *capacity == 0 ? 1024 : *capacity * 2;
	void *old;
	void *copy;

	if (n < *capacity)
		return true;
	copy = larger >= NONE ? NULL : arena_alloc_array(m->arena, larger, element);
	if (copy == NULL)
		return out_of_memory(m);
	memcpy(&old, array, sizeof old);
	if (!bulk_copy(copy, old, n * element, m->question, m->status))
		return false;
	memcpy(array, &copy, sizeof copy);
	*capacity = larger;
	return true;
}

static uint32_t
hash_text(const unsigned char *text, size_t length)
{
	uint64_t hash = UINT64_C(0xCBF29CE484222325) ^ length;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ text[i]) * UINT64_C(0x100000001B3);
	return (uint32_t) (hash ^ hash >> 32);
}

static bool
reserve_texts(Merger *m, size_t length)
{
	while (m->texts_capacity - m->texts_length < length)
	{
		unsigned char *larger = arena_alloc(m->arena, m->texts_capacity * 2);

		if (larger == NULL)
			return out_of_memory(m);
		if (!bulk_copy(larger, m->texts, m->texts_length, m->question, m->status))
			return false;
		m->texts = larger;
		m->texts_capacity *= 2;
	}
	return true;
}

/* The id of a piece; a new one when there is none yet. */
static bool
intern(Merger *m, const unsigned char *text, size_t length, uint32_t *id)
{
	uint32_t hash = hash_text(text, length);
	size_t slot = hash & m->piece_mask;
	Piece *piece;

	for (; m->piece_slots[slot] != 0; slot = (slot + 1) & m->piece_mask)
	{
		piece = &m->pieces[m->piece_slots[slot] - 1];
		if (piece->hash == hash && piece->length == length &&
			memcmp(m->texts + piece->text, text, length) == 0)
		{
			*id = m->piece_slots[slot] - 1;
			return true;
		}
	}
	if (m->n_pieces == m->pieces_capacity)
		return status_fail(m->status, STATUS_INTERNAL, "more pieces than were planned for");
	if (!reserve_texts(m, length))
		return false;
	memcpy(m->texts + m->texts_length, text, length);
	piece = &m->pieces[m->n_pieces];
	piece->text = m->texts_length;
	piece->length = (uint32_t) length;
	piece->hash = hash;
	m->texts_length += length;
	*id = (uint32_t) m->n_pieces++;
	m->piece_slots[slot] = *id + 1;
	return true;
}

static bool
prepare_pieces(Merger *m, size_t n_letters)
{
	size_t most = (size_t) m->options->size + VOCAB_SPECIAL_TOKENS + 2 * n_letters;
	size_t slots = 1024;

	while (slots < most * 2)
		slots *= 2;
	m->pieces_capacity = most;
	m->pieces = arena_alloc_array(m->arena, most, sizeof *m->pieces);
	m->piece_slots = arena_alloc_array_zero(m->arena, slots, sizeof *m->piece_slots);
	m->piece_mask = slots - 1;
	m->texts_capacity = 65536;
	m->texts = arena_alloc(m->arena, m->texts_capacity);
	return m->pieces != NULL && m->piece_slots != NULL && m->texts != NULL ? true
																		   : out_of_memory(m);
}

static bool
count_letters(Merger *m)
{
	m->letters = arena_alloc_array_zero(m->arena, 0x110000, sizeof *m->letters);
	if (m->letters == NULL)
		return out_of_memory(m);
	for (size_t w = 0; w < m->counts->n_words; w++)
	{
		const WordCount *word = &m->counts->words[w];
		const unsigned char *text = m->counts->texts + word->text;

		for (size_t i = 0; i < word->length;)
		{
			uint32_t c;

			i += (size_t) utf8_decode(text + i, &c);
			m->letters[c].count += word->count;
		}
		if (w % ASK_WORDS == 0 && !may_continue(m->question, m->status))
			return false;
	}
	return true;
}

/* The count from which on a letter is kept, and how many with just that count are. */
static bool
alphabet_limit(const Merger *m, size_t n_letters, int64_t *least, size_t *with_least)
{
	int64_t low = 1;
	int64_t high = INT64_MAX;
	size_t limit = (size_t) m->options->limit_alphabet;
	size_t above = 0;

	*least = 0;
	*with_least = 0;
	if (n_letters <= limit)
		return true;
	/* The greatest count that at least limit letters have. */
	while (low < high)
	{
		int64_t middle = low + (high - low) / 2 + 1;
		size_t n = 0;

		for (uint32_t c = 0; c < 0x110000; c++)
			n += m->letters[c].count >= middle;
		if (n >= limit)
			low = middle;
		else
			high = middle - 1;
		if (!may_continue(m->question, m->status))
			return false;
	}
	for (uint32_t c = 0; c < 0x110000; c++)
		above += m->letters[c].count > low;
	*least = low;
	*with_least = limit - above;
	return true;
}

/*
 * Special tokens, then letters in the order of code points; of equally rare letters the first are
 * kept.
 */
static bool
make_alphabet(Merger *m)
{
	size_t n_letters = 0;
	int64_t least;
	size_t with_least;

	for (uint32_t c = 0; c < 0x110000; c++)
		n_letters += m->letters[c].count > 0;
	if (!alphabet_limit(m, n_letters, &least, &with_least) || !prepare_pieces(m, n_letters))
		return false;
	for (int i = 0; i < VOCAB_SPECIAL_TOKENS; i++)
	{
		uint32_t id;

		if (!intern(m, (const unsigned char *) special_tokens[i], strlen(special_tokens[i]), &id))
			return false;
	}
	for (uint32_t c = 0; c < 0x110000; c++)
	{
		Letter *letter = &m->letters[c];
		unsigned char text[4];

		letter->id = NONE;
		letter->continuation = NONE;
		if (letter->count == 0 || letter->count < least ||
			(letter->count == least && with_least == 0))
			continue;
		with_least -= letter->count == least;
		if (!intern(m, text, (size_t) utf8_encode(c, text), &letter->id))
			return false;
	}
	return true;
}

/* Gives ids to letters inside words, in the order of code points, and turns words into pieces. */
static bool
split_words(Merger *m)
{
	size_t n_symbols = 0;
	size_t next = 0;

	for (size_t w = 0; w < m->counts->n_words; w++)
	{
		const WordCount *word = &m->counts->words[w];
		const unsigned char *text = m->counts->texts + word->text;
		uint32_t c;

		for (size_t i = 0; i < word->length;)
		{
			bool first = i == 0;

			i += (size_t) utf8_decode(text + i, &c);
			if (!first)
				m->letters[c].continuation = 0;
			if (bulk_turn(n_symbols++, ASK_SYMBOLS) && !may_continue(m->question, m->status))
				return false;
		}
	}
	for (uint32_t c = 0; c < 0x110000; c++)
	{
		unsigned char text[PREFIX_LENGTH + 4] = PREFIX;

		if (m->letters[c].id != NONE && m->letters[c].continuation != NONE &&
			!intern(m, text, PREFIX_LENGTH + (size_t) utf8_encode(c, text + PREFIX_LENGTH),
					&m->letters[c].continuation))
			return false;
	}
	m->symbols = arena_alloc_array(m->arena, n_symbols, sizeof *m->symbols);
	m->word_starts = arena_alloc_array(m->arena, m->counts->n_words, sizeof *m->word_starts);
	m->word_lengths = arena_alloc_array(m->arena, m->counts->n_words, sizeof *m->word_lengths);
	if (m->symbols == NULL || m->word_starts == NULL || m->word_lengths == NULL)
		return out_of_memory(m);
	for (size_t w = 0; w < m->counts->n_words; w++)
	{
		const WordCount *word = &m->counts->words[w];
		const unsigned char *text = m->counts->texts + word->text;
		uint32_t c;

		m->word_starts[w] = next;
		for (size_t i = 0; i < word->length;)
		{
			bool first = i == 0;

			i += (size_t) utf8_decode(text + i, &c);
			if (m->letters[c].id != NONE)
				m->symbols[next++] = first ? m->letters[c].id : m->letters[c].continuation;
		}
		m->word_lengths[w] = (uint32_t) (next - m->word_starts[w]);
		if (w % ASK_WORDS == 0 && !may_continue(m->question, m->status))
			return false;
	}
	return true;
}

static size_t
pair_slot(const Merger *m, uint64_t key)
{
	uint64_t hash = key * UINT64_C(0x9FB21C651E98DF25);

	return (size_t) (hash ^ hash >> 32) & m->pair_mask;
}

static bool
grow_pairs(Merger *m)
{
	size_t slots = m->pair_mask == 0 ? 65536 : (m->pair_mask + 1) * 2;

	m->pair_slots = arena_alloc_array(m->arena, slots, sizeof *m->pair_slots);
	if (m->pair_slots == NULL)
		return out_of_memory(m);
	if (!bulk_clear(m->pair_slots, slots * sizeof *m->pair_slots, m->question, m->status))
		return false;
	m->pair_mask = slots - 1;
	for (size_t i = 0; i < m->n_pairs; i++)
	{
		size_t slot = pair_slot(m, m->pairs[i].key);

		while (m->pair_slots[slot] != 0)
			slot = (slot + 1) & m->pair_mask;
		m->pair_slots[slot] = (uint32_t) i + 1;
		if (bulk_turn(i, ASK_PAIRS) && !may_continue(m->question, m->status))
			return false;
	}
	return true;
}

static PairCount *
find_pair(Merger *m, uint64_t key)
{
	size_t slot;
	PairCount *pair;

	if (m->n_pairs * 2 >= m->pair_mask && !grow_pairs(m))
		return NULL;
	for (slot = pair_slot(m, key); m->pair_slots[slot] != 0; slot = (slot + 1) & m->pair_mask)
		if (m->pairs[m->pair_slots[slot] - 1].key == key)
			return &m->pairs[m->pair_slots[slot] - 1];
	if (!make_room(m, &m->pairs, m->n_pairs, &m->pairs_capacity, sizeof *m->pairs))
		return NULL;
	pair = &m->pairs[m->n_pairs++];
	pair->key = key;
	pair->count = 0;
	pair->places = NONE;
	m->pair_slots[slot] = (uint32_t) m->n_pairs;
	return pair;
}

/* Counts change occurrences of a pair more in a word. */
static bool
change_pair(Merger *m, uint32_t first, uint32_t second, int64_t change, uint32_t word)
{
	PairCount *pair = find_pair(m, (uint64_t) first << 32 | second);
	uint32_t place;

	if (pair == NULL)
		return false;
	pair->count += change;
	if (change <= 0 || (pair->places != NONE && m->places[pair->places].word == word))
		return true;
	if (pair->places == NONE)
	{
		if (!make_room(m, &m->touched, m->n_touched, &m->touched_capacity, sizeof *m->touched))
			return false;
		m->touched[m->n_touched++] = (uint32_t) (pair - m->pairs);
	}
	if (m->free_place != NONE)
	{
		place = m->free_place;
		m->free_place = m->places[place].next;
	}
	else
	{
		if (!make_room(m, &m->places, m->n_places, &m->places_capacity, sizeof *m->places))
			return false;
		place = (uint32_t) m->n_places++;
	}
	m->places[place].word = word;
	m->places[place].next = pair->places;
	pair->places = place;
	return true;
}

/* The more frequent first, then the smaller pair. */
static bool
comes_before(const HeapEntry *a, const HeapEntry *b)
{
	return a->count != b->count ? a->count > b->count : a->key < b->key;
}

static bool
heap_push(Merger *m, HeapEntry entry)
{
	size_t at = m->n_heap;

	if (!make_room(m, &m->heap, m->n_heap, &m->heap_capacity, sizeof *m->heap))
		return false;
	m->n_heap++;
	for (; at > 0 && comes_before(&entry, &m->heap[(at - 1) / 2]); at = (at - 1) / 2)
		m->heap[at] = m->heap[(at - 1) / 2];
	m->heap[at] = entry;
	return true;
}

static HeapEntry
heap_pop(Merger *m)
{
	HeapEntry top = m->heap[0];
	HeapEntry moving = m->heap[--m->n_heap];
	size_t at = 0;

	for (size_t child = 1; child < m->n_heap; child = at * 2 + 1)
	{
		if (child + 1 < m->n_heap && comes_before(&m->heap[child + 1], &m->heap[child]))
			child++;
		if (!comes_before(&m->heap[child], &moving))
			break;
		m->heap[at] = m->heap[child];
		at = child;
	}
	m->heap[at] = moving;
	return top;
}

/* Pairs that have appeared go into the heap with their words. */
static bool
push_touched(Merger *m)
{
	for (size_t i = 0; i < m->n_touched; i++)
	{
		PairCount *pair = &m->pairs[m->touched[i]];
		HeapEntry entry = {pair->count, pair->key, pair->places};

		pair->places = NONE;
		if (entry.count > 0 && !heap_push(m, entry))
			return false;
		if (bulk_turn(i, ASK_PAIRS) && !may_continue(m->question, m->status))
			return false;
	}
	m->n_touched = 0;
	return true;
}

static bool
count_pairs(Merger *m)
{
	m->free_place = NONE;
	if (!grow_pairs(m))
		return false;
	for (size_t w = 0; w < m->counts->n_words; w++)
	{
		const uint32_t *symbols = m->symbols + m->word_starts[w];

		for (uint32_t i = 0; i + 1 < m->word_lengths[w]; i++)
			if (!change_pair(m, symbols[i], symbols[i + 1], m->counts->words[w].count,
							 (uint32_t) w))
				return false;
		if (w % ASK_WORDS == 0 && !may_continue(m->question, m->status))
			return false;
	}
	return push_touched(m);
}

/* Replaces the pair in one word, from the left, and counts what that changes. */
static bool
merge_in_word(Merger *m, uint32_t word, uint32_t first, uint32_t second, uint32_t merged)
{
	uint32_t *symbols = m->symbols + m->word_starts[word];
	uint32_t length = m->word_lengths[word];
	int64_t count = m->counts->words[word].count;
	uint32_t out = 0;

	for (uint32_t i = 0; i < length;)
	{
		if (symbols[i] != first || i + 1 >= length || symbols[i + 1] != second)
		{
			symbols[out++] = symbols[i++];
			continue;
		}
		if (out > 0 && (!change_pair(m, symbols[out - 1], first, -count, word) ||
						!change_pair(m, symbols[out - 1], merged, count, word)))
			return false;
		symbols[out++] = merged;
		i += 2;
		if (i < length && (!change_pair(m, second, symbols[i], -count, word) ||
						   !change_pair(m, merged, symbols[i], count, word)))
			return false;
	}
	m->word_lengths[word] = out;
	return true;
}

/* The piece that two pieces make: the second loses its prefix. */
static bool
name_merged(Merger *m, uint32_t first, uint32_t second, uint32_t *merged)
{
	Piece a = m->pieces[first];
	Piece b = m->pieces[second];
	size_t skip = b.length >= PREFIX_LENGTH && memcmp(m->texts + b.text, PREFIX, PREFIX_LENGTH) == 0
					  ? PREFIX_LENGTH
					  : 0;
	size_t length = (size_t) a.length + b.length - skip;
	unsigned char *text;

	/* It is put together behind the place where intern will copy it to. */
	if (!reserve_texts(m, 2 * length))
		return false;
	text = m->texts + m->texts_length + length;
	memcpy(text, m->texts + a.text, a.length);
	memcpy(text + a.length, m->texts + b.text + skip, b.length - skip);
	return intern(m, text, length, merged);
}

static bool
merge_pairs(Merger *m)
{
	size_t visited = 0;
	size_t stale = 0;

	while (m->n_pieces < (size_t) m->options->size && m->n_heap > 0)
	{
		HeapEntry top = heap_pop(m);
		PairCount *pair = find_pair(m, top.key);
		uint32_t first = (uint32_t) (top.key >> 32);
		uint32_t second = (uint32_t) top.key;
		uint32_t merged;

		if (pair == NULL)
			return false;
		if (top.count != pair->count)
		{
			top.count = pair->count;
			if (!heap_push(m, top) ||
				(bulk_turn(stale++, ASK_PAIRS) && !may_continue(m->question, m->status)))
				return false;
			continue;
		}
		if (top.count < 1 || top.count < m->options->min_frequency)
			break;
		if (!name_merged(m, first, second, &merged))
			return false;
		while (top.places != NONE)
		{
			Place place = m->places[top.places];

			if (!merge_in_word(m, place.word, first, second, merged))
				return false;
			m->places[top.places].next = m->free_place;
			m->free_place = top.places;
			top.places = place.next;
			if (++visited % ASK_WORDS == 0 && !may_continue(m->question, m->status))
				return false;
		}
		if (!push_touched(m) || !may_continue(m->question, m->status))
			return false;
		note_done(m->question, m->n_pieces);
	}
	return true;
}

static bool
write_vocab(Merger *m, char **vocab, size_t *length)
{
	size_t total = m->texts_length + m->n_pieces + 1;
	char *out = arena_alloc(m->arena, total);
	size_t n = 0;

	if (out == NULL)
		return out_of_memory(m);
	for (size_t i = 0; i < m->n_pieces; i++)
	{
		memcpy(out + n, m->texts + m->pieces[i].text, m->pieces[i].length);
		n += m->pieces[i].length;
		out[n++] = '\n';
		if (bulk_turn(i, ASK_PAIRS) && !may_continue(m->question, m->status))
			return false;
	}
	out[n] = '\0';
	*vocab = out;
	*length = n;
	return true;
}

bool
vocab_merges_run(Arena *arena, const VocabBuilderOptions *options, const WordCounts *words,
				 const MayContinue *question, char **vocab, size_t *length, Status *status)
{
	Merger m;

	memset(&m, 0, sizeof m);
	m.arena = arena;
	m.options = options;
	m.counts = words;
	m.question = question;
	m.status = status;
	return count_letters(&m) && make_alphabet(&m) && split_words(&m) && count_pairs(&m) &&
		   merge_pairs(&m) && write_vocab(&m, vocab, length);
}
