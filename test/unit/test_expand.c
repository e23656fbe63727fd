/*
 * test_expand.c: compressed values taken apart: streams made by hand, damaged ones, and how often a
 * long one asks. test/t/detoast compares with what the server compresses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/expand.h"

/* Expands into exactly `out_bytes`, from memory of exactly `in_bytes`, for the sanitizers. */
static bool
expand(Expand expander, const char *in, size_t in_bytes, char *out, size_t out_bytes)
{
	char *copy = malloc(in_bytes + 1);
	char *made = malloc(out_bytes + 1);
	Status status = {0};
	bool ok;

	assert_true(copy != NULL && made != NULL);
	memcpy(copy + 1, in, in_bytes);
	ok = expander(copy + 1, in_bytes, made + 1, out_bytes, NULL, &status);
	assert_int_equal(status.code, ok ? STATUS_NONE : STATUS_INVALID_DATA);
	memcpy(out, made + 1, out_bytes);
	free(copy);
	free(made);
	return ok;
}

typedef struct Stream
{
	const char *in;
	size_t in_bytes;
	const char *out;
} Stream;

typedef struct Damaged
{
	const char *in;
	size_t in_bytes;
	size_t out_bytes;
} Damaged;

static void
check_streams(Expand expander, const Stream *cases, size_t n)
{
	char out[64];

	for (size_t i = 0; i < n; i++)
	{
		size_t length = strlen(cases[i].out);

		assert_true(expand(expander, cases[i].in, cases[i].in_bytes, out, length));
		assert_memory_equal(out, cases[i].out, length);
	}
}

static void
check_damaged(Expand expander, const Damaged *cases, size_t n)
{
	char out[64];

	for (size_t i = 0; i < n; i++)
		assert_false(expand(expander, cases[i].in, cases[i].in_bytes, out, cases[i].out_bytes));
}

static void
test_pglz(void **state)
{
	/* flags, items; 0x1N 0xMM: N + 3 bytes from 0x1MM back */
	static const Stream cases[] = {
		{"", 0, ""},
		{"\x00"
		 "abc",
		 4, "abc"},
		{"\x00"
		 "abcdefgh"
		 "\x00"
		 "i",
		 11, "abcdefghi"},
		{"\x02"
		 "a\x00\x01"
		 "b",
		 5, "aaaab"},
		{"\x04"
		 "ab\x03\x02",
		 5, "abababab"},
		{"\x08"
		 "abc\x01\x03"
		 "d",
		 7, "abcabcad"},
		/* 18 + 2 */
		{"\x02"
		 "a\x0f\x01\x02",
		 5, "aaaaaaaaaaaaaaaaaaaaa"},
		/* the last one says more than there is left */
		{"\x04"
		 "ab\x0c\x02",
		 5, "abababa"},
	};

	(void) state;
	check_streams(expand_pglz, cases, sizeof cases / sizeof cases[0]);
}

static void
test_pglz_damaged(void **state)
{
	static const Damaged cases[] = {
		{"", 0, 1},               /* too little */
		{"\x00", 1, 1},           /* */
		{"\x00zz", 3, 3},         /* */
		{"\x00zz", 3, 1},         /* too much */
		{"\x00zz", 3, 0},         /* */
		{"\x01\x00\x01", 3, 3},   /* before the beginning */
		{"\x02z\x00\x02", 4, 4},  /* */
		{"\x02z\xf0\xff", 4, 4},  /* */
		{"\x02z\x00\x00", 4, 4},  /* what is not there yet */
		{"\x02z\x00", 3, 4},      /* ends within a repetition */
		{"\x02z\x0f\x01", 4, 20}, /* within its length */
		{"\x02z", 2, 4},          /* before it */
	};

	(void) state;
	check_damaged(expand_pglz, cases, sizeof cases / sizeof cases[0]);
}

static size_t asked;
static size_t last;

static bool
ask(void *context)
{
	(void) context;
	return ++asked != last;
}

