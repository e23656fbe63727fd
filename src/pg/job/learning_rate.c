/* learning_rate.c: bert.learning_rate. */
#include "pg/server/compat.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "core/names.h"
#include "pg/server/detoast.h"
#include "pg/server/errors.h"
#include "train/schedules.h"

PG_FUNCTION_INFO_V1(bert_learning_rate);

static double *
schedule_option(Schedule *schedule, const char *name, int length)
{
	static const char *const names[] = {"num_cycles", "power", "lr_end"};
	double *values[] = {&schedule->num_cycles, &schedule->power, &schedule->lr_end};
	Status status;
	int i = name_parse(pnstrdup(name, length), "schedule option", names, lengthof(names), &status);

	REPORT_UNLESS(i >= 0, &status);
	return values[i];
}

static void
read_schedule_options(Jsonb *options, Schedule *schedule)
{
	JsonbIterator *iterator = JsonbIteratorInit(&options->root);
	JsonbValue value;
	JsonbIteratorToken token;

	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options must be a JSON object")));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		double *option;

		if (token != WJB_KEY)
			continue;
		option = schedule_option(schedule, value.val.string.val, value.val.string.len);
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (value.type != jbvNumeric)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("a schedule option must be a number")));
		*option =
			DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(value.val.numeric)));
		if (*option < 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("a schedule option must not be negative")));
	}
}

/*
 * bert.learning_rate(schedule text, step bigint, warmup_steps bigint, total_steps bigint, base_lr
 * float8, options jsonb) → float8
 */
Datum
bert_learning_rate(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(ARGUMENT_TEXT(0));
	int64 step = PG_GETARG_INT64(1);
	double base_lr = PG_GETARG_FLOAT8(4);
	Schedule schedule;
	ScheduleKind kind;
	Status status;

	REPORT_UNLESS(schedule_parse(name, &kind, &status), &status);
	schedule = schedule_default(kind, PG_GETARG_INT64(2), PG_GETARG_INT64(3));
	read_schedule_options(ARGUMENT_JSONB(5), &schedule);
	if (step < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("step must not be negative")));
	REPORT_UNLESS(schedule_validate(&schedule, base_lr, &status), &status);
	PG_RETURN_FLOAT8(schedule_rate(&schedule, step, base_lr));
}
