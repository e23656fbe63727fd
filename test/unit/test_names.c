/* test_names.c: names that users write, and the nearest known one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/names.h"

static const char *const schedules[] = {"constant", "constant_with_warmup", NULL,
										"linear",   "cosine_with_restarts", "cosine"};
#define N (int) (sizeof schedules / sizeof *schedules)

static void
finds_names(void **state)
{
	(void) state;
	assert_int_equal(name_find("linear", schedules, N), 3);
	assert_int_equal(name_find("Linear", schedules, N), -1);
	assert_int_equal(name_find("", schedules, N), -1);
	assert_int_equal(name_find("linear", schedules, 0), -1);
}

/* what was written, and what was meant; NULL: nothing near */
static const struct
{
	const char *wanted;
	const char *nearest;
} cases[] = {
	{"liner", "linear"},
	{"Linear", "linear"},
	{"lnieer", "linear"},
	{"cosin", "cosine"},
	{"cosine_restarts", "cosine_with_restarts"},
	{"constant_with_wramup", "constant_with_warmup"},
	{"constant", "constant"},
	{"", NULL},
	{"x", NULL},
	{"zzzzzz", NULL},
	{"step", NULL},
	{"li", NULL},
	{"a name of many letters that is longer than what is compared with others", NULL},
};

static void
finds_the_nearest(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
	{
		const char *nearest = name_nearest(cases[i].wanted, schedules, N);

		if (cases[i].nearest == NULL)
			assert_null(nearest);
		else
			assert_string_equal(nearest, cases[i].nearest);
	}
}

/* The first of equals: what is listed first is what most people want. */
static void
takes_the_first_of_equals(void **state)
{
	static const char *const names[] = {"cat", "bat", "hat"};

	(void) state;
	assert_string_equal(name_nearest("rats", names, 3), "cat");
	assert_string_equal(name_nearest("hats", names, 3), "hat");
}

static void
explains_unknown_names(void **state)
{
	Status status;

	(void) state;
	assert_int_equal(name_parse("cosine", "schedule", schedules, N, &status), 5);
	assert_int_equal(name_parse("liner", "schedule", schedules, N, &status), -1);
	assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
	assert_string_equal(status.message, "unknown schedule \"liner\"");
	assert_string_equal(status.hint, "Perhaps you meant \"linear\".");
	assert_int_equal(name_parse("step", "schedule", schedules, N, &status), -1);
	assert_string_equal(status.hint, "Use constant, constant_with_warmup, linear, "
									 "cosine_with_restarts or cosine.");
	/* a NULL at the end, and a list that does not fit, are no harm */
	assert_int_equal(name_parse("step", "schedule", schedules, 3, &status), -1);
	assert_string_equal(status.hint, "Use constant or constant_with_warmup.");
	{
		const char *many[40];

		for (int i = 0; i < 40; i++)
			many[i] = "constant_with_warmup";
		assert_int_equal(name_parse("step", "schedule", many, 40, &status), -1);
		assert_true(strlen(status.hint) < sizeof status.hint);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_names),
		cmocka_unit_test(finds_the_nearest),
		cmocka_unit_test(takes_the_first_of_equals),
		cmocka_unit_test(explains_unknown_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
