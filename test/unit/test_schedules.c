/* Every step's learning rate against the reference's (test/golden/schedules.txt). */
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
#include "train/schedules.h"

static void
test_rates(void **state)
{
	FILE *file = fopen("test/golden/schedules.txt", "r");
	char *line = NULL;
	size_t capacity = 0;
	int lines = 0;
	int steps = 0;

	assert_non_null(file);
	while (getline(&line, &capacity, file) > 0)
	{
		char *rest;
		Schedule schedule;
		Status status;
		double base;
		char *value = strtok_r(line, " \n", &rest);

		assert_true(schedule_parse(value, &schedule.kind, &status));
		schedule.warmup_steps = atoll(strtok_r(NULL, " \n", &rest));
		schedule.total_steps = atoll(strtok_r(NULL, " \n", &rest));
		schedule.num_cycles = atof(strtok_r(NULL, " \n", &rest));
		schedule.power = atof(strtok_r(NULL, " \n", &rest));
		schedule.lr_end = atof(strtok_r(NULL, " \n", &rest));
		base = atof(strtok_r(NULL, " \n", &rest));
		assert_true(schedule_validate(&schedule, base, &status));
		for (int64_t step = 0; (value = strtok_r(NULL, " \n", &rest)) != NULL; step++, steps++)
		{
			double rate = schedule_rate(&schedule, step, base);

			if (!is_near(rate, atof(value), 1e-9 * base))
				fail_msg("%s step %lld: %.17g, the reference has %s", schedule_name(schedule.kind),
						 (long long) step, rate, value);
		}
		lines++;
	}
	print_message("%d schedules, %d steps\n", lines, steps);
	assert_true(lines >= 10 && steps > 200);
	free(line);
	fclose(file);
}

static void
test_refusals(void **state)
{
	ScheduleKind kind;
	Status status;
	Schedule schedule = schedule_default(SCHEDULE_LINEAR, 0, 10);

	assert_false(schedule_parse("liner", &kind, &status));
	assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
	assert_true(schedule_validate(&schedule, 1, &status));
	assert_false(schedule_validate(&schedule, NAN, &status));
	assert_false(schedule_validate(&schedule, -1, &status));
	schedule.warmup_steps = -1;
	assert_false(schedule_validate(&schedule, 1, &status));
	schedule = schedule_default(SCHEDULE_POLYNOMIAL, 0, 10);
	assert_false(schedule_validate(&schedule, 1e-7, &status));
	/* a schedule without steps still has a rate */
	for (int k = 0; k < SCHEDULE_COUNT; k++)
	{
		schedule = schedule_default((ScheduleKind) k, 0, 0);
		assert_true(isfinite(schedule_rate(&schedule, 0, 1)));
		assert_true(isfinite(schedule_rate(&schedule, 5, 1)));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
