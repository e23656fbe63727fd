/*
 * test_chunks.c: where texts are cut, by boundaries given as they are and by those found in texts
 * of one letter a token.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/arena.h"
#include "tokenizer/chunks.h"
#include "tokenizer/unicode.h"

#define MOST 64

typedef struct Text
{
	const char *utf8;
	const char *kinds; /* the boundary before each of its characters that is no white space */
} Text;

/* A letter is a token, and words are what stands between white space. */
static void
encode(const char *utf8, Encoding *encoding)
{
	static uint32_t starts[MOST], ends[MOST];
	static int32_t words[MOST];
	uint32_t position = 0;
	int32_t word = 0;

	*encoding = (Encoding){.starts = starts, .ends = ends, .words = words};
	for (size_t at = 0; utf8[at] != '\0'; position++)
	{
		uint32_t c;

		at += (size_t) utf8_decode((const unsigned char *) utf8 + at, &c);
		if ((unicode_record(c).bits & UNICODE_SPACE) != 0 || c == '\n')
		{
			word++;
			continue;
		}
		if ((unicode_record(c).bits & (UNICODE_CHINESE | UNICODE_PUNCTUATION)) != 0)
			word++;
		starts[encoding->n] = position;
		ends[encoding->n] = position + 1;
		words[encoding->n++] = word;
		if ((unicode_record(c).bits & (UNICODE_CHINESE | UNICODE_PUNCTUATION)) != 0)
			word++;
	}
}

static void
test_boundaries(void **state)
{
	/* p: paragraph, s: sentence, l: line, w: word, j: joint, t: token, 0: inside a character */
	static const Text texts[] = {
		{"ab c", "ptw"},
		{"a. B", "pjs"},
		{"a. b", "pjw"},
		{"a.B", "pjj"},
		{"a.\" B", "pjjs"},
		{"a\nb", "pl"},
		{"a\n \nb", "pp"},
		{"a\r\n\r\nb", "pp"},
		{"a\u2029b", "pp"},
		{"a!? \n B", "pjjs"},
		{"\u6771\u4eac\u3002\u6771", "pwjs"},
		{"\u6771\u3002\u300d\u6771", "pjjs"},
		{"e\u0301f", "p0t"},
		{"\U0001F469\u200D\U0001F467x", "p00t"},
		{"  a", "p"},
	};
	static const char letters[] = "0tjwlsp";

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
	{
		EncodeInput input = {.text = texts[i].utf8, .length = strlen(texts[i].utf8)};
		Arena *arena = arena_create(&allocator_malloc, 0);
		Encoding encoding;
		Boundaries found;
		Status status;
		char got[MOST + 1] = "";

		encode(texts[i].utf8, &encoding);
		assert_true(chunk_boundaries(arena, &input, &encoding, &found, &status));
		for (size_t t = 0; t < encoding.n; t++)
			got[t] = letters[found.kinds[t]];
		assert_string_equal(got, texts[i].kinds);
		assert_int_equal(found.kinds[encoding.n], BOUNDARY_PARAGRAPH);
		arena_destroy(arena);
	}
	(void) state;
}

/* "first-end first-end ..." of the chunks that boundaries (as above) give. */
static const char *
chunks(const char *kinds, size_t max_tokens, size_t overlap)
{
	static char text[512];
	static const char letters[] = "0tjwlsp";
	uint8_t boundaries[MOST + 1];
	ChunkCursor cursor = {.kinds = boundaries, .n = strlen(kinds), .overlap = overlap};

	text[0] = '\0';
	for (size_t i = 0; i < cursor.n; i++)
		boundaries[i] = (uint8_t) (strchr(letters, kinds[i]) - letters);
	boundaries[cursor.n] = BOUNDARY_PARAGRAPH;
	while (chunk_begin(&cursor))
	{
		chunk_end(&cursor, max_tokens);
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s%zu-%zu",
				 text[0] == '\0' ? "" : " ", cursor.first, cursor.end);
		assert_true(cursor.end > cursor.before && cursor.end <= cursor.first + max_tokens);
	}
	return text;
}

static void
test_cuts(void **state)
{
	assert_string_equal(chunks("", 4, 0), "");
	assert_string_equal(chunks("pwww", 4, 0), "0-4");
	assert_string_equal(chunks("pwwwwwww", 4, 0), "0-4 4-8");
	/* a paragraph before a sentence before a word, wherever it is */
	assert_string_equal(chunks("pwwpwswww", 8, 0), "0-3 3-9");
	assert_string_equal(chunks("pwwwwswww", 8, 0), "0-5 5-9");
	assert_string_equal(chunks("pwwlwtwtt", 8, 0), "0-3 3-9");
	/* but not where less than a quarter is new */
	assert_string_equal(chunks("pwpwwwwwwww", 8, 0), "0-8 8-11");
	/* words are whole, unless one is too long */
	assert_string_equal(chunks("pttwttttttttw", 4, 0), "0-3 3-7 7-11 11-13");
	assert_string_equal(chunks("pttwjwtttw", 5, 0), "0-5 5-10");
	/* characters too */
	assert_string_equal(chunks("p0t000t0t", 4, 0), "0-2 2-6 6-9");
	assert_string_equal(chunks("p0000000", 4, 0), "0-4 4-8");
	/* neighbours share what begins with a sentence, else with a word */
	assert_string_equal(chunks("pwwwwwwwwwww", 6, 2), "0-6 4-10 8-12");
	assert_string_equal(chunks("pwwswwwwwwww", 6, 4), "0-3 1-7 3-9 5-11 7-12");
	assert_string_equal(chunks("pwwwwttttttt", 6, 2), "0-4 2-8 8-12");
	(void) state;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_boundaries),
									   cmocka_unit_test(test_cuts)};

	return cmocka_run_group_tests_name("chunks", tests, NULL, NULL);
}
