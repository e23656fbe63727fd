/* What masking hides, in what proportions, and that it is a function of seed, stream and position;
 * sentence pairs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "near.h"
#include "nn/loss.h"
#include "train/masking.h"
#include "train/sentences.h"

#define N 200000
#define VOCAB 1000
#define MASK 4

static bool
special(const void *context, int32_t id)
{
	return id < 5;
}

static bool
continuation(const void *context, int32_t id)
{
	return id >= 500;
}

static int32_t original[N];
static int32_t masked[N];
static int64_t labels[N];

static MaskingOptions
options(bool whole_words)
{
	MaskingOptions result = {.probability = 0.15,
							 .whole_words = whole_words,
							 .mask_id = MASK,
							 .vocab_size = VOCAB,
							 .is_special = special,
							 .is_continuation = continuation};

	return result;
}

static void
fill(void)
{
	for (int i = 0; i < N; i++)
		original[i] = i % 17 == 0 ? i % 5 : 5 + (i * 7919) % (VOCAB - 5);
	memcpy(masked, original, sizeof masked);
}

static void
check_share(const char *what, double found, double expected, double n)
{
	if (!is_near(found, expected, 5 * sqrt(expected * (1 - expected) / n)))
		fail_msg("%s: %g instead of %g", what, found, expected);
}

static void
test_shares(void **state)
{
	MaskingOptions tokens = options(false);
	size_t chosen;
	size_t hidden = 0;
	size_t kept = 0;
	size_t candidates = 0;

	fill();
	chosen = masking_apply(&tokens, 42, 3, 0, &(MaskedText){masked, N, NULL, NULL}, labels);
	for (int i = 0; i < N; i++)
	{
		candidates += !special(NULL, original[i]);
		if (labels[i] == LABEL_IGNORED)
		{
			assert_int_equal(masked[i], original[i]);
			continue;
		}
		assert_int_equal(labels[i], original[i]);
		assert_false(special(NULL, original[i]));
		hidden += masked[i] == MASK;
		kept += masked[i] == original[i];
		if (masked[i] != MASK)
			assert_false(special(NULL, masked[i]));
	}
	check_share("chosen", (double) chosen / (double) candidates, 0.15, (double) candidates);
	check_share("[MASK]", (double) hidden / (double) chosen, 0.8, (double) chosen);
	check_share("kept", (double) kept / (double) chosen, 0.1 + 0.1 / (VOCAB - 5), (double) chosen);
}

static void
test_reproducible(void **state)
{
	static int32_t again[N];
	static int64_t labels_again[N];
	MaskingOptions tokens = options(false);
	size_t different = 0;

	fill();
	memcpy(again, original, sizeof again);
	masking_apply(&tokens, 42, 3, 0, &(MaskedText){masked, N, NULL, NULL}, labels);
	/* in two parts it is the same */
	masking_apply(&tokens, 42, 3, 0, &(MaskedText){again, 1000, NULL, NULL}, labels_again);
	masking_apply(&tokens, 42, 3, 1000, &(MaskedText){again + 1000, N - 1000, NULL, NULL},
				  labels_again + 1000);
	assert_memory_equal(masked, again, sizeof masked);
	assert_memory_equal(labels, labels_again, sizeof labels);
	for (uint64_t stream = 4; stream < 6; stream++)
	{
		memcpy(again, original, sizeof again);
		masking_apply(&tokens, stream == 4 ? 42 : 43, stream == 4 ? 4 : 3, 0,
					  &(MaskedText){again, N, NULL, NULL}, labels_again);
		for (int i = 0; i < N; i++)
			different += (labels[i] == LABEL_IGNORED) != (labels_again[i] == LABEL_IGNORED);
		assert_true(different > N / 10);
	}
}

static void
test_whole_words(void **state)
{
	MaskingOptions words = options(true);
	size_t continued = 0;
	size_t n_words = 0;
	size_t chosen_words = 0;

	fill();
	masking_apply(&words, 7, 1, 0, &(MaskedText){masked, N, NULL, NULL}, labels);
	for (int i = 1; i < N; i++)
	{
		bool continues = continuation(NULL, original[i]) && !special(NULL, original[i - 1]);

		if (special(NULL, original[i]))
			continue;
		/* the reference replaces nothing but by [MASK] */
		assert_int_equal(masked[i], labels[i] == LABEL_IGNORED ? original[i] : MASK);
		if (continues)
		{
			assert_int_equal(labels[i] == LABEL_IGNORED, labels[i - 1] == LABEL_IGNORED);
			continued++;
		}
		else
		{
			n_words++;
			chosen_words += labels[i] != LABEL_IGNORED;
		}
	}
	assert_true(continued > N / 4);
	check_share("words", (double) chosen_words / (double) n_words, 0.15, (double) n_words);
}

