/* image_vocabulary.c: the tokens of an image: their texts and the hash table that finds them. */
#include "files/config.h"
#include "tokenizer/encoder.h"
#include "tokenizer/image_builder.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"

#define SEEDS 8

/* How many lines; looks at the text's size and that it is UTF-8. */
static bool
count_lines(Builder *b, size_t *lines)
{
	const unsigned char *text = (const unsigned char *) b->settings->vocab;
	size_t length = b->settings->vocab_length;
	size_t n = 0;
	size_t valid;

	if (text == NULL || length == 0)
		return status_fail(b->status, STATUS_INVALID_DATA, "the vocabulary is empty");
	if (length >= MAX_TEXTS)
		return status_fail(b->status, STATUS_LIMIT,
						   "the vocabulary has %zu bytes, the limit is %zu", length, MAX_TEXTS);
	if (!text_valid_prefix(text, length, &valid, arena_question(b->arena), b->status))
		return false;
	if (valid < length)
		return status_fail(b->status, STATUS_INVALID_DATA,
						   "the vocabulary is not valid UTF-8 at byte %zu", valid);
	for (size_t i = 0; i < length; i++)
		n += text[i] == '\n';
	n += text[length - 1] != '\n';
	if (n > CONFIG_MAX_VOCAB)
		return status_fail(b->status, STATUS_LIMIT, "the vocabulary has %zu lines, the limit is %d",
						   n, CONFIG_MAX_VOCAB);
	*lines = n;
	return true;
}

bool
builder_read_lines(Builder *b)
{
	const unsigned char *text = (const unsigned char *) b->settings->vocab;
	size_t length = b->settings->vocab_length;
	size_t n = 0;

	if (!count_lines(b, &n))
		return false;
	b->offsets = arena_alloc_array(b->arena, n + 1, sizeof *b->offsets);
	b->texts_capacity = length + IMAGE_PADDING;
	b->texts = arena_alloc(b->arena, b->texts_capacity);
	if (b->offsets == NULL || b->texts == NULL)
		return builder_out_of_memory(b);
	if (!bulk_clear(b->texts, b->texts_capacity, arena_question(b->arena), b->status))
		return false;
	b->offsets[0] = 0;
	for (size_t begin = 0; begin < length;)
	{
		const unsigned char *newline = memchr(text + begin, '\n', length - begin);
		size_t end = newline == NULL ? length : (size_t) (newline - text);
		size_t stop = end > begin && text[end - 1] == '\r' ? end - 1 : end;

		if (stop - begin > TOKEN_MAX_BYTES)
			return status_fail(b->status, STATUS_LIMIT,
							   "line %zu of the vocabulary has %zu bytes, the limit is %d",
							   b->n_lines + 1, stop - begin, TOKEN_MAX_BYTES);
		memcpy(b->texts + b->texts_length, text + begin, stop - begin);
		b->texts_length += stop - begin;
		b->offsets[++b->n_lines] = (uint32_t) b->texts_length;
		begin = end + 1;
		if (!builder_may_go_on(b, b->n_lines))
			return false;
	}
	return true;
}

bool
builder_read_pieces(Builder *b)
{
	const Pieces *pieces = &b->pieces;
	size_t length;
	size_t valid;

	if (!pieces_read(b->arena, b->settings->vocab, b->settings->vocab_length, &b->pieces,
					 b->status))
		return false;
	length = pieces->offsets[pieces->n];
	if (length >= MAX_TEXTS)
		return status_fail(b->status, STATUS_LIMIT,
						   "the vocabulary has %zu bytes, the limit is %zu", length, MAX_TEXTS);
	b->n_lines = pieces->n;
	b->texts_length = length;
	b->texts_capacity = length + IMAGE_PADDING;
	b->offsets = arena_alloc_array(b->arena, b->n_lines + 1, sizeof *b->offsets);
	b->texts = arena_alloc(b->arena, b->texts_capacity);
	if (b->offsets == NULL || b->texts == NULL)
		return builder_out_of_memory(b);
	if (!bulk_copy(b->offsets, pieces->offsets, (b->n_lines + 1) * sizeof *b->offsets,
				   arena_question(b->arena), b->status) ||
		!bulk_copy(b->texts, pieces->texts, length, arena_question(b->arena), b->status))
		return false;
	memset(b->texts + length, 0, IMAGE_PADDING);
	for (size_t i = 0; i < b->n_lines; i++)
	{
		size_t piece = b->offsets[i + 1] - b->offsets[i];

		if (!builder_may_go_on(b, i))
			return false;
		valid = utf8_valid_prefix(b->texts + b->offsets[i], piece);
		if (valid < piece)
			return status_fail(b->status, STATUS_INVALID_DATA,
							   "the vocabulary's token %zu is not valid UTF-8", i);
	}
	return true;
}

