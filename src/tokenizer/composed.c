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
	composer->direct = byte_level_direct(t);
	composer->prefix_space = composer->direct && composer->n_splitters == 1 &&
							 (composer->splitters[0].step->flags & STEP_PREFIX_SPACE) != 0;
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
	if (list->trims == NULL)
		return;
	if (encoder->tokenizer->kind == TOKENIZER_BPE)
		token_trim_bytes(encoder, n, encoder->word + begin, end - begin);
	else
		token_trim(encoder, n, encoder->word + begin, end - begin, false);
}

/* The tokens of a word that is remembered; false when it is not. */
static bool
recall(Composer *composer, const WordCacheEntry *entry)
{
	const TextEncoder *encoder = composer->encoder;
	size_t begin = 0;

	if (!cache_holds(entry, encoder->word, encoder->word_bytes))
		return false;
	for (int i = 0; i < entry->n; i++)
	{
		word_token(composer, entry->ids[i], begin, entry->ends[i]);
		begin = entry->ends[i];
	}
	return true;
}

static void
encode_word(Composer *composer)
{
	TextEncoder *encoder = composer->encoder;
	WordCacheEntry *entry = NULL;

	if (encoder->word_bytes <= WORD_BYTES && !composer->partial)
	{
		entry = cache_place(encoder->tokenizer, encoder->word, encoder->word_bytes);
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
		cache_fill(entry, encoder->word, encoder->word_bytes, composer->recorded_ids,
				   composer->recorded_ends, composer->n_recorded);
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

/* Asked at every ASK_BYTES of a text: whether to go on; if not, the status says why. */
static inline bool
goes_on(const TextEncoder *encoder, size_t position, size_t *next_ask)
{
	if (position < *next_ask)
		return true;
	*next_ask = position + ASK_BYTES;
	if (has_failed(encoder))
		return fail(encoder);
	return may_continue(encoder->question, encoder->status);
}

/*
 * Whether the character before this byte stays as it is: a mark may compose with it, and behind a
 * character that is taken away there may be one.
 */
static inline bool
leaves_alone(const uint8_t plain[128], unsigned char next)
{
	return next < 0x80 && plain[next] != 0;
}

/* One character through the normalizers; whether the next, if ASCII, may pass them by. */
static bool
push_normalized(Composer *composer, uint32_t c, uint32_t origin, const unsigned char *next,
				const unsigned char *end)
{
	Chain *chain = &composer->chain;

	chain_push(chain, 0, c, origin);
	if (c >= 0x80 || next == end || !leaves_alone(composer->encoder->tokenizer->plain, *next))
		return false;
	chain_settle(chain);
	return chain_idle(chain);
}

/*
 * Characters of a word at `at` that no splitter cuts, into the word; returns where they end, which
 * is `at` when they have to go the long way.
 */
static size_t
word_append(Composer *composer, const AsciiText *text, size_t at, size_t soft_end)
{
	TextEncoder *encoder = composer->encoder;
	size_t stop = at;
	unsigned char *word;
	uint32_t *origins;

	if (encoder->word_bytes == 0)
		return at;
	for (size_t i = 0; i < composer->n_splitters; i++)
		if (composer->splitters[i].matched)
			return at;
	while (stop < soft_end && text->runs[text->bytes[stop]] != 0)
		stop++;
	/* before the normalizers what follows may change the last one */
	if (text->origins == NULL && stop > at && stop < text->end &&
		!leaves_alone(encoder->tokenizer->plain, text->bytes[stop]))
		stop--;
	while (encoder->word_capacity - encoder->word_bytes < stop - at)
		if (encoder->failed || encoder->stopped || !pretokenizer_grow(encoder))
			return at;
	word = encoder->word + encoder->word_bytes;
	origins = encoder->origins + encoder->word_bytes;
	for (size_t i = at; i < stop; i++)
	{
		*word++ = text->bytes[i];
		*origins++ = ascii_origin(text, i);
	}
	encoder->word_bytes += stop - at;
	if (encoder->word_bytes >= composer->next_try && encoder->tokenizer->kind == TOKENIZER_UNIGRAM)
		encode_begin(composer);
	return stop;
}

/*
 * One or more characters of text[position .. end) that the normalizers leave alone, when they are
 * idle; returns the new position, or the old one.
 */
static inline size_t
pass_by(Composer *composer, const AsciiText *text, size_t position, size_t soft_end)
{
	const uint8_t *plain = composer->encoder->tokenizer->plain;
	unsigned char byte = text->bytes[position];

	if (!leaves_alone(plain, byte) ||
		(position + 1 < text->end && !leaves_alone(plain, text->bytes[position + 1])))
		return position;
	if (text->runs[byte] != 0)
	{
		size_t stop = composer->direct ? words_ascii(composer, text, position, soft_end)
									   : word_append(composer, text, position, soft_end);

		if (stop > position)
			return stop;
	}
	splitter_push(composer, 0, plain[byte], (uint32_t) (text->first + position));
	return position + 1;
}

bool
composed_encode(TextEncoder *encoder, const unsigned char *text, size_t begin, size_t end,
				size_t character)
{
	Composer *composer = encoder->composer;
	Chain *chain = &composer->chain;
	AsciiText ascii = {text, end, encoder->tokenizer->ascii_runs[0], NULL, 0};
	size_t next_ask = begin + ASK_BYTES;
	bool passed = false;
	bool idle;

	chain_reset(chain);
	idle = chain_idle(chain);
	for (size_t position = begin; position < end && encoder->list.n <= encoder->limit;)
	{
		size_t stop = position;
		uint32_t c;

		if (idle)
		{
			ascii.first = character - position;
			stop = pass_by(composer, &ascii, position, next_ask < end ? next_ask : end);
			character += stop - position;
			passed |= stop > position;
		}
		if (stop == position)
		{
			if (passed)
				chain_passed(chain);
			passed = false;
			stop += (size_t) utf8_decode(text + position, &c);
			if (chain->n > 0)
				idle =
					push_normalized(composer, c, (uint32_t) character++, text + stop, text + end);
			else
				splitter_push(composer, 0, c, (uint32_t) character++);
		}
		position = stop;
		if (!goes_on(encoder, position, &next_ask))
			return false;
	}
	chain_finish(chain);
	splitter_end(composer, 0);
	return has_failed(encoder) ? fail(encoder) : true;
}

/* How many characters at text[position] the idle normalizers leave alone, at most ASK_BYTES. */
static size_t
count_plain(const uint8_t *plain, const unsigned char *text, size_t position, size_t end)
{
	size_t soft_end = end - position > ASK_BYTES ? position + ASK_BYTES : end;
	size_t stop = position;

	while (stop < soft_end && leaves_alone(plain, text[stop]))
		stop++;
	if (stop > position && stop < end && !leaves_alone(plain, text[stop]))
		stop--;
	return stop - position;
}

bool
composed_normalize(TextEncoder *encoder, const unsigned char *text, const size_t range[2],
				   size_t character, const CharacterSink *sink)
{
	Chain *chain = &encoder->composer->chain;
	const uint8_t *plain = encoder->tokenizer->plain;
	size_t next_ask = range[0] + ASK_BYTES;
	bool ok = true;
	bool idle;

	chain_reset(chain);
	idle = chain_idle(chain);
	chain->emit = sink->one;
	chain->context = sink->context;
	for (size_t position = range[0]; ok && position < range[1];)
	{
		size_t n = idle ? count_plain(plain, text, position, range[1]) : 0;
		uint32_t c;

		if (n > 0)
		{
			sink->many(sink->context, text + position, n, plain, (uint32_t) character);
			chain_passed(chain);
			character += n;
			position += n;
		}
		else
		{
			position += (size_t) utf8_decode(text + position, &c);
			idle = push_normalized(encoder->composer, c, (uint32_t) character++, text + position,
								   text + range[1]);
		}
		ok = goes_on(encoder, position, &next_ask);
	}
	if (ok)
		chain_finish(chain);
	chain->emit = emit;
	chain->context = encoder->composer;
	return ok && has_failed(encoder) ? fail(encoder) : ok;
}

bool
composed_encode_normal(TextEncoder *encoder, const unsigned char *text, const uint32_t *origins,
					   size_t begin, size_t end)
{
	Composer *composer = encoder->composer;
	AsciiText ascii = {text, end, encoder->tokenizer->ascii_runs[1], origins, 0};
	size_t next_ask = begin + ASK_BYTES;

	for (size_t position = begin; position < end && encoder->list.n <= encoder->limit;)
	{
		size_t stop = position;
		uint32_t c;

		if (ascii.runs[text[position]] != 0)
		{
			size_t soft_end = next_ask < end ? next_ask : end;

			stop = composer->direct ? words_ascii(composer, &ascii, position, soft_end)
									: word_append(composer, &ascii, position, soft_end);
		}
		if (stop == position)
		{
			stop += (size_t) utf8_decode(text + position, &c);
			splitter_push(composer, 0, c, origins[position]);
		}
		position = stop;
		if (!goes_on(encoder, position, &next_ask))
			return false;
	}
	splitter_end(composer, 0);
	return has_failed(encoder) ? fail(encoder) : true;
}
