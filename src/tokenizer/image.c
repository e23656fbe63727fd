/*
 * image.c: from settings to an image, and from an image to a Tokenizer.
 *
 * Opening checks the header and that every section lies inside; what sections hold is checked where
 * it is used, so that opening does not read the vocabulary.
 */
#include "core/checked.h"
#include "files/config.h"
#include "tokenizer/composed.h"
#include "tokenizer/image_builder.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"

#define SECTION_ALIGNMENT 64
#define MAX_WORD_CHARS 1000000

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

		if (!builder_may_go_on(b, i))
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

static void
place_composed(Builder *b, size_t *length)
{
	ImageHeader *h = &b->header;

	if (b->pipeline == NULL)
		return;
	h->n_template[0] = (uint32_t) b->pipeline->single.n;
	h->n_template[1] = (uint32_t) b->pipeline->pair.n;
	h->strings_length = b->strings_length;
	h->steps_at = place_section(length, b->n_steps * sizeof(StepEntry));
	h->template_at =
		place_section(length, (h->n_template[0] + h->n_template[1]) * sizeof(TemplatePiece));
	h->strings_at = place_section(length, b->strings_length);
	if (h->trie_bits > 0)
	{
		h->trie_at = place_section(length, sizeof(TrieSlot) << h->trie_bits);
		h->nodes_at = place_section(length, h->n_nodes * sizeof(int32_t));
		h->scores_at = place_section(length, h->n_nodes * sizeof(double));
	}
	if (h->merge_bits > 0)
	{
		h->merges_at = place_section(length, sizeof(MergeSlot) << h->merge_bits);
		h->joins_at = place_section(length, JOINS_BYTES);
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
	place_composed(b, &length);
	header->length = length;
	image = arena_alloc(b->arena, length);
	if (image == NULL)
		return builder_out_of_memory(b);
	if (!bulk_clear(image, length, arena_question(b->arena), b->status))
		return false;
	memcpy(image, header, sizeof *header);
	if (!write_lines(b, image, header))
		return false;
	write_added(b, image, header);
	if (!builder_write_composed(b, image, header, b->status))
		return false;
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

/* The template's ids are those of tokens; without token types all have the type 0. */
static bool
check_template(Builder *b)
{
	TokenTemplate *templates[2];

	if (b->pipeline == NULL)
		return true;
	templates[0] = &b->pipeline->single;
	templates[1] = &b->pipeline->pair;
	for (int pair = 0; pair < 2; pair++)
		for (size_t i = 0; i < templates[pair]->n; i++)
		{
			TemplatePiece *piece = &templates[pair]->pieces[i];

			if (piece->what >= (int32_t) b->n_ids)
				return status_fail(b->status, STATUS_INVALID_DATA,
								   "the template puts the id %d, which no token has",
								   (int) piece->what);
			if (b->settings->one_type)
				piece->type = 0;
		}
	return true;
}

/* Where the tokens of the beginning and of the end have no names they are the template's. */
static void
take_template_ids(Builder *b)
{
	const TokenTemplate *single = b->pipeline == NULL ? NULL : &b->pipeline->single;

	if (single == NULL)
		return;
	if (b->header.cls_id < 0 && single->pieces[0].what >= 0)
		b->header.cls_id = single->pieces[0].what;
	if (b->header.sep_id < 0 && single->pieces[single->n - 1].what >= 0)
		b->header.sep_id = single->pieces[single->n - 1].what;
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
	if (!take_settings(&b) || !builder_read_pipeline(&b) ||
		!(b.header.kind == TOKENIZER_BERT ? builder_read_lines(&b) : builder_read_pieces(&b)) ||
		!builder_hash_tokens(&b) || !builder_compose(&b) || !builder_add_tokens(&b))
		return false;
	b.header.unk_id = builder_find_named(&b, settings->unk_token);
	b.header.cls_id = builder_find_named(&b, settings->cls_token);
	b.header.sep_id = builder_find_named(&b, settings->sep_token);
	b.header.pad_id = builder_find_named(&b, settings->pad_token);
	b.header.mask_id = builder_find_named(&b, settings->mask_token);
	if (b.header.kind == TOKENIZER_UNIGRAM)
		b.header.unk_id = b.pipeline->unk_id;
	if (b.header.kind == TOKENIZER_BERT && b.header.unk_id < 0)
		return status_fail(status, STATUS_INVALID_DATA,
						   "the vocabulary has no token \"%.100s\" for unknown words",
						   settings->unk_token == NULL ? "" : settings->unk_token);
	if (!check_template(&b))
		return false;
	take_template_ids(&b);
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
		   id_inside(h->mask_id, h->n_ids) && id_inside(h->unk_id, h->n_ids) &&
		   (h->unk_id >= 0 || h->kind == TOKENIZER_BPE) && composed_valid(h, length) &&
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
	if (!added_prepare(t) || !composed_prepare(t, image))
	{
		status_fail(status, STATUS_INVALID_DATA, "the tokenizer's image is damaged");
		return NULL;
	}
	if (t->kind != TOKENIZER_BERT)
	{
		t->cache = arena_alloc_zero(arena, sizeof *t->cache);
		if (t->cache == NULL)
		{
			arena_fail(arena, status, "a tokenizer", sizeof *t->cache);
			return NULL;
		}
	}
	return t;
}