/*
 * Where tokens lie decides over what a word is: what no gap parts is one word, a full stop too; a
 * special token ends it.
 */
static void
test_words_by_place(void **state)
{
	enum
	{
		WORDS = 20000,
		TOKENS = 3 * WORDS
	};
	static uint32_t starts[TOKENS];
	static uint32_t ends[TOKENS];
	MaskingOptions words = options(true);
	MaskedText text = {masked, TOKENS, starts, ends};
	size_t chosen = 0;

	for (uint32_t w = 0; w < WORDS; w++)
		for (uint32_t part = 0; part < 3; part++)
		{
			/* "film", "##s" or "'", "." at characters 10 w, +4, +5, no piece marked as one */
			original[3 * w + part] = 5 + (int32_t) (w + part) % 490;
			starts[3 * w + part] = 10 * w + (part == 0 ? 0 : 3 + part);
			ends[3 * w + part] = 10 * w + 4 + part;
		}
	original[3] = 2; /* [CLS] within the second word: what follows begins another one */
	memcpy(masked, original, sizeof masked);
	masking_apply(&words, 7, 1, 0, &text, labels);
	for (uint32_t w = 0; w < WORDS; w++)
	{
		bool first = labels[3 * w] != LABEL_IGNORED;

		chosen += first;
		if (w == 1)
			assert_false(first);
		else
			assert_int_equal(labels[3 * w + 1] != LABEL_IGNORED, first);
		assert_int_equal(labels[3 * w + 2] != LABEL_IGNORED, labels[3 * w + 1] != LABEL_IGNORED);
	}
	check_share("words", (double) chosen / WORDS, 0.15, WORDS);
}

/*
 * Ten thousand texts of twelve words of one to three pieces: words are chosen with the probability,
 * one as another, and none because of its neighbour. How many of a text are follows the binomial
 * distribution (chi-squared of the numbers 0 .. 5 and more, 6 degrees of freedom, at 99.9 %).
 */
static void
test_words_of_texts(void **state)
{
	enum
	{
		TEXTS = 10000,
		WORDS = 12,
		NUMBERS = 7
	};
	/* of Binomial(12, 0.15): 0, 1 .. 5 words, and more */
	static const double expected[NUMBERS] = {0.142242, 0.301218, 0.292358, 0.171976,
											 0.068284, 0.019280, 0.004642};
	MaskingOptions words = options(true);
	size_t found[NUMBERS] = {0};
	size_t by_place[WORDS] = {0};
	size_t neighbours = 0;
	double chi = 0;

	for (uint64_t t = 0; t < TEXTS; t++)
	{
		int32_t ids[3 * WORDS];
		uint32_t starts[3 * WORDS];
		uint32_t ends[3 * WORDS];
		size_t first[WORDS + 1] = {0};
		size_t number = 0;

		for (size_t w = 0; w < WORDS; w++)
		{
			first[w + 1] = first[w] + 1 + (w + t) % 3;
			for (size_t i = first[w]; i < first[w + 1]; i++)
			{
				ids[i] = 5 + (int32_t) (t + i) % 400;
				starts[i] = (uint32_t) (10 * w + 2 * (i - first[w]));
				ends[i] = starts[i] + 2;
			}
		}
		masking_apply(&words, 42, t, 0, &(MaskedText){ids, first[WORDS], starts, ends}, labels);
		for (size_t w = 0; w < WORDS; w++)
		{
			bool chosen = labels[first[w]] != LABEL_IGNORED;

			for (size_t i = first[w]; i < first[w + 1]; i++)
			{
				assert_int_equal(labels[i] != LABEL_IGNORED, chosen);
				assert_int_equal(ids[i] == MASK, chosen);
			}
			number += chosen;
			by_place[w] += chosen;
			neighbours += chosen && w > 0 && labels[first[w - 1]] != LABEL_IGNORED;
		}
		found[number < NUMBERS ? number : NUMBERS - 1]++;
	}
	for (size_t k = 0; k < NUMBERS; k++)
		chi += pow((double) found[k] - expected[k] * TEXTS, 2) / (expected[k] * TEXTS);
	assert_true(chi < 22.46);
	for (size_t w = 0; w < WORDS; w++)
		check_share("words at a place", (double) by_place[w] / TEXTS, 0.15, TEXTS);
	check_share("neighbours", (double) neighbours / (TEXTS * (WORDS - 1)), 0.15 * 0.15,
				TEXTS * (WORDS - 1));
}

