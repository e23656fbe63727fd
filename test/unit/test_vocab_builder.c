/* test_vocab_builder.c: vocabularies that can be worked out by hand, bounds, cancelling, lack of
 * memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tokenizer/vocab_builder.h"

static char *
build(Arena *arena, const VocabBuilderOptions *options, const char *const *texts, size_t n)
{
	Status status = {0};
	VocabBuilder *builder = vocab_builder_create(arena, options, &status);
	char *vocab;
	size_t length;

	assert_non_null(builder);
	for (size_t i = 0; i < n; i++)
		assert_true(vocab_builder_add_text(builder, texts[i], strlen(texts[i]), NULL, &status));
	assert_true(vocab_builder_finish(builder, NULL, &vocab, &length, &status));
	assert_int_equal(strlen(vocab), length);
	return vocab;
}

/*
 * The counts of the example of Sennrich, Haddow and Birch, "Neural machine translation of rare
 * words with subword units".
 */
static const char *const low_texts[] = {
	"low low low low low",
	"lower lower",
	"newest newest newest newest newest newest",
	"widest widest widest",
};

static void
test_merges_by_hand(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	VocabBuilderOptions options = vocab_builder_defaults(33, true);

	(void) state;
	/*
	 * ##e ##s and ##s ##t occur 9 times: e before s. Then ##es ##t; of 7 times: l ##o before ##o
	 * ##w; of 6: n ##e before ##w ##est.
	 */
	assert_string_equal(build(arena, &options, low_texts, 4),
						"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nd\ne\ni\nl\nn\no\nr\ns\nt\nw\n"
						"##d\n##e\n##i\n##o\n##r\n##s\n##t\n##w\n##es\n##est\nlo\nlow\nne\n##"
						"west\nnewest\nwi\n##dest\nwidest\n");
	arena_destroy(arena);
}

static void
test_minimum_frequency(void **state)
{
	static const char *const texts[] = {"ab ab cd"};
	Arena *arena = arena_create(&allocator_malloc, 0);
	VocabBuilderOptions options = vocab_builder_defaults(1000, true);

	(void) state;
	assert_string_equal(build(arena, &options, texts, 1),
						"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\n##b\n##d\nab\n");
	options.min_frequency = 1;
	assert_string_equal(build(arena, &options, texts, 1),
						"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\n##b\n##d\nab\ncd\n");
	arena_destroy(arena);
}

static void
test_words_as_the_tokenizer_makes_them(void **state)
{
	static const char *const texts[] = {"A\xc3\x89! a\xc3\xa9!\xe4\xba\xba\xe4\xba\xba"};
	Arena *arena = arena_create(&allocator_malloc, 0);
	VocabBuilderOptions options = vocab_builder_defaults(100, true);

	(void) state;
	assert_string_equal(build(arena, &options, texts, 1),
						"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n!\na\ne\n\xe4\xba\xba\n##e\nae\n");
	options.lowercase = false;
	assert_string_equal(build(arena, &options, texts, 1),
						"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n!"
						"\nA\na\n\xc3\x89\n\xc3\xa9\n\xe4\xba\xba\n##\xc3\x89\n##\xc3\xa9\n");
	arena_destroy(arena);
}

static void
test_repeated_letters(void **state)
{
	static const char *const texts[] = {"aaaaa aaaaa"};
	Arena *arena = arena_create(&allocator_malloc, 0);
	VocabBuilderOptions options = vocab_builder_defaults(100, true);

	(void) state;
	/* a ##a ##a ##a ##a: ##a ##a occurs 6 times; then a ##aa comes before ##aa ##aa. */
	assert_string_equal(build(arena, &options, texts, 1),
						"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##a\n##aa\naaa\naaaaa\n");
	arena_destroy(arena);
}

static void
test_limited_alphabet(void **state)
{
	static const char *const texts[] = {"aaa aab bbc cd e"};
	Arena *arena = arena_create(&allocator_malloc, 0);
	VocabBuilderOptions options = vocab_builder_defaults(100, true);

	(void) state;
	/* a 5, b 3, c 2, d and e 1: of the rarest the first is kept. */
	options.limit_alphabet = 4;
	options.min_frequency = 100;
	assert_string_equal(build(arena, &options, texts, 1),
						"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\n##a\n##b\n##c\n##d\n");
	arena_destroy(arena);
}

