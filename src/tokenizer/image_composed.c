/*
 * image_composed.c: what the image of a composed tokenizer has beside the vocabulary: its steps and
 * templates, the trie that Unigram walks, the merges of BPE.
 */
#include "core/checked.h"
#include "files/config.h"
#include "files/scores.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/composed.h"
#include "tokenizer/image_builder.h"
#include "tokenizer/vocabulary.h"

#define MAX_TABLE_BITS 26
#define STRING_ALIGNMENT 8 /* a character map is read in words */

/* --- Pipeline --- */

bool
builder_read_pipeline(Builder *b)
{
	if (b->settings->pipeline == NULL)
		return true;
	b->pipeline = arena_alloc(b->arena, sizeof *b->pipeline);
	if (b->pipeline == NULL)
		return builder_out_of_memory(b);
	if (!pipeline_parse(b->arena, b->settings->pipeline, b->pipeline, b->status))
		return false;
	b->header.kind = b->pipeline->kind;
	b->header.composed = 1;
	b->header.trim_offsets = b->pipeline->trim_offsets;
	b->header.trim_prefix_space = b->pipeline->trim_prefix_space;
	b->header.byte_fallback = b->pipeline->byte_fallback;
	b->header.ignore_merges = b->pipeline->ignore_merges;
	return true;
}

static void
put_string(Builder *b, const void *bytes, size_t length, uint32_t *at, uint32_t *at_length)
{
	memcpy(b->strings + b->strings_length, bytes, length);
	*at = (uint32_t) b->strings_length;
	*at_length = (uint32_t) length;
	/* what lies between is zero, so texts end with one */
	b->strings_length = size_align(b->strings_length + length + 1, STRING_ALIGNMENT);
}

static bool
build_steps(Builder *b)
{
	const StepList *lists[3] = {&b->pipeline->normalizers, &b->pipeline->pre_tokenizers,
								&b->pipeline->decoders};
	size_t charsmap = b->pieces.charsmap_length;
	size_t room = charsmap + 3 * PIPELINE_STEPS * 2 * (PIPELINE_MAX_TEXT + 1 + STRING_ALIGNMENT);

	b->strings = arena_alloc_zero(b->arena, room);
	b->steps = arena_alloc_array_zero(b->arena, 3 * PIPELINE_STEPS, sizeof *b->steps);
	if (b->strings == NULL || b->steps == NULL)
		return builder_out_of_memory(b);
	for (int list = 0; list < 3; list++)
		for (size_t i = 0; i < lists[list]->n; i++)
		{
			const PipelineStep *step = &lists[list]->steps[i];
			StepEntry *entry = &b->steps[b->n_steps++];

			b->header.n_steps[list]++;
			entry->kind = (uint32_t) step->kind;
			entry->flags = step->flags;
			entry->count = step->count;
			entry->count2 = step->count2;
			if (step->kind == STEP_PRECOMPILED)
			{
				if (!charsmap_check(b->pieces.charsmap, charsmap, b->status))
					return false;
				put_string(b, b->pieces.charsmap, charsmap, &entry->text, &entry->text_length);
				continue;
			}
			put_string(b, step->text, strlen(step->text), &entry->text, &entry->text_length);
			put_string(b, step->content, strlen(step->content), &entry->content,
					   &entry->content_length);
		}
	return true;
}

/* --- The trie --- */

typedef struct TrieBuilder
{
	Builder *b;
	TrieSlot *slots;
	uint32_t bits;
	uint32_t n_nodes;
	uint32_t capacity; /* of nodes */
	int32_t *nodes;
	double *scores;
} TrieBuilder;

static TrieSlot *
find_place(TrieSlot *slots, uint32_t bits, uint32_t key)
{
	uint32_t mask = (1u << bits) - 1;
	uint32_t slot = trie_hash(key, bits);

	for (uint32_t probe = 0; probe < TABLE_PROBES; probe++, slot++)
		if (slots[slot & mask].key == key || slots[slot & mask].key == SLOT_EMPTY)
			return &slots[slot & mask];
	return NULL;
}

