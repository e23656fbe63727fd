/*
 * test_logistic_head.c: SetFit's classifiers: what is read of the files that setfit wrote, what is
 * written is read again; files cut off at every byte, with every byte changed, and pickles that are
 * no such classifier or would do harm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "failing_allocator.h"

#include "files/logistic_head.h"

#define MAX_FILE 8192

static const char *const layouts[] = {
	"two",     "two-texts", "three",   "three-numbers",   "numbers", "double",
	"objects", "pooled",    "several", "several-outputs", "pickled", "dense",
};

#define N_LAYOUTS (sizeof layouts / sizeof layouts[0])

static size_t
load(const char *layout, unsigned char bytes[MAX_FILE])
{
	char path[128];
	size_t size;
	FILE *file;

	snprintf(path, sizeof path, "test/golden/setfit/layouts/%s/model_head.pkl", layout);
	file = fopen(path, "rb");
	assert_non_null(file);
	size = fread(bytes, 1, MAX_FILE, file);
	fclose(file);
	assert_in_range(size, 100, MAX_FILE - 1);
	return size;
}

static bool
read_head(Arena *arena, const void *bytes, size_t size, LogisticHead *head, Status *status)
{
	ByteSource file;

	*status = (Status){0};
	source_from_memory(&file, "model_head.pkl", bytes, size);
	return logistic_head_read(arena, &file, head, status);
}

static void
test_written_again(void **state)
{
	unsigned char bytes[MAX_FILE];

	(void) state;
	for (size_t i = 0; i < N_LAYOUTS; i++)
	{
		Arena *arena = arena_create(&allocator_malloc, 0);
		size_t size = load(layouts[i], bytes);
		const unsigned char *written;
		LogisticHead head;
		LogisticHead again;
		Status status;
		size_t length;
		size_t floats;

		if (!read_head(arena, bytes, size, &head, &status))
			fail_msg("%s: %s", layouts[i], status.message);
		assert_true(logistic_head_write(arena, &head, &written, &length, &status));
		if (!read_head(arena, written, length, &again, &status))
			fail_msg("%s, written: %s", layouts[i], status.message);
		floats = (size_t) head.n_labels * (size_t) head.n_features * sizeof(float);
		assert_int_equal(again.n_labels, head.n_labels);
		assert_int_equal(again.n_features, head.n_features);
		assert_int_equal(again.several, head.several);
		assert_true(again.numbered);
		assert_memory_equal(again.weight, head.weight, floats);
		assert_memory_equal(again.bias, head.bias, (size_t) head.n_labels * sizeof(float));
		arena_destroy(arena);
	}
}

/* Whatever is read or refused, memory is what the sanitizers look at, the status what we do. */
static void
try_bytes(Arena *arena, const char *what, const unsigned char *bytes, size_t size)
{
	unsigned char *exact = malloc(size + 1); /* of a size that a sanitizer guards */
	ArenaMark mark = arena_mark(arena);
	LogisticHead head;
	Status status;

	assert_non_null(exact);
	memcpy(exact, bytes, size);
	if (!read_head(arena, exact, size, &head, &status) && status.code != STATUS_INVALID_DATA &&
		status.code != STATUS_UNSUPPORTED && status.code != STATUS_LIMIT)
		fail_msg("%s: status %d: %s", what, status.code, status.message);
	arena_rewind(arena, mark);
	free(exact);
}

static void
test_damaged(void **state)
{
	static const unsigned char changes[] = {0x00, 0x01, 0x80, 0xFF};
	unsigned char bytes[MAX_FILE];
	Arena *arena = arena_create(&allocator_malloc, 0);

	(void) state;
	for (size_t i = 0; i < N_LAYOUTS; i++)
	{
		size_t size = load(layouts[i], bytes);

		for (size_t n = 0; n < size; n++)
		{
			unsigned char was = bytes[n];

			try_bytes(arena, layouts[i], bytes, n);
			for (size_t c = 0; c < sizeof changes; c++)
			{
				bytes[n] = was ^ changes[c];
				try_bytes(arena, layouts[i], bytes, size);
			}
			bytes[n] = was;
		}
	}
	arena_destroy(arena);
}

static void
test_no_memory(void **state)
{
	unsigned char bytes[MAX_FILE];

	(void) state;
	for (size_t i = 0; i < N_LAYOUTS; i++)
	{
		size_t size = load(layouts[i], bytes);
		bool failed = true;

		for (long n = 1; failed; n++)
		{
			Failing failing = {n, 0};
			Allocator allocator = failing_allocator(&failing);
			Arena *arena = arena_create(&allocator, 0);
			const unsigned char *written;
			LogisticHead head;
			Status status;
			size_t length;
			bool ok;

			assert_non_null(arena);
			ok = read_head(arena, bytes, size, &head, &status) &&
				 logistic_head_write(arena, &head, &written, &length, &status);
			failed = failing.until_failure < 0;
			if (ok == failed || (failed && status.code != STATUS_OUT_OF_MEMORY))
				fail_msg("%s: allocation %ld: status %d", layouts[i], n, status.code);
			arena_destroy(arena);
			assert_int_equal(failing.held, 0);
		}
	}
}

