/*
 * composed.c: pieces of text of a composed tokenizer, and the words at the end of their way.
 *
 * ASCII characters that no normalizer changes, between others of them, pass the normalizers by.
 * Words that came before are remembered with their tokens.
 */
#include "tokenizer/composed.h"

#include "core/checked.h"

#define FIRST_PARTIAL ((size_t) 64 * 1024) /* bytes of a word whose begin is encoded already */

static void
emit(void *context, uint32_t c, uint8_t bits, uint32_t origin)
{
	(void) bits;
	splitter_push(context, 0, c, origin);
}

bool
composer_create(TextEncoder *encoder)
{
	const Tokenizer *t = encoder->tokenizer;
	Composer *composer;

	if (t->kind == TOKENIZER_BERT)
		return true;
	composer = arena_alloc_zero(encoder->arena, sizeof *composer);
	if (composer == NULL || !chain_init(&composer->chain, t->steps[0], t->header->n_steps[0],
										t->strings, encoder->arena))
		return arena_fail(encoder->arena, encoder->status, "a text's tokens", sizeof *composer);
	composer->encoder = encoder;
	composer->next_try = FIRST_PARTIAL;
	composer->chain.emit = emit;
	composer->chain.context = composer;
	composer->chain.question = encoder->question;
	composer->chain.status = encoder->status;
	composer->n_splitters = t->header->n_steps[1];
	for (size_t i = 0; i < composer->n_splitters; i++)
	{
		Splitter *splitter = &composer->splitters[i];

		splitter->step = &t->steps[1][i];
		if (splitter->step->kind == STEP_METASPACE ||
			(splitter->step->kind == STEP_PATTERN && splitter->step->text_length > 0))
			utf8_decode(t->strings + splitter->step->text, &splitter->delimiter);
	}
	encoder->composer = composer;
	return true;
}

/* --- Words --- */

/* The begin of a long word, as far as it is decided; what is left of it moves to the front. */
static void
encode_begin(Composer *composer)
{
	TextEncoder *encoder = composer->encoder;
	size_t done = unigram_word(composer, true);
	size_t left = encoder->word_bytes - done;

	if (done > 0)
	{
		memmove(encoder->word, encoder->word + done, left);
		memmove(encoder->origins, encoder->origins + done, left * sizeof *encoder->origins);
		encoder->word_bytes = left;
		composer->partial = true;
	}
	/* twice what is left, so that no word is read more often than a fixed number of times */
	composer->next_try = left * 2 > FIRST_PARTIAL ? left * 2 : FIRST_PARTIAL;
}

void
word_push(Composer *composer, uint32_t c, uint32_t origin)
{
	TextEncoder *encoder = composer->encoder;
	int bytes;

	if (encoder->word_capacity - encoder->word_bytes < 4 &&
		(encoder->failed || encoder->stopped || !pretokenizer_grow(encoder)))
		return;
	bytes = utf8_encode(c, encoder->word + encoder->word_bytes);
	for (int i = 0; i < bytes; i++)
		encoder->origins[encoder->word_bytes++] = origin;
	if (encoder->word_bytes >= composer->next_try && encoder->tokenizer->kind == TOKENIZER_UNIGRAM)
		encode_begin(composer);
}

/* --- Words that came before --- */

/* Where a word of at most WORD_BYTES bytes is remembered. */
static WordCacheEntry *
cache_place(const TextEncoder *encoder)
{
	const Tokenizer *t = encoder->tokenizer;
	size_t bytes = encoder->word_bytes;

	return &t->cache->entries[hash_long(encoder->word, bytes, (uint32_t) bytes, t->seed) >>
							  (64 - WORD_CACHE_BITS)];
}

/* Tokens that lie side by side are recorded as long as there is room. */
static void
record(Composer *composer, int32_t id, size_t begin, size_t end)
{
	size_t n = composer->n_recorded;

	if (n >= WORD_TOKENS || begin != (n == 0 ? 0 : composer->recorded_ends[n - 1]) ||
		end > WORD_BYTES)
	{
		composer->n_recorded = WORD_TOKENS + 1;
		return;
	}
	composer->recorded_ids[n] = id;
	composer->recorded_ends[n] = (uint8_t) end;
	composer->n_recorded++;
}

void
word_token(Composer *composer, int32_t id, size_t begin, size_t end)
{
	TextEncoder *encoder = composer->encoder;
	TokenList *list = &encoder->list;
	size_t n = list->n;

	record(composer, id, begin, end);
	if (!token_list_reserve(encoder, 1))
		return;
	list->n++;
	if (list->counting)
		return;
	list->ids[n] = id;
	list->starts[n] = encoder->origins[begin];
	list->ends[n] = encoder->origins[end - 1] + 1;
	list->words[n] = (int32_t) encoder->next_word;
	if (list->trims != NULL)
		token_trim(encoder, n, encoder->word + begin, end - begin,
				   encoder->tokenizer->kind == TOKENIZER_BPE);
}

/* The tokens of a word that is remembered; false when it is not. */
static bool
recall(Composer *composer, const WordCacheEntry *entry)
{
	const TextEncoder *encoder = composer->encoder;
	size_t begin = 0;

	if (entry->length != encoder->word_bytes ||
		!same_bytes(entry->key, encoder->word, entry->length))
		return false;
	for (int i = 0; i < entry->n; i++)
	{
		word_token(composer, entry->ids[i], begin, entry->ends[i]);
		begin = entry->ends[i];
	}
	return true;
}