static TrieSlot *
new_slots(TrieBuilder *trie, uint32_t bits)
{
	TrieSlot *slots;

	if (bits > MAX_TABLE_BITS)
		return NULL;
	slots = arena_alloc_array(trie->b->arena, (size_t) 1 << bits, sizeof *slots);
	for (size_t i = 0; slots != NULL && i >> bits == 0; i++)
	{
		slots[i] = (TrieSlot){SLOT_EMPTY, 0, 0};
		if (bulk_turn(i, 1 << 18) && !arena_may_continue(trie->b->arena, trie->b->status))
			return NULL;
	}
	return slots;
}

/* A table of twice the size with what the old one has; with luck no chain is too long there. */
static bool
grow_trie(TrieBuilder *trie)
{
	for (uint32_t bits = trie->bits + 1; bits <= MAX_TABLE_BITS; bits++)
	{
		TrieSlot *larger = new_slots(trie, bits);
		bool fits = true;

		if (larger == NULL)
			break;
		for (size_t i = 0; fits && trie->bits > 0 && i >> trie->bits == 0; i++)
			if (trie->slots[i].key != SLOT_EMPTY)
			{
				TrieSlot *place = find_place(larger, bits, trie->slots[i].key);

				fits = place != NULL;
				if (fits)
					*place = trie->slots[i];
			}
		if (!fits)
			continue;
		trie->slots = larger;
		trie->bits = bits;
		return true;
	}
	if (trie->b->status->code == STATUS_CANCELLED)
		return false;
	return status_fail(trie->b->status, STATUS_LIMIT, "the vocabulary's trie is too large");
}

static bool
add_node(TrieBuilder *trie)
{
	if (trie->n_nodes == TRIE_MAX_NODES)
		return status_fail(trie->b->status, STATUS_LIMIT, "the vocabulary's trie is too large");
	if (trie->n_nodes == trie->capacity)
	{
		uint32_t capacity = trie->capacity * 2 + 1024;
		int32_t *nodes = arena_alloc_array(trie->b->arena, capacity, sizeof *nodes);
		double *scores = arena_alloc_array(trie->b->arena, capacity, sizeof *scores);

		if (nodes == NULL || scores == NULL)
			return builder_out_of_memory(trie->b);
		if (!bulk_copy(nodes, trie->nodes, trie->n_nodes * sizeof *nodes,
					   arena_question(trie->b->arena), trie->b->status) ||
			!bulk_copy(scores, trie->scores, trie->n_nodes * sizeof *scores,
					   arena_question(trie->b->arena), trie->b->status))
			return false;
		trie->nodes = nodes;
		trie->scores = scores;
		trie->capacity = capacity;
	}
	trie->scores[trie->n_nodes] = 0;
	trie->nodes[trie->n_nodes++] = -1;
	return true;
}

static bool
add_piece(TrieBuilder *trie, const unsigned char *text, size_t length, int32_t id, double score)
{
	uint32_t node = 0;
	uint32_t parent = SLOT_EMPTY; /* key of the slot that leads to node; none to the root */
	TrieSlot *place = NULL;

	for (size_t i = 0; i < length; i++)
	{
		uint32_t key = node << 8 | text[i];

		place = find_place(trie->slots, trie->bits, key);
		if (place == NULL || (place->key == SLOT_EMPTY && trie->n_nodes >> (trie->bits - 1) != 0))
		{
			if (!grow_trie(trie))
				return false;
			place = find_place(trie->slots, trie->bits, key);
		}
		if (place == NULL)
			return status_fail(trie->b->status, STATUS_LIMIT, "the vocabulary's trie is too large");
		if (place->key == SLOT_EMPTY)
		{
			*place = (TrieSlot){key, trie->n_nodes, 0};
			if (parent != SLOT_EMPTY)
				find_place(trie->slots, trie->bits, parent)->children |= TRIE_CHILD(text[i]);
			if (!add_node(trie))
				return false;
		}
		node = place->child & ~TRIE_LEAF;
		parent = key;
	}
	if (place != NULL)
	{
		place->child |= TRIE_LEAF;
		trie->scores[node] = score;
		trie->nodes[node] = id;
	}
	return true;
}