static void
test_pairs(void **state)
{
	enum
	{
		DOCUMENTS = 200,
		SENTENCES = 13
	};
	static size_t starts[DOCUMENTS + 1];
	static uint32_t lengths[DOCUMENTS * SENTENCES];
	static int covered[DOCUMENTS * SENTENCES];
	Documents documents = {.n_documents = DOCUMENTS, .starts = starts, .lengths = lengths};
	Arena *arena = arena_create(&allocator_malloc, 0);
	SentencePair *pairs;
	SentencePair *again;
	size_t n;
	size_t n_again;
	size_t random = 0;
	Status status;

	for (size_t d = 0; d < DOCUMENTS; d++)
		starts[d + 1] = starts[d] + 1 + d * 7 % SENTENCES;
	for (size_t i = 0; i < starts[DOCUMENTS]; i++)
		lengths[i] = 3 + (uint32_t) (i * 31 % 20);
	assert_true(sentence_pairs_make(arena, &documents, 60, 5, &pairs, &n, &status));
	for (size_t i = 0; i < n; i++)
	{
		assert_true(pairs[i].a.count > 0 && pairs[i].b.count > 0);
		assert_true(pairs[i].a.first + pairs[i].a.count <=
					starts[pairs[i].a.document + 1] - starts[pairs[i].a.document]);
		assert_true(pairs[i].b.first + pairs[i].b.count <=
					starts[pairs[i].b.document + 1] - starts[pairs[i].b.document]);
		for (size_t s = 0; s < pairs[i].a.count; s++)
			covered[starts[pairs[i].a.document] + pairs[i].a.first + s]++;
		random += pairs[i].random;
		if (pairs[i].random)
			assert_int_not_equal(pairs[i].a.document, pairs[i].b.document);
		else
		{
			assert_int_equal(pairs[i].a.document, pairs[i].b.document);
			assert_int_equal(pairs[i].b.first, pairs[i].a.first + pairs[i].a.count);
			for (size_t s = 0; s < pairs[i].b.count; s++)
				covered[starts[pairs[i].b.document] + pairs[i].b.first + s]++;
		}
	}
	/*
	 * every sentence is used once as part of its own document, half of the pairs are random or a
	 * little more
	 */
	for (size_t i = 0; i < starts[DOCUMENTS]; i++)
		assert_true(covered[i] == 1);
	assert_true(random > n * 4 / 10 && random < n * 8 / 10);
	assert_true(sentence_pairs_make(arena, &documents, 60, 5, &again, &n_again, &status));
	assert_int_equal(n, n_again);
	assert_memory_equal(pairs, again, n * sizeof *pairs);
	arena_destroy(arena);
}

static void
test_sentences(void **state)
{
	static const struct
	{
		const char *text;
		const char *sentences[5];
	} cases[] = {
		{"", {NULL}},
		{" \n\t ", {NULL}},
		{"one", {"one"}},
		{" One. Two!  Three? ", {"One.", "Two!", "Three?"}},
		{"It costs 3.50 e.g. here. Well... 4 more.",
		 {"It costs 3.50 e.g. here.", "Well...", "4 more."}},
		{"\"Yes.\" (No!) She said \"no.\" again", {"\"Yes.\"", "(No!)", "She said \"no.\" again"}},
		{"“Так.” Да!\r\nИ", {"“Так.”", "Да!", "И"}},
		{"A line\nwithout marks  \n\n\nand more", {"A line", "without marks", "and more"}},
		{"一つ目。二つ目です！三つ", {"一つ目。", "二つ目です！", "三つ"}},
		{"...", {"..."}},
		{"a.B", {"a.B"}},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		const char *text = cases[i].text;
		SentenceBytes sentence = {0, 0};
		int n = 0;

		for (;;)
		{
			bool found;

			assert_true(sentence_next(text, strlen(text), &sentence, &found, NULL, NULL));
			if (!found)
				break;
			assert_non_null(cases[i].sentences[n]);
			assert_int_equal(strlen(cases[i].sentences[n]), sentence.to - sentence.from);
			assert_memory_equal(cases[i].sentences[n], text + sentence.from,
								sentence.to - sentence.from);
			n++;
		}
		assert_null(cases[i].sentences[n]);
	}
}

/* Marks that end no sentence are looked at once, and a stop is an answer. */
static bool
say_no(void *context)
{
	(void) context;
	return false;
}

static void
test_sentence_of_marks(void **state)
{
	size_t length = 4 << 20;
	char *text = malloc(length);
	SentenceBytes sentence = {0, 0};
	const MayContinue no = {say_no, NULL};
	Status status;
	bool found;

	(void) state;
	memset(text, '.', length);
	text[length - 1] = 'a';
	assert_true(sentence_next(text, length, &sentence, &found, NULL, NULL));
	assert_true(found);
	assert_int_equal(sentence.to, length);
	sentence.to = 0;
	assert_false(sentence_next(text, length, &sentence, &found, &no, &status));
	assert_int_equal(status.code, STATUS_CANCELLED);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shares),         cmocka_unit_test(test_reproducible),
		cmocka_unit_test(test_whole_words),    cmocka_unit_test(test_words_of_texts),
		cmocka_unit_test(test_words_by_place), cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_sentences),      cmocka_unit_test(test_sentence_of_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
