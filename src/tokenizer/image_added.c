/* image_added.c: the added tokens of an image, in the order in which they are searched for. */
#include "files/config.h"
#include "tokenizer/composed.h"
#include "tokenizer/image_builder.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"

/* Collects normalized text. */
typedef struct Pattern
{
	Arena *arena;
	unsigned char *bytes;
	size_t length;
	size_t capacity;
	bool failed; /* out of memory, or too long */
} Pattern;

#define PATTERN_MAX_BYTES ((size_t) 1024 * 1024)

static void
collect_pattern(void *context, uint32_t c, uint8_t bits, uint32_t origin)
{
	Pattern *pattern = context;

	(void) bits;
	(void) origin;
	if (pattern->capacity - pattern->length < 4)
	{
		size_t larger = pattern->capacity * 2 + 64;
		unsigned char *copy =
			larger > PATTERN_MAX_BYTES ? NULL : arena_alloc(pattern->arena, larger);

		pattern->failed |= copy == NULL;
		if (copy == NULL)
			return;
		if (pattern->length > 0)
			memcpy(copy, pattern->bytes, pattern->length);
		pattern->bytes = copy;
		pattern->capacity = larger;
	}
	pattern->length += (size_t) utf8_encode(c, pattern->bytes + pattern->length);
}

static bool
normalize_as_bert(const Builder *b, const Added *added, Pattern *pattern)
{
	Normalizer normalizer;

	normalizer_init(&normalizer, b->header.normalize, b->arena, collect_pattern, pattern);
	for (size_t i = 0; i < added->length && !normalizer.failed;)
	{
		uint32_t c;

		i += (size_t) utf8_decode((const unsigned char *) added->content + i, &c);
		normalizer_push(&normalizer, c, 0);
	}
	normalizer_finish(&normalizer);
	return !normalizer.failed;
}

static bool
normalize_composed(const Builder *b, const Added *added, Pattern *pattern)
{
	Chain chain;

	if (!chain_init(&chain, b->steps, b->header.n_steps[0], b->strings, b->arena))
		return false;
	chain.emit = collect_pattern;
	chain.context = pattern;
	for (size_t i = 0; i < added->length && !chain.failed;)
	{
		uint32_t c;

		i += (size_t) utf8_decode((const unsigned char *) added->content + i, &c);
		chain_push(&chain, 0, c, 0);
	}
	chain_finish(&chain);
	return !chain.failed;
}

/* What a normalized token is searched as. */
static bool
normalize_pattern(Builder *b, Added *added)
{
	Pattern pattern = {.arena = b->arena};
	bool ok = b->header.kind == TOKENIZER_BERT ? normalize_as_bert(b, added, &pattern)
											   : normalize_composed(b, added, &pattern);

	if (!ok || pattern.failed)
		return builder_out_of_memory(b);
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
	int32_t id = builder_find_text(b, added->content, added->length);

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

bool
builder_add_tokens(Builder *b)
{
	const TokenizerSettings *settings = b->settings;

	b->n_ids = b->n_lines;
	if (settings->n_added > MAX_ADDED)
		return status_fail(b->status, STATUS_LIMIT, "%zu added tokens, the limit is %d",
						   settings->n_added, MAX_ADDED);
	b->added = arena_alloc_array_zero(b->arena, settings->n_added, sizeof *b->added);
	if (b->added == NULL)
		return builder_out_of_memory(b);
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
	sort_added(b->added, b->n_added);
	return true;
}

int32_t
builder_find_named(const Builder *b, const char *content)
{
	size_t length;
	int32_t id;

	if (content == NULL)
		return -1;
	length = strlen(content);
	id = builder_find_text(b, content, length);
	for (size_t i = 0; id < 0 && i < b->n_added; i++)
		if (b->added[i].length == length && memcmp(b->added[i].content, content, length) == 0)
			id = (int32_t) b->added[i].id;
	return id;
}
