/*
 * image.c: from settings to an image, and from an image to a Tokenizer.
 *
 * Opening checks the header and that every section lies inside; what sections hold is checked where
 * it is used, so that opening does not read the vocabulary.
 */
#include "core/checked.h"
#include "files/config.h"
#include "tokenizer/encoder.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"

#define SECTION_ALIGNMENT 64
#define MAX_PROBE 64 /* a table with longer chains is built again with another seed */
#define SEEDS 8
#define MAX_SLOT_BITS 24
#define MAX_WORD_CHARS 1000000
#define MAX_TEXTS ((size_t) 1 << 31)
#define MAX_ADDED 20000
#define ASK_LINES 8192 /* lines of the vocabulary between two questions */

/* An added token on its way into the image. */
typedef struct Added
{
	const char *content;
	size_t length;
	uint32_t id;
	uint32_t flags;
	const unsigned char *pattern;
	size_t pattern_length;
} Added;

typedef struct Builder
{
	Arena *arena;
	const TokenizerSettings *settings;
	Status *status;
	size_t n_lines; /* of the vocabulary */
	Added *added;
	size_t n_added;
	size_t n_ids; /* largest id + 1 */
	ImageHeader header;
	unsigned char *texts; /* the tokens, one after the other */
	size_t texts_length;
	size_t texts_capacity;
	uint32_t *offsets; /* (n_lines + 1) into texts */
	VocabularySlot *slots;
} Builder;

static bool
out_of_memory(const Builder *b)
{
	return arena_fail(b->arena, b->status, "the tokenizer", b->settings->vocab_length);
}

/* In one of ASK_LINES turns: false when told to stop. */
static inline bool
may_go_on(const Builder *b, size_t turn)
{
	return !bulk_turn(turn, ASK_LINES) || arena_may_continue(b->arena, b->status);
}

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