static bool
build_trie(Builder *b)
{
	TrieBuilder trie = {.b = b};
	uint32_t unk = (uint32_t) b->pipeline->unk_id;
	double least = 0;

	if (b->pieces.scores == NULL || unk >= b->pieces.n || b->offsets[unk] == b->offsets[unk + 1])
		return status_fail(b->status, STATUS_INVALID_DATA,
						   "the vocabulary of a Unigram model has no scores or no token %u",
						   (unsigned) unk);
	trie.bits = 10;
	while (trie.bits < MAX_TABLE_BITS && (size_t) 1 << trie.bits < b->n_lines * 4)
		trie.bits++;
	trie.slots = new_slots(&trie, trie.bits);
	if (trie.slots == NULL)
		return b->status->code == STATUS_CANCELLED ? false : builder_out_of_memory(b);
	if (!add_node(&trie))
		return false;
	for (size_t i = 0; i < b->n_lines; i++)
	{
		double score = b->pieces.scores[i];

		if (b->pipeline->scores_as_read)
			score = score_as_read(score);
		if (i == 0 || score < least)
			least = score;
		if (!builder_may_go_on(b, i) ||
			!add_piece(&trie, b->texts + b->offsets[i], b->offsets[i + 1] - b->offsets[i],
					   (int32_t) i, score))
			return false;
	}
	b->trie = trie.slots;
	b->nodes = trie.nodes;
	b->scores = trie.scores;
	b->header.trie_bits = trie.bits;
	b->header.n_nodes = trie.n_nodes;
	b->header.unk_score = least - UNIGRAM_UNK_PENALTY;
	return true;
}

/* --- The merges --- */

static bool
put_merge(Builder *b, uint32_t bits, uint32_t rank, uint32_t left, uint32_t right, uint32_t id)
{
	uint32_t mask = (1u << bits) - 1;
	uint32_t slot = merge_hash(left, right, bits);

	for (uint32_t probe = 0; probe < TABLE_PROBES; probe++, slot++)
	{
		MergeSlot *place = &b->merges[slot & mask];

		if (place->left != SLOT_EMPTY && (place->left != left || place->right != right))
			continue;
		*place = (MergeSlot){left, right, rank, id}; /* of repeated merges the last one counts */
		return true;
	}
	return false;
}

/* What two tokens become: the token that is both, one after the other. */
static bool
merged_id(const Builder *b, size_t rank, int32_t *id)
{
	const uint32_t *merge = b->pieces.merges + 2 * rank;
	char text[2 * TOKEN_MAX_BYTES];
	size_t left = b->offsets[merge[0] + 1] - b->offsets[merge[0]];
	size_t right = b->offsets[merge[1] + 1] - b->offsets[merge[1]];

	memcpy(text, b->texts + b->offsets[merge[0]], left);
	memcpy(text + left, b->texts + b->offsets[merge[1]], right);
	*id = builder_find_text(b, text, left + right);
	return *id >= 0 ||
		   status_fail(b->status, STATUS_INVALID_DATA,
					   "the vocabulary has no token for what merge %zu gives", rank + 1);
}

static bool
fill_merges(Builder *b, uint32_t bits, const int32_t *ids, bool *full)
{
	for (size_t i = 0; i >> bits == 0; i++)
	{
		b->merges[i] = (MergeSlot){SLOT_EMPTY, 0, 0, 0};
		if (bulk_turn(i, 1 << 18) && !arena_may_continue(b->arena, b->status))
			return false;
	}
	*full = false;
	for (uint32_t i = 0; i < b->pieces.n_merges && !*full; i++)
	{
		if (!builder_may_go_on(b, i))
			return false;
		*full = !put_merge(b, bits, i, b->pieces.merges[2 * i], b->pieces.merges[2 * i + 1],
						   (uint32_t) ids[i]);
	}
	return true;
}

#define BYTE_CHARACTERS 512 /* all that stand for bytes are less */

/* The byte of a token's first or last character, or -1: no text becomes such a token. */
static int
end_byte(const Builder *b, uint32_t token, bool last, const int16_t *bytes)
{
	const unsigned char *text = b->texts + b->offsets[token];
	size_t length = b->offsets[token + 1] - b->offsets[token];
	size_t at = last && length > 0 ? length - 1 : 0;
	uint32_t c;

	if (length == 0)
		return -1;
	while (at > 0 && (text[at] & 0xC0) == 0x80)
		at--;
	utf8_decode(text + at, &c);
	return c < BYTE_CHARACTERS ? bytes[c] : -1;
}

