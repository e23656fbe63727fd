/* fn_train.c: bert.learning_rate and bert.build_vocab. */
#include "pg/compat.h"

#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "pg/memory.h"
#include "pg/report.h"
#include "tokenizer/vocab_builder.h"
#include "train/schedules.h"

PG_FUNCTION_INFO_V1(bert_learning_rate);
PG_FUNCTION_INFO_V1(bert_build_vocab);

#define VOCAB_MAX_SIZE 1000000
#define VOCAB_FETCH_ROWS 1000

static double *
schedule_option(Schedule *schedule, const char *name, int length)
{
	struct
	{
		const char *name;
		double	   *value;
	}			options[] = {{"num_cycles", &schedule->num_cycles}, {"power", &schedule->power}, {"lr_end", &schedule->lr_end}};

	for (size_t i = 0; i < lengthof(options); i++)
		if ((int) strlen(options[i].name) == length && memcmp(options[i].name, name, (size_t) length) == 0)
			return options[i].value;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown schedule option \"%.*s\"", length, name),
			 errhint("Options are num_cycles, power, lr_end.")));
	return NULL;				/* not reached */
}

static void
read_schedule_options(Jsonb *options, Schedule *schedule)
{
	JsonbIterator *iterator = JsonbIteratorInit(&options->root);
	JsonbValue	value;
	JsonbIteratorToken token;

	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("options must be a JSON object")));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		double	   *option;

		if (token != WJB_KEY)
			continue;
		option = schedule_option(schedule, value.val.string.val, value.val.string.len);
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (value.type != jbvNumeric)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a schedule option must be a number")));
		*option = DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(value.val.numeric)));
		if (*option < 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a schedule option must not be negative")));
	}
}

/* bert.learning_rate(schedule text, step bigint, warmup_steps bigint, total_steps bigint, base_lr float8, options jsonb) → float8 */
Datum
bert_learning_rate(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int64		step = PG_GETARG_INT64(1);
	double		base_lr = PG_GETARG_FLOAT8(4);
	Schedule	schedule;
	ScheduleKind kind;
	Status		status;

	REPORT_UNLESS(schedule_parse(name, &kind, &status), &status);
	schedule = schedule_default(kind, PG_GETARG_INT64(2), PG_GETARG_INT64(3));
	read_schedule_options(PG_GETARG_JSONB_P(5), &schedule);
	if (step < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("step must not be negative")));
	REPORT_UNLESS(schedule_validate(&schedule, base_lr, &status), &status);
	PG_RETURN_FLOAT8(schedule_rate(&schedule, step, base_lr));
}

/* Counts the words of the query's only column; NULLs are skipped. */
static void
count_words(VocabBuilder *builder, Portal portal)
{
	for (;;)
	{
		SPI_cursor_fetch(portal, true, VOCAB_FETCH_ROWS);
		if (SPI_processed == 0)
			return;
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			char	   *value = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
			char	   *utf8;
			Status		status;

			CHECK_FOR_INTERRUPTS();
			if (value == NULL)
				continue;
			utf8 = pg_server_to_any(value, (int) strlen(value), PG_UTF8);
			REPORT_UNLESS(vocab_builder_add_text(builder, utf8, strlen(utf8), &backend_may_continue, &status), &status);
			if (utf8 != value)
				pfree(utf8);
			pfree(value);
		}
		SPI_freetuptable(SPI_tuptable);
	}
}

/* bert.build_vocab(query text, size int, lowercase bool) → text: the vocabulary in the form of vocab.txt */
Datum
bert_build_vocab(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int			size = PG_GETARG_INT32(1);
	VocabBuilderOptions options = vocab_builder_defaults(size, PG_GETARG_BOOL(2));
	Arena	   *arena;
	VocabBuilder *builder;
	SPIPlanPtr	plan;
	Portal		portal;
	char	   *vocab;
	char	   *text;
	size_t		length;
	Status		status;

	if (size < 10 || size > VOCAB_MAX_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("size must be from 10 to %d", VOCAB_MAX_SIZE)));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	plan = SPI_prepare_cursor(query, 0, NULL, CURSOR_OPT_NO_SCROLL);
	if (plan == NULL || !SPI_is_cursor_plan(plan))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("query does not return rows"),
				 errhint("Give one SELECT with one column of text.")));
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	if (portal->tupDesc->natts != 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("query returns %d columns, not one", portal->tupDesc->natts)));
	arena = arena_for_call();
	builder = vocab_builder_create(arena, &options, &status);
	REPORT_UNLESS(builder != NULL, &status);
	count_words(builder, portal);
	SPI_cursor_close(portal);
	REPORT_UNLESS(vocab_builder_finish(builder, &backend_may_continue, &vocab, &length, &status), &status);
	vocab = pg_any_to_server(vocab, (int) length, PG_UTF8);
	text = MemoryContextStrdup(caller, vocab);
	arena_destroy(arena);
	SPI_finish();
	PG_RETURN_TEXT_P(cstring_to_text(text));
}