/* 16 MB of which each repetition is 273 bytes from 4,095 back, and the same of single bytes. */
static void
test_pglz_questions(void **state)
{
	const size_t out_bytes = 16 * 1024 * 1024;
	const MayContinue question = {ask, NULL};
	unsigned char *in = malloc(out_bytes / 8 * 9 + 9);
	unsigned char *out = malloc(out_bytes);
	Status status = {0};
	size_t n = 0;
	size_t made = 0;

	(void) state;
	assert_true(in != NULL && out != NULL);
	while (made < 4096)
	{
		in[n++] = 0;
		for (int i = 0; i < 8; i++)
			in[n++] = (unsigned char) (made++ * 7 / 5);
	}
	while (made < out_bytes)
	{
		in[n++] = 0xff;
		for (int i = 0; i < 8 && made < out_bytes; i++, made += 273, n += 3)
			memcpy(in + n, "\xff\xff\xff", 3);
	}
	assert_true(expand_pglz(in, n, out, out_bytes, &question, &status));
	assert_in_range(asked, 15, 17);
	for (size_t i = 4096; i < out_bytes; i++)
		assert_true(out[i] == out[i - 4095]);
	last = asked + 7;
	assert_false(expand_pglz(in, n, out, out_bytes, &question, &status));
	assert_int_equal(status.code, STATUS_CANCELLED);
	assert_int_equal(asked, last);
	free(in);
	free(out);
}

static void
test_lz4(void **state)
{
	/* a token, bytes as they are, how far back (the lower byte first) */
	static const Stream cases[] = {
		{"\x00", 1, ""},
		{"\x30"
		 "abc",
		 4, "abc"},
		{"\xf0\x02"
		 "abcdefghijklmnopq",
		 19, "abcdefghijklmnopq"},
		{"\x10"
		 "a\x01\x00\x10"
		 "b",
		 6, "aaaaab"},
		{"\x22"
		 "ab\x02\x00\x00",
		 6, "abababab"},
		{"\x1f"
		 "a\x01\x00\x03\x00",
		 6, "aaaaaaaaaaaaaaaaaaaaaaa"},
	};

	(void) state;
	check_streams(expand_lz4, cases, sizeof cases / sizeof cases[0]);
}

static void
test_lz4_damaged(void **state)
{
	static const Damaged cases[] = {
		{"", 0, 1},                   /* too little */
		{"\x20zz", 3, 3},             /* */
		{"\x20zz", 3, 1},             /* too much */
		{"\x10z\x01\x00\x00", 5, 4},  /* */
		{"\x30zz", 3, 3},             /* ends within bytes as they are */
		{"\xf0", 1, 3},               /* within their number */
		{"\xf0\xff", 2, 3},           /* */
		{"\x10z\x01", 3, 5},          /* within how far back */
		{"\x1fz\x01\x00\xff", 5, 64}, /* within the length */
		{"\x10z\x02\x00\x00", 5, 5},  /* before the beginning */
		{"\x10z\x00\x00\x00", 5, 5},  /* what is not there yet */
	};

	(void) state;
	check_damaged(expand_lz4, cases, sizeof cases / sizeof cases[0]);
}

/* One repetition of 64 MB. */
static void
test_lz4_questions(void **state)
{
	const size_t out_bytes = 64 * 1024 * 1024;
	const size_t n = (out_bytes - 1 - 19) / 255;
	const MayContinue question = {ask, NULL};
	unsigned char *in = malloc(n + 8);
	unsigned char *out = malloc(out_bytes);
	Status status = {0};

	(void) state;
	assert_true(in != NULL && out != NULL);
	memcpy(in, "\x1fz\x01\x00", 4);
	memset(in + 4, 255, n);
	in[4 + n] = (unsigned char) ((out_bytes - 1 - 19) % 255);
	in[5 + n] = 0;
	asked = last = 0;
	assert_true(expand_lz4(in, n + 6, out, out_bytes, &question, &status));
	assert_in_range(asked, 63, 65);
	assert_true(out[0] == 'z' && memcmp(out, out + 1, out_bytes - 1) == 0);
	last = asked + 7;
	assert_false(expand_lz4(in, n + 6, out, out_bytes, &question, &status));
	assert_int_equal(status.code, STATUS_CANCELLED);
	assert_int_equal(asked, last);
	free(in);
	free(out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pglz),           cmocka_unit_test(test_pglz_damaged),
		cmocka_unit_test(test_pglz_questions), cmocka_unit_test(test_lz4),
		cmocka_unit_test(test_lz4_damaged),    cmocka_unit_test(test_lz4_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