/* Puts one key into the table; false when its chain would be too long. */
static bool
insert_slot(Builder *b, uint32_t begin, uint32_t end, uint32_t id, bool continuation)
{
	const unsigned char *text = b->texts + begin;
	uint32_t length = end - begin;
	uint32_t form = length | (continuation ? SLOT_CONTINUATION : 0);
	bool is_short = length <= SLOT_SHORT;
	uint64_t hash = is_short ? hash_short(short_key(text, length), form, b->header.seed)
							 : hash_long(text, length, form, b->header.seed);
	uint32_t mask = (1u << b->header.slot_bits) - 1;
	uint32_t slot = (uint32_t) (hash >> (64 - b->header.slot_bits));

	for (uint32_t probe = 1; probe <= MAX_PROBE; probe++, slot++)
	{
		VocabularySlot *place = &b->slots[slot & mask];

		if (place->id != SLOT_EMPTY)
			continue;
		place->key = is_short ? short_key(text, length) : hash;
		place->id = id;
		place->form = form;
		if (b->header.max_probe < probe)
			b->header.max_probe = probe;
		return true;
	}
	return false;
}

/* The builder's tables as a tokenizer, for looking tokens up. */
static Tokenizer
partial_tokenizer(const Builder *b)
{
	Tokenizer t;

	memset(&t, 0, sizeof t);
	t.header = &b->header;
	t.offsets = b->offsets;
	t.slots = b->slots;
	t.texts = b->texts;
	t.n_ids = (uint32_t) b->n_lines;
	t.slot_mask = (1u << b->header.slot_bits) - 1;
	t.slot_shift = 64 - b->header.slot_bits;
	t.max_probe = MAX_PROBE;
	t.prefix_length = b->header.prefix_length;
	t.seed = b->header.seed;
	t.texts_length = b->texts_length;
	return t;
}

/*
 * All keys, unless a chain becomes too long (*full). A token that begins with the prefix has two
 * keys.
 */
static bool
fill_slots(Builder *b, bool *full)
{
	uint32_t prefix_length = b->header.prefix_length;
	Tokenizer t = partial_tokenizer(b);
	bool repeats = b->header.kind != TOKENIZER_BERT;

	for (size_t i = 0; i >> b->header.slot_bits == 0; i++)
	{
		b->slots[i] = (VocabularySlot){0, SLOT_EMPTY, 0};
		if (bulk_turn(i, 1 << 18) && !arena_may_continue(b->arena, b->status))
			return false;
	}
	b->header.max_probe = 0;
	*full = false;
	for (size_t turn = 0; turn < b->n_lines; turn++)
	{
		/* of repeated pieces the last one counts, and comes first here */
		size_t i = repeats ? b->n_lines - 1 - turn : turn;
		uint32_t begin = b->offsets[i];
		uint32_t end = b->offsets[i + 1];
		bool continuation = !repeats && end - begin > prefix_length &&
							memcmp(b->texts + begin, b->header.prefix, prefix_length) == 0;
		int32_t same;

		if (!builder_may_go_on(b, turn))
			return false;
		if (begin == end)
			continue; /* an id that no text gives */
		same = vocabulary_find(&t, b->texts + begin, end - begin, false);
		if (same >= 0 && repeats)
			continue;
		if (same >= 0)
			return status_fail(b->status, STATUS_INVALID_DATA,
							   "line %zu of the vocabulary repeats line %d", i + 1, same + 1);
		if (!insert_slot(b, begin, end, (uint32_t) i, false) ||
			(continuation && !insert_slot(b, begin + prefix_length, end, (uint32_t) i, true)))
		{
			*full = true;
			return true;
		}
		if (b->header.max_plain < end - begin)
			b->header.max_plain = end - begin;
		if (continuation && b->header.max_continuation < end - begin - prefix_length)
			b->header.max_continuation = end - begin - prefix_length;
	}
	return true;
}

bool
builder_hash_tokens(Builder *b)
{
	size_t keys = b->n_lines;

	for (size_t i = 0; i < b->n_lines && b->header.kind == TOKENIZER_BERT; i++)
		keys += b->offsets[i + 1] - b->offsets[i] > b->header.prefix_length &&
				memcmp(b->texts + b->offsets[i], b->header.prefix, b->header.prefix_length) == 0;
	b->header.slot_bits = 4;
	while (((size_t) 1 << b->header.slot_bits) < keys + keys / 2)
		b->header.slot_bits++;
	for (int attempt = 0; attempt < SEEDS && b->header.slot_bits <= MAX_SLOT_BITS; attempt++)
	{
		bool full;

		b->slots = arena_alloc_array(b->arena, (size_t) 1 << b->header.slot_bits, sizeof *b->slots);
		if (b->slots == NULL)
			return builder_out_of_memory(b);
		b->header.seed = UINT64_C(0x9E3779B97F4A7C15) * (uint64_t) (attempt + 1);
		if (!fill_slots(b, &full))
			return false;
		if (!full)
			return true;
		/* Bad luck needs another seed, too small a table more room. */
		if (attempt % 2 == 1)
			b->header.slot_bits++;
	}
	return status_fail(b->status, STATUS_INVALID_DATA, "the vocabulary's tokens cannot be hashed");
}

int32_t
builder_find_text(const Builder *b, const char *text, size_t length)
{
	Tokenizer t = partial_tokenizer(b);
	unsigned char *key;
	ArenaMark mark = arena_mark(b->arena);
	int32_t id = -1;

	if (length == 0 || length > b->header.max_plain)
		return -1;
	key = arena_alloc_zero(b->arena, length + IMAGE_PADDING);
	if (key != NULL)
	{
		memcpy(key, text, length);
		id = vocabulary_find(&t, key, length, false);
	}
	arena_rewind(b->arena, mark);
	return id;
}