#define LOGISTIC "csklearn.linear_model._logistic\nLogisticRegression\n)\x81"
#define ARRAY "cnumpy.core.multiarray\n_reconstruct\n)R"
#define WRAPPER "cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81"
#define DTYPE(name) "cnumpy\ndtype\nX\x02\0\0\0" name "\x85R"
#define HUGE "J\xFF\xFF\xFF\x7F"

typedef struct HostileCase
{
	const char *name;
	StatusCode code;
	const char *fragment;
	const char *bytes;
	size_t size;
} HostileCase;

#define CASE(name, code, fragment, bytes)              \
	{                                                  \
		name, code, fragment, bytes, sizeof(bytes) - 1 \
	}

static const HostileCase hostile[] = {
	CASE("system", STATUS_UNSUPPORTED, "\"os.system\"",
		 "\x80\x02"
		 "cos\nsystem\nX\x02\0\0\0id\x85R."),
	CASE("joblib_load", STATUS_UNSUPPORTED, "\"joblib.load\"",
		 "\x80\x02"
		 "cjoblib\nload\n."),
	CASE("a_global", STATUS_UNSUPPORTED, "holds a name",
		 "\x80\x02"
		 "cnumpy\ndtype\n."),
	CASE("an_array", STATUS_UNSUPPORTED, "holds an object", "\x80\x02" ARRAY "."),
	CASE("unlearned", STATUS_UNSUPPORTED, "has not learned", "\x80\x02" LOGISTIC "."),
	CASE("empty_state", STATUS_UNSUPPORTED, "has not learned", "\x80\x02" LOGISTIC "}b."),
	CASE("state_none", STATUS_UNSUPPORTED, "a state that is none", "\x80\x02" LOGISTIC "Nb."),
	CASE("itself", STATUS_UNSUPPORTED, "has not learned",
		 "\x80\x02" LOGISTIC "q\0}(X\x05\0\0\0coef_h\0ub."),
	CASE("array_called", STATUS_UNSUPPORTED, "made in an unknown way",
		 "\x80\x02"
		 "cnumpy\nndarray\n)R."),
	CASE("array_huge", STATUS_UNSUPPORTED, "a size that is none",
		 "\x80\x03" ARRAY "(" HUGE HUGE "\x86" DTYPE("f4") "\x89"
														   "C\0tb."),
	CASE("array_of_three", STATUS_UNSUPPORTED, "more than 2 dimensions",
		 "\x80\x03" ARRAY "(K\1K\1K\1\x87" DTYPE("f4") "\x89"
													   "C\0tb."),
	CASE("array_short", STATUS_UNSUPPORTED, "not as many as its elements need",
		 "\x80\x03" ARRAY "(K\2\x85" DTYPE("f4") "\x89"
												 "C\4abcdtb."),
	CASE("array_twice", STATUS_UNSUPPORTED, "filled twice",
		 "\x80\x03" ARRAY "(K\1\x85" DTYPE("f4") "\x89"
												 "C\4abcdtb(tb."),
	CASE("dtype_unknown", STATUS_UNSUPPORTED, "a dtype that is not known",
		 "\x80\x02" DTYPE("x4") "."),
	CASE("dtype_zero", STATUS_UNSUPPORTED, "a dtype that is not known", "\x80\x02" DTYPE("f0") "."),
	CASE("wrapper_of_subclass", STATUS_UNSUPPORTED, "a class of its own",
		 "\x80\x02" WRAPPER "}X\x08\0\0\0subclassNsb."),
	CASE("bytes_of_no_latin", STATUS_UNSUPPORTED, "bytes that are no latin1",
		 "\x80\x02"
		 "c_codecs\nencode\nX\x03\0\0\0\xE2\x82\xACX\x06\0\0\0latin1\x86R."),
	CASE("bytes_half", STATUS_UNSUPPORTED, "bytes that are no latin1",
		 "\x80\x02"
		 "c_codecs\nencode\nX\x01\0\0\0\xC3X\x06\0\0\0latin1\x86R."),
	CASE("persistent", STATUS_INVALID_DATA, "something outside of it", "\x80\x02NQ."),
	CASE("nothing", STATUS_INVALID_DATA, "is cut off", ""),
};

static void
test_hostile(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);

	(void) state;
	for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
	{
		const HostileCase *c = &hostile[i];
		LogisticHead head;
		Status status;

		if (read_head(arena, c->bytes, c->size, &head, &status) || status.code != c->code ||
			strstr(status.message, c->fragment) == NULL)
			fail_msg("%s: status %d: %s", c->name, status.code, status.message);
	}
	arena_destroy(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written_again),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