/* Which bytes merges bring together. */
static bool
build_joins(Builder *b)
{
	int16_t bytes[BYTE_CHARACTERS];

	b->joins = arena_alloc_zero(b->arena, JOINS_BYTES);
	if (b->joins == NULL)
		return builder_out_of_memory(b);
	memset(bytes, 0xFF, sizeof bytes);
	for (int byte = 0; byte < 256; byte++)
	{
		unsigned char text[4];
		uint32_t c;

		byte_text((unsigned char) byte, text);
		utf8_decode(text, &c);
		bytes[c] = (int16_t) byte;
	}
	for (uint32_t i = 0; i < b->pieces.n_merges; i++)
	{
		int left = end_byte(b, b->pieces.merges[2 * i], true, bytes);
		int right = end_byte(b, b->pieces.merges[2 * i + 1], false, bytes);

		if (!builder_may_go_on(b, i))
			return false;
		if (left >= 0 && right >= 0)
			b->joins[JOINS_BYTE(left, right)] |= (uint8_t) JOINS_BIT(right);
	}
	return true;
}

static bool
build_merges(Builder *b)
{
	uint32_t n = b->pieces.n_merges;
	int32_t *ids = arena_alloc_array(b->arena, (size_t) n + 1, sizeof *ids);
	uint32_t bits = 4;

	if (ids == NULL)
		return builder_out_of_memory(b);
	for (uint32_t i = 0; i < n; i++)
		if (!builder_may_go_on(b, i) || !merged_id(b, i, &ids[i]))
			return false;
	while ((size_t) 1 << bits < (size_t) n * 2)
		bits++;
	for (; bits <= MAX_TABLE_BITS; bits++)
	{
		bool full;

		b->merges = arena_alloc_array(b->arena, (size_t) 1 << bits, sizeof *b->merges);
		if (b->merges == NULL)
			return builder_out_of_memory(b);
		if (!fill_merges(b, bits, ids, &full))
			return false;
		if (!full)
		{
			b->header.merge_bits = bits;
			return true;
		}
	}
	return status_fail(b->status, STATUS_LIMIT, "the vocabulary's merges cannot be hashed");
}

static bool
check_bytes(const Builder *b)
{
	for (int byte = 0; byte < 256; byte++)
	{
		char text[4];
		size_t length = byte_text((unsigned char) byte, (unsigned char *) text);

		if (builder_find_text(b, text, length) < 0)
			return status_fail(
				b->status, STATUS_UNSUPPORTED,
				"the vocabulary has no token for the byte 0x%02X, so that some texts "
				"have no tokens",
				(unsigned) byte);
	}
	return true;
}

bool
builder_compose(Builder *b)
{
	if (b->pipeline == NULL)
		return true;
	if (!build_steps(b))
		return false;
	if (b->header.kind == TOKENIZER_UNIGRAM)
		return build_trie(b);
	return b->header.kind == TOKENIZER_BERT ||
		   (check_bytes(b) && build_merges(b) && build_joins(b));
}

bool
builder_write_composed(const Builder *b, unsigned char *image, const ImageHeader *h, Status *status)
{
	const MayContinue *question = arena_question(b->arena);
	TemplatePiece *templates = (TemplatePiece *) (image + h->template_at);

	if (b->pipeline == NULL)
		return true;
	memcpy(image + h->steps_at, b->steps, b->n_steps * sizeof *b->steps);
	memcpy(templates, b->pipeline->single.pieces, h->n_template[0] * sizeof *templates);
	memcpy(templates + h->n_template[0], b->pipeline->pair.pieces,
		   h->n_template[1] * sizeof *templates);
	if (h->merge_bits > 0)
		memcpy(image + h->joins_at, b->joins, JOINS_BYTES);
	return bulk_copy(image + h->strings_at, b->strings, h->strings_length, question, status) &&
		   (h->trie_bits == 0 || (bulk_copy(image + h->trie_at, b->trie,
											sizeof(TrieSlot) << h->trie_bits, question, status) &&
								  bulk_copy(image + h->nodes_at, b->nodes,
											h->n_nodes * sizeof *b->nodes, question, status) &&
								  bulk_copy(image + h->scores_at, b->scores,
											h->n_nodes * sizeof *b->scores, question, status))) &&
		   (h->merge_bits == 0 || bulk_copy(image + h->merges_at, b->merges,
											sizeof(MergeSlot) << h->merge_bits, question, status));
}

/* --- Opening --- */

static bool
inside(uint64_t at, uint64_t count, uint64_t size, uint64_t length)
{
	return at % ARENA_ALIGNMENT == 0 && at <= length && count <= (length - at) / size;
}

