/* masking.c: choices by a counter-based generator. */
#include "train/masking.h"

#include "core/bulk.h"
#include "core/rng.h"
#include "nn/loss.h"

/* Uniform in [0, 1) from one random word. */
static double
unit(uint32_t word)
{
	return word * 0x1p-32;
}

/* A random token that is not special, from the words that are left of a position's block. */
static int32_t
random_token(const MaskingOptions *options, uint64_t seed, uint64_t stream, uint64_t position,
			 uint32_t word)
{
	uint32_t block[4];

	for (int attempt = 0; attempt < 64; attempt++)
	{
		int32_t id = (int32_t) ((uint64_t) word * (uint64_t) options->vocab_size >> 32);

		if (!options->is_special(options->context, id))
			return id;
		/* further draws: the same position in streams of their own */
		philox4x32(seed, stream ^ (uint64_t) (attempt + 1) << 56, position, block);
		word = block[0];
	}
	return options->mask_id;
}

/* True when token i goes on with the word of the token before it, which is not special. */
static bool
goes_on(const MaskingOptions *options, const MaskedText *text, size_t i)
{
	if (text->starts == NULL)
		return options->is_continuation(options->context, text->ids[i]);
	return text->starts[i] == text->ends[i - 1];
}

/* What takes the place of a chosen token. */
static int32_t
replacement(const MaskingOptions *options, uint64_t seed, uint64_t stream, uint64_t position,
			const uint32_t random[4], int32_t id)
{
	if (options->whole_words || unit(random[1]) < 0.8)
		return options->mask_id;
	if (unit(random[2]) < 0.5)
		return random_token(options, seed, stream, position, random[3]);
	return id;
}

size_t
masking_apply(const MaskingOptions *options, uint64_t seed, uint64_t stream, uint64_t first,
			  const MaskedText *text, int64_t *labels)
{
	size_t chosen = 0;
	bool word_chosen = false;
	bool in_word = false;

	for (size_t i = 0; i < text->n; i++)
	{
		int32_t id = text->ids[i];
		bool special = options->is_special(options->context, id);
		bool continues = options->whole_words && in_word && !special && goes_on(options, text, i);
		uint32_t random[4];
		bool take;

		philox4x32(seed, stream, first + i, random);
		take = !special && (continues ? word_chosen : unit(random[0]) < options->probability);
		in_word = !special;
		word_chosen = take;
		labels[i] = LABEL_IGNORED;
		if (!take)
			continue;
		chosen++;
		labels[i] = id;
		text->ids[i] = replacement(options, seed, stream, first + i, random, id);
	}
	return chosen;
}

#define ASK_PAIRS 64 /* pairs between two questions, a power of two */

typedef struct PairMaker
{
	Arena *arena;
	const Documents *documents;
	size_t max_tokens;
	Rng rng;
	SentencePair *pairs;
	size_t n;
	size_t capacity;
} PairMaker;

static bool
append_pair(PairMaker *maker, const SentencePair *pair, Status *status)
{
	if (maker->n == maker->capacity)
	{
		size_t capacity = maker->capacity == 0 ? 256 : 2 * maker->capacity;
		SentencePair *larger = arena_alloc_array(maker->arena, capacity, sizeof *larger);

		if (larger == NULL)
			return arena_fail(maker->arena, status, "sentence pairs", capacity * sizeof *larger);
		if (!bulk_copy(larger, maker->pairs, maker->n * sizeof *larger,
					   arena_question(maker->arena), status))
			return false;
		maker->pairs = larger;
		maker->capacity = capacity;
	}
	maker->pairs[maker->n++] = *pair;
	return true;
}

static size_t
document_size(const Documents *documents, size_t document)
{
	return documents->starts[document + 1] - documents->starts[document];
}

/*
 * Sentences of another document from a random one on, up to `room` tokens. False when there is no
 * other document.
 */
static bool
random_sentences(PairMaker *maker, size_t not_this, size_t room, SentenceRange *range)
{
	const Documents *documents = maker->documents;
	size_t tokens = 0;

	for (int attempt = 0; attempt < 10; attempt++)
	{
		size_t document = (size_t) rng_below(&maker->rng, documents->n_documents);
		size_t size = document_size(documents, document);

		if (document == not_this || size == 0)
			continue;
		range->document = document;
		range->first = (size_t) rng_below(&maker->rng, size);
		range->count = 0;
		while (range->first + range->count < size && (range->count == 0 || tokens < room))
		{
			tokens += documents->lengths[documents->starts[document] + range->first + range->count];
			range->count++;
		}
		return true;
	}
	return false;
}

/* Pairs of one document. */
static bool
pair_document(PairMaker *maker, size_t document, Status *status)
{
	const Documents *documents = maker->documents;
	size_t size = document_size(documents, document);
	const uint32_t *lengths = documents->lengths + documents->starts[document];
	size_t first = 0;
	size_t turn = 0;

	while (first < size)
	{
		SentencePair pair = {.a = {.document = document, .first = first}};
		size_t count = 0;
		size_t tokens = 0;
		size_t a_tokens = 0;

		/* at most max_tokens sentences each time: every one has a token */
		if (bulk_turn(turn++, ASK_PAIRS) && !arena_may_continue(maker->arena, status))
			return false;
		while (first + count < size && (count == 0 || tokens < maker->max_tokens))
			tokens += lengths[first + count++];
		pair.a.count = count < 2 ? count : 1 + (size_t) rng_below(&maker->rng, count - 1);
		for (size_t i = 0; i < pair.a.count; i++)
			a_tokens += lengths[first + i];
		pair.random = count < 2 || rng_below(&maker->rng, 2) == 1;
		if (pair.random &&
			random_sentences(maker, document,
							 a_tokens < maker->max_tokens ? maker->max_tokens - a_tokens : 0,
							 &pair.b))
		{
			if (!append_pair(maker, &pair, status))
				return false;
			first += pair.a.count; /* what b replaced comes again */
		}
		else
		{
			pair.random = false;
			pair.b = (SentenceRange){
				.document = document, .first = first + pair.a.count, .count = count - pair.a.count};
			if (pair.b.count > 0 && !append_pair(maker, &pair, status))
				return false;
			first += count;
		}
	}
	return true;
}

bool
sentence_pairs_make(Arena *arena, const Documents *documents, size_t max_tokens, uint64_t seed,
					SentencePair **pairs, size_t *n_pairs, Status *status)
{
	PairMaker maker = {.arena = arena, .documents = documents, .max_tokens = max_tokens};

	if (max_tokens < 2)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "pairs need at least 2 tokens");
	rng_init(&maker.rng, seed, UINT64_C(0x6e73700000000000)); /* "nsp" */
	for (size_t document = 0; document < documents->n_documents; document++)
		if (!arena_may_continue(arena, status) || !pair_document(&maker, document, status))
			return false;
	*pairs = maker.pairs;
	*n_pairs = maker.n;
	return true;
}