static void
test_nothing(void **state)
{
	static const char *const texts[] = {"", " \n"};
	Arena *arena = arena_create(&allocator_malloc, 0);
	VocabBuilderOptions options = vocab_builder_defaults(100, true);

	(void) state;
	assert_string_equal(build(arena, &options, texts, 2), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
	arena_destroy(arena);
}

static void
test_refusals(void **state)
{
	static const int sizes[] = {-1, 0, 4, 2000001};
	Arena *arena = arena_create(&allocator_malloc, 0);
	Status status = {0};
	VocabBuilderOptions options;
	VocabBuilder *builder;

	(void) state;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
	{
		options = vocab_builder_defaults(sizes[i], true);
		assert_null(vocab_builder_create(arena, &options, &status));
		assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
	}
	options = vocab_builder_defaults(100, true);
	builder = vocab_builder_create(arena, &options, &status);
	assert_false(vocab_builder_add_text(builder, "abc\xff", 4, NULL, &status));
	assert_int_equal(status.code, STATUS_INVALID_TEXT);
	arena_destroy(arena);
}

static bool
count_down(void *context)
{
	int *left = context;

	return --*left > 0;
}

/* Words that never come again do not fill the memory, and frequent ones survive them. */
static void
test_bounded_memory(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	VocabBuilderOptions options = vocab_builder_defaults(100, true);
	Status status = {0};
	VocabBuilder *builder;
	char *vocab;
	size_t length;
	size_t held = 0;

	(void) state;
	options.max_words = 1000;
	builder = vocab_builder_create(arena, &options, &status);
	for (int i = 0; i < 300000; i++)
	{
		char text[64];

		snprintf(text, sizeof text, "x%dy frequent", i);
		assert_true(vocab_builder_add_text(builder, text, strlen(text), NULL, &status));
		if (i == 10000)
			held = arena_held(arena);
	}
	assert_int_equal(arena_held(arena), held);
	assert_true(vocab_builder_finish(builder, NULL, &vocab, &length, &status));
	assert_non_null(strstr(vocab, "\nfrequent\n"));
	arena_destroy(arena);
}

static void
test_cancelling_and_memory(void **state)
{
	bool done = false;
	int refused = 0;
	int built = 0;

	(void) state;
	for (int patience = 1; !done; patience++)
	{
		Arena *arena = arena_create(&allocator_malloc, 0);
		VocabBuilderOptions options = vocab_builder_defaults(33, true);
		Status status = {0};
		VocabBuilder *builder = vocab_builder_create(arena, &options, &status);
		int left = patience;
		MayContinue question = {count_down, &left};
		char *vocab;
		size_t length;

		for (int i = 0; i < 4; i++)
			assert_true(
				vocab_builder_add_text(builder, low_texts[i], strlen(low_texts[i]), NULL, &status));
		done = vocab_builder_finish(builder, &question, &vocab, &length, &status);
		if (!done)
		{
			assert_int_equal(status.code, STATUS_CANCELLED);
			refused++;
		}
		arena_destroy(arena);
	}
	assert_true(refused > 5);
	refused = 0;
	for (size_t limit = 100000; limit < 30000000; limit *= 2)
	{
		Arena *arena = arena_create(&allocator_malloc, limit);
		VocabBuilderOptions options = vocab_builder_defaults(33, true);
		Status status = {0};
		VocabBuilder *builder = vocab_builder_create(arena, &options, &status);
		char *vocab;
		size_t length;

		if (builder == NULL || !vocab_builder_add_text(builder, "low low", 7, NULL, &status) ||
			!vocab_builder_finish(builder, NULL, &vocab, &length, &status))
		{
			assert_int_equal(status.code, STATUS_OUT_OF_MEMORY);
			refused++;
		}
		else
			built++;
		arena_destroy(arena);
	}
	assert_true(refused >= 1);
	assert_true(built >= 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merges_by_hand),
		cmocka_unit_test(test_minimum_frequency),
		cmocka_unit_test(test_words_as_the_tokenizer_makes_them),
		cmocka_unit_test(test_repeated_letters),
		cmocka_unit_test(test_limited_alphabet),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_bounded_memory),
		cmocka_unit_test(test_cancelling_and_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