bool
composed_valid(const ImageHeader *h, size_t length)
{
	uint64_t n_steps = 0;

	if (h->composed == 0)
		return h->kind == TOKENIZER_BERT && h->trim_offsets == 0;
	for (int i = 0; i < 3; i++)
	{
		if (h->n_steps[i] > PIPELINE_STEPS)
			return false;
		n_steps += h->n_steps[i];
	}
	return h->composed == 1 && h->kind <= TOKENIZER_BPE && h->n_template[0] <= TEMPLATE_PIECES &&
		   h->n_template[1] <= TEMPLATE_PIECES && h->n_template[0] > 0 && h->n_template[1] > 0 &&
		   h->trim_offsets <= 1 && h->trim_prefix_space <= 1 && h->byte_fallback <= 1 &&
		   h->ignore_merges <= 1 && (h->kind == TOKENIZER_UNIGRAM) == (h->trie_bits > 0) &&
		   (h->kind == TOKENIZER_BPE) == (h->merge_bits > 0) && h->trie_bits <= MAX_TABLE_BITS &&
		   h->merge_bits <= MAX_TABLE_BITS && h->n_nodes <= TRIE_MAX_NODES &&
		   h->strings_length <= PIECES_MAX_BYTES &&
		   inside(h->steps_at, n_steps, sizeof(StepEntry), length) &&
		   inside(h->template_at, (uint64_t) h->n_template[0] + h->n_template[1],
				  sizeof(TemplatePiece), length) &&
		   inside(h->strings_at, h->strings_length, 1, length) &&
		   (h->trie_bits == 0 ||
			(inside(h->trie_at, UINT64_C(1) << h->trie_bits, sizeof(TrieSlot), length) &&
			 inside(h->nodes_at, h->n_nodes, sizeof(int32_t), length) &&
			 inside(h->scores_at, h->n_nodes, sizeof(double), length))) &&
		   (h->merge_bits == 0 ||
			(inside(h->merges_at, UINT64_C(1) << h->merge_bits, sizeof(MergeSlot), length) &&
			 inside(h->joins_at, JOINS_BYTES, 1, length)));
}

/* Texts lie inside and end with a zero; a kind is one of its list. */
static bool
step_valid(const Tokenizer *t, const StepEntry *step, int list)
{
	static const StepKind first[] = {STEP_PRECOMPILED, STEP_WHITESPACE_SPLIT, STEP_DECODE_METASPACE,
									 STEP_KINDS};
	uint64_t length = t->header->strings_length;

	if (step->kind < (uint32_t) first[list] || step->kind >= (uint32_t) first[list + 1] ||
		step->text > length || step->text_length > length - step->text || step->content > length ||
		step->content_length > length - step->content)
		return false;
	if (step->kind == STEP_PRECOMPILED)
		return step->text % STRING_ALIGNMENT == 0 &&
			   charsmap_check(t->strings + step->text, step->text_length, NULL);
	return step->text_length <= PIPELINE_MAX_TEXT && step->content_length <= PIPELINE_MAX_TEXT &&
		   step->count <= 1000 && step->count2 <= 1000 &&
		   utf8_valid_prefix(t->strings + step->text, step->text_length) == step->text_length &&
		   utf8_valid_prefix(t->strings + step->content, step->content_length) ==
			   step->content_length &&
		   (step->text_length > 0 ||
			(step->kind != STEP_REPLACE && step->kind != STEP_METASPACE &&
			 step->kind != STEP_DECODE_REPLACE && step->kind != STEP_DECODE_STRIP &&
			 step->kind != STEP_DECODE_METASPACE)) &&
		   (step->kind != STEP_PATTERN ||
			(step->count <= SPLIT_CONTIGUOUS && step->count2 < PATTERN_COUNT &&
			 (step->count2 != PATTERN_CHARACTER || step->text_length > 0))) &&
		   (step->kind != STEP_REPLACE_RUN || (step->count >= 1 && step->count <= MOST_HELD));
}

static bool
template_valid(const Tokenizer *t, const TemplatePiece *pieces, size_t n, bool pair)
{
	int texts[2] = {0, 0};

	for (size_t i = 0; i < n; i++)
	{
		if (pieces[i].what < TEMPLATE_SECOND || pieces[i].what >= (int32_t) t->n_ids ||
			pieces[i].type < 0)
			return false;
		if (pieces[i].what < 0)
			texts[pieces[i].what == TEMPLATE_SECOND]++;
	}
	return texts[0] == 1 && texts[1] == (pair ? 1 : 0);
}