static void
remember(const Composer *composer, WordCacheEntry *entry)
{
	const TextEncoder *encoder = composer->encoder;

	memset(entry, 0, sizeof *entry);
	memcpy(entry->key, encoder->word, encoder->word_bytes);
	entry->length = (uint8_t) encoder->word_bytes;
	entry->n = (uint8_t) composer->n_recorded;
	memcpy(entry->ends, composer->recorded_ends, sizeof entry->ends);
	memcpy(entry->ids, composer->recorded_ids, sizeof entry->ids);
}

static void
encode_word(Composer *composer)
{
	TextEncoder *encoder = composer->encoder;
	WordCacheEntry *entry = NULL;

	if (encoder->word_bytes <= WORD_BYTES && !composer->partial)
	{
		entry = cache_place(encoder);
		if (recall(composer, entry))
			return;
	}
	composer->n_recorded = 0;
	if (encoder->tokenizer->kind == TOKENIZER_UNIGRAM)
		unigram_word(composer, false);
	else
		bpe_word(composer);
	if (entry != NULL && composer->n_recorded <= WORD_TOKENS && !encoder->failed &&
		!encoder->stopped)
		remember(composer, entry);
}

void
word_end(Composer *composer)
{
	TextEncoder *encoder = composer->encoder;

	if (encoder->word_bytes > 0)
		encode_word(composer);
	if (encoder->word_bytes > 0 || composer->partial)
		encoder->next_word++;
	encoder->word_bytes = 0;
	composer->partial = false;
	composer->base_score = 0;
	composer->next_try = FIRST_PARTIAL;
}

/* --- Pieces of text --- */

static bool
has_failed(const TextEncoder *encoder)
{
	const Chain *chain = &encoder->composer->chain;

	return encoder->failed || encoder->stopped || chain->failed || chain->stopped;
}

/* What has_failed found: the status says already that the work was stopped, or memory is used up.
 */
static bool
fail(const TextEncoder *encoder)
{
	const Chain *chain = &encoder->composer->chain;

	if (encoder->stopped || chain->stopped)
		return false;
	return arena_fail(encoder->arena, encoder->status, "a text's tokens",
					  chain->failed ? chain->wanted : encoder->wanted);
}

/* One character through the normalizers; whether the next, if ASCII, may pass them by. */
static bool
push_normalized(Chain *chain, uint32_t c, uint32_t origin, const unsigned char *next,
				const unsigned char *end)
{
	chain_push(chain, 0, c, origin);
	if (c >= 0x80 || next == end || *next >= 0x80)
		return false;
	chain_settle(chain);
	return chain_idle(chain);
}

bool
composed_encode(TextEncoder *encoder, const unsigned char *text, size_t begin, size_t end,
				size_t character)
{
	Composer *composer = encoder->composer;
	Chain *chain = &composer->chain;
	const uint8_t *plain = encoder->tokenizer->plain;
	size_t next_ask = begin + ASK_BYTES;
	bool passed = false;
	bool idle;

	chain_reset(chain);
	idle = chain_idle(chain);
	for (size_t position = begin; position < end && encoder->list.n <= encoder->limit;)
	{
		unsigned char byte = text[position];
		uint32_t c;

		if (idle && byte < 0x80 && plain[byte] != 0 &&
			(position + 1 == end || text[position + 1] < 0x80))
		{
			splitter_push(composer, 0, plain[byte], (uint32_t) character++);
			position++;
			passed = true;
		}
		else
		{
			if (passed)
				chain_passed(chain);
			passed = false;
			position += (size_t) utf8_decode(text + position, &c);
			if (chain->n > 0)
				idle =
					push_normalized(chain, c, (uint32_t) character++, text + position, text + end);
			else
				splitter_push(composer, 0, c, (uint32_t) character++);
		}
		if (position < next_ask)
			continue;
		next_ask = position + ASK_BYTES;
		if (has_failed(encoder))
			return fail(encoder);
		if (!may_continue(encoder->question, encoder->status))
			return false;
	}
	chain_finish(chain);
	splitter_end(composer, 0);
	return has_failed(encoder) ? fail(encoder) : true;
}

bool
composed_normalize(TextEncoder *encoder, const unsigned char *text, const size_t range[2],
				   size_t character, EmitCharacter emit_character, void *context)
{
	Chain *chain = &encoder->composer->chain;
	size_t next_ask = range[0] + ASK_BYTES;

	chain_reset(chain);
	chain->emit = emit_character;
	chain->context = context;
	for (size_t position = range[0]; position < range[1];)
	{
		uint32_t c;

		position += (size_t) utf8_decode(text + position, &c);
		chain_push(chain, 0, c, (uint32_t) character++);
		if (position < next_ask)
			continue;
		next_ask = position + ASK_BYTES;
		if (has_failed(encoder) || !may_continue(encoder->question, encoder->status))
			break;
	}
	if (!has_failed(encoder))
		chain_finish(chain);
	chain->emit = emit;
	chain->context = encoder->composer;
	return has_failed(encoder) ? fail(encoder) : may_continue(encoder->question, encoder->status);
}

void
composed_push(TextEncoder *encoder, uint32_t c, uint32_t origin)
{
	splitter_push(encoder->composer, 0, c, origin);
}

void
composed_end(TextEncoder *encoder)
{
	splitter_end(encoder->composer, 0);
}