static bool
split_lines(Builder *b)
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
		return out_of_memory(b);
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
		if (!may_go_on(b, b->n_lines))
			return false;
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

	for (size_t i = 0; i >> b->header.slot_bits == 0; i++)
	{
		b->slots[i] = (VocabularySlot){0, SLOT_EMPTY, 0};
		if (bulk_turn(i, 1 << 18) && !arena_may_continue(b->arena, b->status))
			return false;
	}
	b->header.max_probe = 0;
	*full = false;
	for (size_t i = 0; i < b->n_lines; i++)
	{
		uint32_t begin = b->offsets[i];
		uint32_t end = b->offsets[i + 1];
		bool continuation = end - begin > prefix_length &&
							memcmp(b->texts + begin, b->header.prefix, prefix_length) == 0;
		int32_t same;

		if (!may_go_on(b, i))
			return false;
		if (begin == end)
			continue; /* an id that no text gives */
		same = vocabulary_find(&t, b->texts + begin, end - begin, false);
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

static bool
build_slots(Builder *b)
{
	size_t keys = b->n_lines;

	for (size_t i = 0; i < b->n_lines; i++)
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
			return out_of_memory(b);
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

static int32_t
find_text(const Builder *b, const char *text, size_t length)
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

/* Collects normalized text. */
typedef struct Pattern
{
	Arena *arena;
	unsigned char *bytes;
	size_t length;
	size_t capacity;
} Pattern;

static void
collect_pattern(void *context, uint32_t c, uint8_t bits, uint32_t origin)
{
	Pattern *pattern = context;

	(void) bits;
	(void) origin;
	if (pattern->capacity - pattern->length >= 4)
		pattern->length += (size_t) utf8_encode(c, pattern->bytes + pattern->length);
}

/* What a normalized token is searched as. */
static bool
normalize_pattern(Builder *b, Added *added)
{
	/*
	 * A character becomes at most two spaces and UNICODE_MAX_MAPPING characters, each lowered to as
	 * many.
	 */
	size_t capacity = added->length * 4 * UNICODE_MAX_MAPPING * UNICODE_MAX_MAPPING + 16;
	Pattern pattern = {b->arena, arena_alloc(b->arena, capacity), 0, capacity};
	Normalizer normalizer;

	if (pattern.bytes == NULL)
		return out_of_memory(b);
	normalizer_init(&normalizer, b->header.normalize, b->arena, collect_pattern, &pattern);
	for (size_t i = 0; i < added->length && !normalizer.failed;)
	{
		uint32_t c;

		i += (size_t) utf8_decode((const unsigned char *) added->content + i, &c);
		normalizer_push(&normalizer, c, 0);
	}
	normalizer_finish(&normalizer);
	if (normalizer.failed)
		return out_of_memory(b);
	added->pattern = pattern.bytes;
	added->pattern_length = pattern.length;
	return true;
}

static bool
is_named_special(const TokenizerSettings *settings, const char *content)
{
	const char *named[] = {settings->unk_token, settings->sep_token, settings->pad_token,
						   settings->cls_token, settings->mask_token};

	for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
		if (named[i] != NULL && strcmp(named[i], content) == 0)
			return true;
	return false;
}

/*
 * Finds or gives the id of an added token. *skip: a special token that the vocabulary does not
 * have.
 */
static bool
resolve_added(Builder *b, const AddedToken *token, Added *added, bool *skip)
{
	int32_t id = find_text(b, added->content, added->length);

	*skip = false;
	for (size_t i = 0; id < 0 && i < b->n_added; i++)
		if (b->added[i].length == added->length &&
			memcmp(b->added[i].content, added->content, added->length) == 0)
			id = (int32_t) b->added[i].id;
	if (id < 0 && token->id >= 0)
	{
		id = token->id;
		if (id >= CONFIG_MAX_VOCAB || (size_t) id < b->n_lines)
			return status_fail(b->status, STATUS_INVALID_DATA,
							   "added token \"%.100s\" has id %d, which is not its own",
							   token->content, id);
		for (size_t i = 0; i < b->n_added; i++)
			if (b->added[i].id == (uint32_t) id)
				return status_fail(b->status, STATUS_INVALID_DATA, "two added tokens have id %d",
								   id);
	}
	if (id < 0 && is_named_special(b->settings, token->content))
	{
		*skip = true;
		return true;
	}
	added->id = id >= 0 ? (uint32_t) id : (uint32_t) b->n_ids;
	if (added->id >= CONFIG_MAX_VOCAB)
		return status_fail(b->status, STATUS_LIMIT, "too many tokens, the limit is %d",
						   CONFIG_MAX_VOCAB);
	if (added->id >= b->n_ids)
		b->n_ids = (size_t) added->id + 1;
	return true;
}

static bool
add_tokens(Builder *b)
{
	const TokenizerSettings *settings = b->settings;

	b->n_ids = b->n_lines;
	if (settings->n_added > MAX_ADDED)
		return status_fail(b->status, STATUS_LIMIT, "%zu added tokens, the limit is %d",
						   settings->n_added, MAX_ADDED);
	b->added = arena_alloc_array_zero(b->arena, settings->n_added, sizeof *b->added);
	if (b->added == NULL)
		return out_of_memory(b);
	for (size_t i = 0; i < settings->n_added; i++)
	{
		const AddedToken *token = &settings->added[i];
		Added added = {token->content, strlen(token->content), 0, 0, NULL, 0};
		size_t place = 0;
		bool skip;

		if (added.length == 0)
			continue;
		if (added.length > 65536 ||
			utf8_valid_prefix((const unsigned char *) added.content, added.length) < added.length)
			return status_fail(b->status, STATUS_INVALID_DATA,
							   "an added token is too long or not valid UTF-8");
		if (!arena_may_continue(b->arena, b->status) || !resolve_added(b, token, &added, &skip))
			return false;
		if (skip)
			continue;
		added.flags = (token->special ? ADDED_SPECIAL : 0) |
					  (token->single_word ? ADDED_SINGLE_WORD : 0) |
					  (token->lstrip ? ADDED_LSTRIP : 0) | (token->rstrip ? ADDED_RSTRIP : 0) |
					  (token->normalized ? ADDED_NORMALIZED : 0);
		added.pattern = (const unsigned char *) added.content;
		added.pattern_length = added.length;
		if (token->normalized && !normalize_pattern(b, &added))
			return false;
		if (added.pattern_length == 0)
			continue; /* nothing is left to be found */
		/* The last one said about a token is what counts. */
		while (place < b->n_added && b->added[place].id != added.id)
			place++;
		if (place == b->n_added)
			b->n_added++;
		b->added[place] = added;
	}
	return true;
}

static int
compare_added(const Added *a, const Added *b)
{
	int set = (int) (a->flags & ADDED_NORMALIZED) - (int) (b->flags & ADDED_NORMALIZED);

	if (set != 0)
		return set;
	if (a->pattern[0] != b->pattern[0])
		return a->pattern[0] < b->pattern[0] ? -1 : 1;
	if (a->pattern_length != b->pattern_length)
		return a->pattern_length > b->pattern_length ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

/*
 * By set, first byte and falling length: the first that matches is the longest. Heap sort: no
 * recursion, no bad case.
 */
static void
sort_added(Added *added, size_t n)
{
	for (size_t end = n, start = n / 2; end > 1;)
	{
		size_t root;
		Added moving;

		if (start > 0)
			moving = added[--start];
		else
		{
			moving = added[--end];
			added[end] = added[0];
		}
		root = start;
		for (size_t child = root * 2 + 1; child < end; child = root * 2 + 1)
		{
			if (child + 1 < end && compare_added(&added[child], &added[child + 1]) < 0)
				child++;
			if (compare_added(&moving, &added[child]) >= 0)
				break;
			added[root] = added[child];
			root = child;
		}
		added[root] = moving;
	}
}

static int32_t
find_named(const Builder *b, const char *content)
{
	size_t length;
	int32_t id;

	if (content == NULL)
		return -1;
	length = strlen(content);
	id = find_text(b, content, length);
	for (size_t i = 0; id < 0 && i < b->n_added; i++)
		if (b->added[i].length == length && memcmp(b->added[i].content, content, length) == 0)
			id = (int32_t) b->added[i].id;
	return id;
}

/* The offset of the next section, advancing *length past it. */
static uint64_t
place_section(size_t *length, size_t size)
{
	size_t at = size_align(*length, SECTION_ALIGNMENT);

	*length = at + size;
	return at;
}

static void
note_length(uint32_t *lengths, const unsigned char *key, size_t n, bool continuation)
{
	if (n >= LENGTHS_BYTES)
		lengths[lengths_index(key, continuation)] |= 1u << (n < LENGTHS_LAST ? n : LENGTHS_LAST);
}

/* The vocabulary's part of the sections. */
static bool
write_lines(const Builder *b, unsigned char *image, const ImageHeader *header)
{
	uint32_t *offsets = (uint32_t *) (image + header->offsets_at);
	uint8_t *flags = image + header->flags_at;
	uint32_t *lengths = (uint32_t *) (image + header->lengths_at);
	unsigned char *texts = image + header->texts_at;
	const MayContinue *question = arena_question(b->arena);

	if (!bulk_copy(offsets, b->offsets, (b->n_lines + 1) * sizeof *offsets, question, b->status) ||
		!bulk_copy(texts, b->texts, b->texts_length, question, b->status) ||
		!bulk_copy(image + header->slots_at, b->slots, sizeof(VocabularySlot) << header->slot_bits,
				   question, b->status))
		return false;
	for (size_t i = 0; i < b->n_lines; i++)
	{
		size_t token_length = offsets[i + 1] - offsets[i];

		if (!may_go_on(b, i))
			return false;
		note_length(lengths, texts + offsets[i], token_length, false);
		if (token_length < header->prefix_length ||
			memcmp(texts + offsets[i], header->prefix, header->prefix_length) != 0)
			continue;
		if (header->prefix_length > 0)
			flags[i] |= TOKEN_CONTINUATION;
		note_length(lengths, texts + offsets[i] + header->prefix_length,
					token_length - header->prefix_length, true);
	}
	return true;
}

static void
write_added(const Builder *b, unsigned char *image, const ImageHeader *header)
{
	uint32_t *offsets = (uint32_t *) (image + header->offsets_at);
	uint8_t *flags = image + header->flags_at;
	AddedEntry *entries = (AddedEntry *) (image + header->added_at);
	unsigned char *texts = image + header->texts_at;
	size_t length = b->texts_length;

	/*
	 * Ids past the vocabulary: in ascending order, so that offsets stay sorted; what nobody has is
	 * empty.
	 */
	for (size_t id = b->n_lines; id < b->n_ids; id++)
		offsets[id + 1] = 0;
	for (size_t i = 0; i < b->n_added; i++)
		if (b->added[i].id >= b->n_lines)
			offsets[b->added[i].id + 1] = (uint32_t) b->added[i].length;
	for (size_t id = b->n_lines; id < b->n_ids; id++)
		offsets[id + 1] += offsets[id];
	for (size_t i = 0; i < b->n_added; i++)
	{
		const Added *added = &b->added[i];
		AddedEntry *entry = &entries[i];

		entry->id = added->id;
		entry->flags = added->flags;
		entry->content = offsets[added->id];
		entry->content_length = (uint32_t) added->length;
		memcpy(texts + entry->content, added->content, added->length);
		if (added->id >= b->n_lines)
			length += added->length;
		if ((added->flags & ADDED_SPECIAL) != 0)
			flags[added->id] |= TOKEN_SPECIAL;
	}
	for (size_t i = 0; i < b->n_added; i++)
	{
		entries[i].pattern = (uint32_t) length;
		entries[i].pattern_length = (uint32_t) b->added[i].pattern_length;
		memcpy(texts + length, b->added[i].pattern, b->added[i].pattern_length);
		length += b->added[i].pattern_length;
	}
}

static bool
write_image(Builder *b, unsigned char **out, size_t *out_length)
{
	ImageHeader *header = &b->header;
	size_t length = sizeof *header;
	size_t texts = b->texts_length;
	unsigned char *image;

	for (size_t i = 0; i < b->n_added; i++)
		texts +=
			b->added[i].pattern_length + (b->added[i].id >= b->n_lines ? b->added[i].length : 0);
	if (texts >= MAX_TEXTS)
		return status_fail(b->status, STATUS_LIMIT, "the tokens have %zu bytes, the limit is %zu",
						   texts, MAX_TEXTS);
	memcpy(header->magic, IMAGE_MAGIC, sizeof header->magic);
	header->version = IMAGE_VERSION;
	header->byte_order = IMAGE_BYTE_ORDER;
	header->n_ids = (uint32_t) b->n_ids;
	header->n_model = (uint32_t) b->n_lines;
	header->n_added = (uint32_t) b->n_added;
	header->offsets_at = place_section(&length, (b->n_ids + 1) * sizeof(uint32_t));
	header->flags_at = place_section(&length, b->n_ids);
	header->slots_at = place_section(&length, sizeof(VocabularySlot) << header->slot_bits);
	header->lengths_at = place_section(&length, sizeof(uint32_t) << LENGTHS_BITS);
	header->added_at = place_section(&length, b->n_added * sizeof(AddedEntry));
	header->texts_at = place_section(&length, texts + IMAGE_PADDING);
	header->texts_length = texts;
	header->length = length;
	image = arena_alloc(b->arena, length);
	if (image == NULL)
		return out_of_memory(b);
	if (!bulk_clear(image, length, arena_question(b->arena), b->status))
		return false;
	memcpy(image, header, sizeof *header);
	if (!write_lines(b, image, header))
		return false;
	write_added(b, image, header);
	*out = image;
	*out_length = length;
	return true;
}

static bool
take_settings(Builder *b)
{
	const TokenizerSettings *s = b->settings;
	const char *prefix = s->continuing_subword_prefix == NULL ? "" : s->continuing_subword_prefix;

	b->header.normalize =
		(s->clean_text ? NORMALIZE_CLEAN : 0) | (s->handle_chinese_chars ? NORMALIZE_CHINESE : 0) |
		(s->strip_accents ? NORMALIZE_ACCENTS : 0) | (s->lowercase ? NORMALIZE_LOWERCASE : 0);
	if (strlen(prefix) > IMAGE_PREFIX_LENGTH)
		return status_fail(b->status, STATUS_UNSUPPORTED,
						   "continuing_subword_prefix has more than %d bytes", IMAGE_PREFIX_LENGTH);
	if (s->max_input_chars_per_word < 0 || s->max_input_chars_per_word > MAX_WORD_CHARS)
		return status_fail(b->status, STATUS_INVALID_DATA,
						   "max_input_chars_per_word %d is not between 0 and %d",
						   s->max_input_chars_per_word, MAX_WORD_CHARS);
	if (s->model_max_length < 0)
		return status_fail(b->status, STATUS_INVALID_DATA, "model_max_length %d is negative",
						   s->model_max_length);
	b->header.prefix_length = (uint32_t) strlen(prefix);
	memcpy(b->header.prefix, prefix, b->header.prefix_length);
	b->header.pair_type = s->one_type ? 0 : 1;
	b->header.max_chars = (uint32_t) s->max_input_chars_per_word;
	b->header.max_length = (uint32_t) s->model_max_length;
	return true;
}

bool
tokenizer_compile(Arena *arena, const TokenizerSettings *settings, unsigned char **image,
				  size_t *length, Status *status)
{
	Builder b;

	memset(&b, 0, sizeof b);
	b.arena = arena;
	b.settings = settings;
	b.status = status;
	if (!take_settings(&b) || !split_lines(&b) || !build_slots(&b) || !add_tokens(&b))
		return false;
	sort_added(b.added, b.n_added);
	b.header.unk_id = find_named(&b, settings->unk_token);
	b.header.cls_id = find_named(&b, settings->cls_token);
	b.header.sep_id = find_named(&b, settings->sep_token);
	b.header.pad_id = find_named(&b, settings->pad_token);
	b.header.mask_id = find_named(&b, settings->mask_token);
	if (b.header.unk_id < 0)
		return status_fail(status, STATUS_INVALID_DATA,
						   "the vocabulary has no token \"%.100s\" for unknown words",
						   settings->unk_token == NULL ? "" : settings->unk_token);
	return write_image(&b, image, length);
}

static bool
section_inside(uint64_t at, uint64_t count, uint64_t size, uint64_t length)
{
	return at % SECTION_ALIGNMENT == 0 && at <= length && count <= (length - at) / size;
}

static bool
id_inside(int32_t id, uint32_t n_ids)
{
	return id >= -1 && (id < 0 || (uint32_t) id < n_ids);
}

static bool
header_valid(const ImageHeader *h, size_t length)
{
	return memcmp(h->magic, IMAGE_MAGIC, sizeof h->magic) == 0 && h->version == IMAGE_VERSION &&
		   h->byte_order == IMAGE_BYTE_ORDER && h->length == length && h->n_ids > 0 &&
		   h->n_ids <= CONFIG_MAX_VOCAB && h->n_model <= h->n_ids && h->slot_bits >= 4 &&
		   h->slot_bits <= MAX_SLOT_BITS && h->max_probe <= MAX_PROBE &&
		   h->max_chars <= MAX_WORD_CHARS && h->max_length <= INT32_MAX &&
		   h->n_added <= MAX_ADDED && h->prefix_length <= IMAGE_PREFIX_LENGTH &&
		   h->pair_type <= 1 && h->texts_length < MAX_TEXTS && id_inside(h->cls_id, h->n_ids) &&
		   id_inside(h->sep_id, h->n_ids) && id_inside(h->pad_id, h->n_ids) &&
		   id_inside(h->mask_id, h->n_ids) && h->unk_id >= 0 && id_inside(h->unk_id, h->n_ids) &&
		   section_inside(h->offsets_at, (uint64_t) h->n_ids + 1, sizeof(uint32_t), length) &&
		   section_inside(h->flags_at, h->n_ids, 1, length) &&
		   section_inside(h->slots_at, UINT64_C(1) << h->slot_bits, sizeof(VocabularySlot),
						  length) &&
		   section_inside(h->lengths_at, UINT64_C(1) << LENGTHS_BITS, sizeof(uint32_t), length) &&
		   section_inside(h->added_at, h->n_added, sizeof(AddedEntry), length) &&
		   section_inside(h->texts_at, h->texts_length + IMAGE_PADDING, 1, length);
}

/* What the normalizer and the pre-tokenizer make of each byte, for the shortcut. */
static void
prepare_ascii(Tokenizer *t)
{
	for (int byte = 0; byte < 256; byte++)
	{
		uint8_t bits = byte < 128 ? unicode_record((uint32_t) byte).bits : 0;
		bool cleaned = (t->normalize & NORMALIZE_CLEAN) != 0 && (bits & UNICODE_CLEANED) != 0;
		bool lowers = (t->normalize & NORMALIZE_LOWERCASE) != 0 && (bits & UNICODE_LOWERS) != 0;

		t->ascii_lower[byte] = 0;
		if (byte == 0 || byte >= 128 || cleaned)
			t->ascii_kind[byte] = ASCII_OTHER;
		else if ((bits & UNICODE_SPACE) != 0)
			t->ascii_kind[byte] = ASCII_SPACE;
		else if ((bits & UNICODE_PUNCTUATION) != 0)
			t->ascii_kind[byte] = ASCII_PUNCTUATION;
		else
		{
			t->ascii_kind[byte] = ASCII_WORD;
			t->ascii_lower[byte] = (uint8_t) (lowers ? byte + ('a' - 'A') : byte);
		}
	}
}

Tokenizer *
tokenizer_open(Arena *arena, const unsigned char *image, size_t length, Status *status)
{
	const ImageHeader *header = (const ImageHeader *) image;
	Tokenizer *t;

	if (length < sizeof *header || (uintptr_t) image % _Alignof(ImageHeader) != 0 ||
		!header_valid(header, length))
	{
		status_fail(status, STATUS_INVALID_DATA, "the tokenizer's image is damaged");
		return NULL;
	}
	t = arena_alloc_zero(arena, sizeof *t);
	if (t == NULL)
	{
		arena_fail(arena, status, "a tokenizer", sizeof *t);
		return NULL;
	}
	t->header = header;
	t->offsets = (const uint32_t *) (image + header->offsets_at);
	t->flags = image + header->flags_at;
	t->slots = (const VocabularySlot *) (image + header->slots_at);
	t->lengths = (const uint32_t *) (image + header->lengths_at);
	t->added = (const AddedEntry *) (image + header->added_at);
	t->texts = image + header->texts_at;
	t->texts_length = header->texts_length;
	t->n_ids = header->n_ids;
	t->slot_mask = (1u << header->slot_bits) - 1;
	t->slot_shift = 64 - header->slot_bits;
	t->max_probe = header->max_probe;
	t->max_plain = header->max_plain;
	t->max_continuation = header->max_continuation;
	t->max_chars = header->max_chars;
	t->prefix_length = header->prefix_length;
	t->normalize = header->normalize;
	t->unk_id = header->unk_id;
	t->seed = header->seed;
	prepare_ascii(t);
	if (!added_prepare(t))
	{
		status_fail(status, STATUS_INVALID_DATA, "the tokenizer's image is damaged");
		return NULL;
	}
	return t;
}