/* The tokens that stand for single bytes. */
static void
find_byte_tokens(Tokenizer *t)
{
	static const char hex[] = "0123456789ABCDEF";

	for (int byte = 0; byte < 256; byte++)
	{
		char text[8] = "<0x00>";
		size_t length = 6;

		t->byte_ids[byte] = -1;
		if (t->kind == TOKENIZER_BPE)
			length = byte_text((unsigned char) byte, (unsigned char *) text);
		else if (t->header->byte_fallback == 0)
			continue;
		else
		{
			text[3] = hex[byte >> 4];
			text[4] = hex[byte & 15];
		}
		t->byte_ids[byte] = tokenizer_id(t, text, length);
	}
}

static void
put_bert_piece(Tokenizer *t, bool pair, int32_t what, uint32_t type)
{
	TemplatePiece *pieces = t->bert_pieces + (pair ? 3 : 0);

	pieces[t->n_template[pair]++] = (TemplatePiece){what, (int32_t) type};
}

/* A special token, if the vocabulary has it. */
static void
put_bert_special(Tokenizer *t, bool pair, int32_t id, uint32_t type)
{
	if (id >= 0)
		put_bert_piece(t, pair, id, type);
}

/* [CLS] A [SEP], and [CLS] A [SEP] B [SEP] */
static void
prepare_bert(Tokenizer *t)
{
	const ImageHeader *h = t->header;

	t->templates[0] = t->bert_pieces;
	t->templates[1] = t->bert_pieces + 3;
	for (int pair = 0; pair < 2; pair++)
	{
		put_bert_special(t, pair, h->cls_id, 0);
		put_bert_piece(t, pair, TEMPLATE_FIRST, 0);
		put_bert_special(t, pair, h->sep_id, 0);
	}
	put_bert_piece(t, true, TEMPLATE_SECOND, h->pair_type);
	put_bert_special(t, true, h->sep_id, h->pair_type);
}

bool
composed_prepare(Tokenizer *t, const unsigned char *image)
{
	const ImageHeader *h = t->header;
	const StepEntry *steps;
	size_t n = 0;

	t->kind = (TokenizerKind) h->kind;
	if (h->composed == 0) /* nothing else was checked */
	{
		prepare_bert(t);
		return true;
	}
	steps = (const StepEntry *) (image + h->steps_at);
	t->strings = image + h->strings_at;
	for (int list = 0; list < 3; list++)
	{
		t->steps[list] = steps + n;
		for (size_t i = 0; i < h->n_steps[list]; i++)
			if (!step_valid(t, &steps[n++], list))
				return false;
	}
	/* bytes become tokens at the end of BPE's pre-tokenizers, and only there */
	for (size_t i = 0; i < h->n_steps[1]; i++)
		if ((t->steps[1][i].kind == STEP_BYTE_LEVEL) !=
			(t->kind == TOKENIZER_BPE && i + 1 == h->n_steps[1]))
			return false;
	t->templates[0] = (const TemplatePiece *) (image + h->template_at);
	t->templates[1] = t->templates[0] + h->n_template[0];
	t->n_template[0] = h->n_template[0];
	t->n_template[1] = h->n_template[1];
	if (!template_valid(t, t->templates[0], h->n_template[0], false) ||
		!template_valid(t, t->templates[1], h->n_template[1], true))
		return false;
	if (t->kind == TOKENIZER_BERT)
		return true;
	if (t->kind == TOKENIZER_UNIGRAM) /* of the other tables the places were not checked */
	{
		t->trie = (const TrieSlot *) (image + h->trie_at);
		t->nodes = (const int32_t *) (image + h->nodes_at);
		t->scores = (const double *) (image + h->scores_at);
		unigram_roots(t);
	}
	else
	{
		t->merges = (const MergeSlot *) (image + h->merges_at);
		t->joins = image + h->joins_at;
	}
	find_byte_tokens(t);
	for (int byte = 0; byte < 256 && t->kind == TOKENIZER_BPE; byte++)
		if (t->byte_ids[byte] < 0)
			return false;
	chain_plain(t, t->plain);
	splitter_runs(t);
	return true;
}
