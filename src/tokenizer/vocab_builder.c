/* vocab_builder.c: counts words; the merges are in vocab_merges.c. */
#include "tokenizer/vocab_builder.h"

#include "files/config.h"
#include "tokenizer/encoder.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocab_merges.h"
#include "tokenizer/word_counts.h"

#define MAX_WORD_LENGTH 1000 /* characters */

struct VocabBuilder
{
	Arena *arena;
	VocabBuilderOptions options;
	WordCounts words;
	Normalizer normalizer; /* kept for its buffers */
	bool failed;
	unsigned char word[MAX_WORD_LENGTH * 4];
	size_t word_bytes;
	size_t word_chars;
};

VocabBuilderOptions
vocab_builder_defaults(int size, bool lowercase)
{
	VocabBuilderOptions options = {.size = size,
								   .min_frequency = 2,
								   .limit_alphabet = 1000,
								   .lowercase = lowercase,
								   .max_words = 4000000};

	return options;
}

static void
end_word(VocabBuilder *builder)
{
	if (builder->word_chars > 0 && builder->word_chars <= MAX_WORD_LENGTH && !builder->failed &&
		!word_counts_add(&builder->words, builder->word, builder->word_bytes))
		builder->failed = true;
	builder->word_bytes = 0;
	builder->word_chars = 0;
}

static void
take_character(void *context, uint32_t c, uint8_t bits, uint32_t origin)
{
	VocabBuilder *builder = context;

	(void) origin;
	if ((bits & (UNICODE_SPACE | UNICODE_PUNCTUATION)) != 0)
		end_word(builder);
	if ((bits & UNICODE_SPACE) != 0)
		return;
	if (++builder->word_chars <= MAX_WORD_LENGTH)
		builder->word_bytes += (size_t) utf8_encode(c, builder->word + builder->word_bytes);
	if ((bits & UNICODE_PUNCTUATION) != 0)
		end_word(builder);
}

VocabBuilder *
vocab_builder_create(Arena *arena, const VocabBuilderOptions *options, Status *status)
{
	VocabBuilder *builder;

	if (options->size < VOCAB_SPECIAL_TOKENS || options->size > CONFIG_MAX_VOCAB)
	{
		status_fail(status, STATUS_INVALID_ARGUMENT, "vocabulary size %d is not between %d and %d",
					options->size, VOCAB_SPECIAL_TOKENS, CONFIG_MAX_VOCAB);
		return NULL;
	}
	if (options->min_frequency < 0 || options->limit_alphabet < 1 || options->max_words < 2 ||
		options->max_words > UINT32_MAX / 4)
	{
		status_fail(status, STATUS_INVALID_ARGUMENT, "options of the vocabulary are out of range");
		return NULL;
	}
	builder = arena_alloc_zero(arena, sizeof *builder);
	if (builder == NULL || !word_counts_init(&builder->words, arena, options->max_words))
	{
		arena_fail(arena, status, "a vocabulary builder", sizeof *builder);
		return NULL;
	}
	builder->arena = arena;
	builder->options = *options;
	normalizer_init(&builder->normalizer,
					NORMALIZE_CLEAN | NORMALIZE_CHINESE |
						(options->lowercase ? NORMALIZE_LOWERCASE | NORMALIZE_ACCENTS : 0),
					arena, take_character, builder);
	return builder;
}

bool
vocab_builder_add_text(VocabBuilder *builder, const char *text, size_t length,
					   const MayContinue *question, Status *status)
{
	const unsigned char *bytes = (const unsigned char *) text;
	size_t next_ask = ASK_BYTES;
	Normalizer *normalizer = &builder->normalizer;

	if (!text_check(text, length, question, status))
		return false;
	normalizer->question = question;
	normalizer->status = status;
	builder->words.status = status;
	normalizer_reset(normalizer);
	builder->word_bytes = 0;
	builder->word_chars = 0;
	for (size_t position = 0;
		 position < length && !builder->failed && !normalizer->failed && !normalizer->stopped;)
	{
		uint32_t c;

		position += (size_t) utf8_decode(bytes + position, &c);
		normalizer_push(normalizer, c, 0);
		if (position >= next_ask)
		{
			if (!may_continue(question, status))
				return false;
			next_ask = position + ASK_BYTES;
		}
	}
	normalizer_finish(normalizer);
	end_word(builder);
	if (builder->words.stopped || normalizer->stopped)
		return false;
	if (builder->failed || normalizer->failed)
		return arena_fail(builder->arena, status, "the words of a vocabulary", 0);
	return true;
}

bool
vocab_builder_finish(VocabBuilder *builder, const MayContinue *question, char **vocab,
					 size_t *length, Status *status)
{
	return vocab_merges_run(builder->arena, &builder->options, &builder->words, question, vocab,
							length, status);
}
