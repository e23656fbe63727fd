/*
 * test_torch_bombs.c: small weight files that ask for much memory or time; each is refused, or read
 * without harm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "torch_hostile.h"

/* A list of a thousand values, and an OrderedDict of it again and again. */
static void
bomb_copies(Bytes *pickle)
{
	PUT(pickle, "\x80\x02](");
	for (int i = 0; i < 1000; i++)
		PUT(pickle, "NN\x86");
	PUT(pickle, "eq\0"
				"0ccollections\nOrderedDict\nq\x01"
				"0");
	for (int i = 0; i < 100000; i++)
		PUT(pickle, "h\x01h\0\x85R0");
	PUT(pickle, "}.");
}

/* Each list holds the one before ten times. */
static void
bomb_laughs(Bytes *pickle)
{
	PUT(pickle, "\x80\x02}" KEY "]q\0");
	for (int i = 0; i < 250; i++)
	{
		unsigned char put_get[] = {'q', (unsigned char) (i + 1)};
		unsigned char get[] = {'h', (unsigned char) i};

		PUT(pickle, "](");
		for (int n = 0; n < 10; n++)
			put(pickle, get, 2);
		PUT(pickle, "e");
		put(pickle, put_get, 2);
	}
	for (int i = 0; i < 250; i++)
		PUT(pickle, "a");
	PUT(pickle, "s.");
}

static void
bomb_objects(Bytes *pickle)
{
	PUT(pickle, "\x80\x02");
	for (int i = 0; i < 1100000; i++)
		PUT(pickle, "}0");
	PUT(pickle, "}.");
}

static void
bomb_stack(Bytes *pickle)
{
	PUT(pickle, "\x80\x02");
	for (int i = 0; i < 1100000; i++)
		PUT(pickle, "N");
	PUT(pickle, "}.");
}

static void
bomb_values(Bytes *pickle)
{
	PUT(pickle, "\x80\x02]");
	for (int i = 0; i < 4200000; i++)
		PUT(pickle, "Na");
	PUT(pickle, "}.");
}

static void
bomb_marks(Bytes *pickle)
{
	PUT(pickle, "\x80\x02");
	for (int i = 0; i < 1000000; i++)
		PUT(pickle, "(");
	for (int i = 0; i < 1000000; i++)
		PUT(pickle, "1");
	PUT(pickle, "}.");
}

static void
bomb_tensors(Bytes *pickle)
{
	PUT(pickle, "\x80\x02}" STORAGE "q\0"
				"0"
				"ctorch._utils\n_rebuild_tensor_v2\nq\x01"
				"0"
				"h\x01(h\0K\0))\x89NtRq\x02"
				"0");
	for (int i = 0; i < 70000; i++)
		PUT(pickle, "h\x01(h\0K\0))\x89NtR0");
	PUT(pickle, ".");
}

static void
bomb_members(Bytes *pickle)
{
	PUT(pickle, "\x80\x02}" TENSOR "q\0"
				"0");
	for (int i = 0; i < 70000; i++)
		PUT(pickle, KEY "h\0s");
	PUT(pickle, ".");
}

static void
bomb_storages(Bytes *pickle)
{
	PUT(pickle, "\x80\x02}(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0"
				"0X\x03\0\0\0cpuK\x06tq\0Q0");
	for (int i = 0; i < 70000; i++)
		PUT(pickle, "h\0Q0");
	PUT(pickle, ".");
}

static void
bomb_bytes(Bytes *pickle)
{
	static char zeros[1 << 16];

	PUT(pickle, "\x80\x02");
	for (int i = 0; i < 257; i++)
		put(pickle, zeros, sizeof zeros);
}

static void
test_bombs(void **state)
{
	static const struct
	{
		const char *name;
		StatusCode code;
		const char *fragment;
		void (*make)(Bytes *pickle);
	} cases[] = {
		{"copies", LIMIT, "values", bomb_copies},
		{"laughs", UNSUPPORTED, "\"a\" is a list", bomb_laughs},
		{"objects", LIMIT, "objects", bomb_objects},
		{"stack", LIMIT, "stack", bomb_stack},
		{"values", LIMIT, "values", bomb_values},
		{"marks", STATUS_NONE, "", bomb_marks},
		{"tensors", LIMIT, "more than 65536 tensors", bomb_tensors},
		{"members", LIMIT, "70000 members", bomb_members},
		{"storages", LIMIT, "storages", bomb_storages},
		{"bytes", LIMIT, "more than", bomb_bytes},
	};
	size_t passed = 0;

	(void) state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		Arena *arena = arena_create(&allocator_malloc, 0);
		Bytes pickle = {.arena = arena};
		Bytes file;

		cases[i].make(&pickle);
		file = archive_of(arena, &pickle);
		passed += as_expected(cases[i].name, cases[i].code, cases[i].fragment, &file);
		arena_destroy(arena);
	}
	assert_int_equal(passed, sizeof cases / sizeof cases[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bombs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
