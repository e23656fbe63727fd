/* task_query.c: a user's query as a stream of task rows. */
#include "pg/server/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "parser/parse_coerce.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "pg/job/task_query.h"
#include "pg/server/detoast.h"
#include "pg/server/encoding.h"

#define FETCH_ROWS 1000
#define MAX_COLUMNS 4

typedef enum ColumnMeaning
{
	COLUMN_INPUT,
	COLUMN_PAIR,
	COLUMN_LABEL,
	COLUMN_VALUE,
	COLUMN_CHOICE,
	COLUMN_FOLLOWS,
	COLUMN_ITEMS,
	COLUMN_ITEM_LABELS,
	COLUMN_NEGATIVE,
	COLUMN_ANSWER,
	COLUMN_ANSWER_START
} ColumnMeaning;

typedef enum ColumnType
{
	TYPE_TEXT,
	TYPE_TEXT_ARRAY,
	TYPE_LABEL,  /* text or integer */
	TYPE_LABELS, /* that, or an array of text */
	TYPE_NUMBER,
	TYPE_INTEGER,
	TYPE_BOOLEAN
} ColumnType;

typedef struct TaskColumn
{
	const char *name;
	ColumnMeaning meaning;
	ColumnType type;
	bool required;
	bool nullable;
} TaskColumn;

static const TaskColumn task_columns[TRAIN_TASK_COUNT][MAX_COLUMNS + 1] = {
	[TRAIN_SEQUENCE_CLASSIFICATION] = {{"input", COLUMN_INPUT, TYPE_TEXT, true, false},
									   {"pair", COLUMN_PAIR, TYPE_TEXT, false, false},
									   {"label", COLUMN_LABEL, TYPE_LABELS, true, false}},
	[TRAIN_REGRESSION] = {{"input", COLUMN_INPUT, TYPE_TEXT, true, false},
						  {"pair", COLUMN_PAIR, TYPE_TEXT, false, false},
						  {"label", COLUMN_VALUE, TYPE_NUMBER, true, false}},
	[TRAIN_MULTIPLE_CHOICE] = {{"prompt", COLUMN_INPUT, TYPE_TEXT, true, false},
							   {"choices", COLUMN_ITEMS, TYPE_TEXT_ARRAY, true, false},
							   {"label", COLUMN_CHOICE, TYPE_INTEGER, true, false}},
	[TRAIN_TOKEN_CLASSIFICATION] = {{"tokens", COLUMN_ITEMS, TYPE_TEXT_ARRAY, true, false},
									{"labels", COLUMN_ITEM_LABELS, TYPE_TEXT_ARRAY, true, false}},
	[TRAIN_QUESTION_ANSWERING] = {{"question", COLUMN_INPUT, TYPE_TEXT, true, false},
								  {"context", COLUMN_PAIR, TYPE_TEXT, true, false},
								  {"answer_text", COLUMN_ANSWER, TYPE_TEXT, true, true},
								  {"answer_start", COLUMN_ANSWER_START, TYPE_INTEGER, true, true}},
	[TRAIN_MASKED_LM] = {{"input", COLUMN_INPUT, TYPE_TEXT, true, false}},
	[TRAIN_CAUSAL_LM] = {{"input", COLUMN_INPUT, TYPE_TEXT, true, false}},
	[TRAIN_NEXT_SENTENCE] = {{"input", COLUMN_INPUT, TYPE_TEXT, true, false},
							 {"pair", COLUMN_PAIR, TYPE_TEXT, true, false},
							 {"label", COLUMN_FOLLOWS, TYPE_BOOLEAN, true, false}},
	[TRAIN_PRETRAINING] = {{"input", COLUMN_INPUT, TYPE_TEXT, true, false},
						   {"pair", COLUMN_PAIR, TYPE_TEXT, true, false},
						   {"label", COLUMN_FOLLOWS, TYPE_BOOLEAN, true, false}},
};

static const TaskColumn embedding_columns[EMBEDDING_SHAPE_COUNT][MAX_COLUMNS + 1] = {
	[EMBEDDING_PAIRS] = {{"anchor", COLUMN_INPUT, TYPE_TEXT, true, false},
						 {"positive", COLUMN_PAIR, TYPE_TEXT, true, false},
						 {"negative", COLUMN_NEGATIVE, TYPE_TEXT, false, false},
						 {"negatives", COLUMN_ITEMS, TYPE_TEXT_ARRAY, false, false}},
	[EMBEDDING_SCORES] = {{"a", COLUMN_INPUT, TYPE_TEXT, true, false},
						  {"b", COLUMN_PAIR, TYPE_TEXT, true, false},
						  {"score", COLUMN_VALUE, TYPE_NUMBER, true, false}},
	[EMBEDDING_TEXTS] = {{"input", COLUMN_INPUT, TYPE_TEXT, true, false}},
	[EMBEDDING_LABELS] = {{"input", COLUMN_INPUT, TYPE_TEXT, true, false},
						  {"label", COLUMN_LABEL, TYPE_LABEL, true, false}},
};

struct TaskQuery
{
	TrainTask task;
	EmbeddingShape shape; /* of the task embedding */
	const char *name;
	const TaskColumn *columns;
	int attribute[MAX_COLUMNS]; /* 1-based position in the query's result, 0: absent */
	Oid type[MAX_COLUMNS];
	Portal portal;
	SPITupleTable *batch; /* fetched rows, or NULL */
	uint64 in_batch;
	uint64 at;  /* next row of the batch */
	uint64 row; /* 0-based number of the next row */
	MemoryContext row_context;
};

static const char *
type_description(ColumnType type)
{
	switch (type)
	{
		case TYPE_TEXT:
			return "text";
		case TYPE_TEXT_ARRAY:
			return "text[]";
		case TYPE_LABEL:
			return "text or an integer";
		case TYPE_LABELS:
			return "text, an integer or text[]";
		case TYPE_NUMBER:
			return "double precision or another number";
		case TYPE_INTEGER:
			return "an integer";
		case TYPE_BOOLEAN:
			return "boolean";
	}
	return "";
}

/* Strings of every kind (char(n), citext, domains over them) and enums. */
static bool
is_text(Oid type)
{
	return OidIsValid(type) && (TypeCategory(type) == TYPCATEGORY_STRING || type_is_enum(type));
}

static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

static bool
type_fits(ColumnType type, Oid oid)
{
	switch (type)
	{
		case TYPE_TEXT:
			return is_text(oid);
		case TYPE_TEXT_ARRAY:
			oid = get_element_type(oid);
			return OidIsValid(oid) && is_text(getBaseType(oid));
		case TYPE_LABEL:
			return is_text(oid) || is_integer(oid);
		case TYPE_LABELS:
			return type_fits(TYPE_LABEL, oid) || type_fits(TYPE_TEXT_ARRAY, oid);
		case TYPE_NUMBER:
			return is_integer(oid) || oid == FLOAT4OID || oid == FLOAT8OID || oid == NUMERICOID;
		case TYPE_INTEGER:
			return is_integer(oid);
		case TYPE_BOOLEAN:
			return oid == BOOLOID;
	}
	return false;
}

/* "input, [pair], label" for hints */
static char *
describe_columns(const TaskColumn *columns)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; columns[i].name != NULL; i++)
		appendStringInfo(&text, columns[i].required ? "%s%s %s" : "%s[%s %s]", i == 0 ? "" : ", ",
						 columns[i].name, type_description(columns[i].type));
	return text.data;
}

static int
column_index(const TaskColumn *columns, const char *name)
{
	for (int i = 0; columns[i].name != NULL; i++)
		if (strcmp(columns[i].name, name) == 0)
			return i;
	return -1;
}

/* The columns that a task may have, for hints; all kinds of them for the task embedding. */
static char *
describe_task(const TaskQuery *query)
{
	StringInfoData text;

	if (query->task != TRAIN_EMBEDDING)
		return describe_columns(query->columns);
	initStringInfo(&text);
	for (int shape = 0; shape < EMBEDDING_SHAPE_COUNT; shape++)
		appendStringInfo(&text, "%s%s", shape == 0 ? "" : "; or ",
						 describe_columns(embedding_columns[shape]));
	return text.data;
}

/* Which columns the task embedding has is said by the names of the query's. */
static void
choose_columns(TaskQuery *query, TupleDesc tupdesc)
{
	int most = 0;

	query->columns = task_columns[query->task];
	if (query->task != TRAIN_EMBEDDING)
		return;
	query->columns = embedding_columns[EMBEDDING_PAIRS];
	for (int shape = 0; shape < EMBEDDING_SHAPE_COUNT; shape++)
	{
		int known = 0;

		for (int a = 0; a < tupdesc->natts; a++)
			known += column_index(embedding_columns[shape],
								  NameStr(TupleDescAttr(tupdesc, a)->attname)) >= 0;
		if (known <= most)
			continue;
		most = known;
		query->shape = (EmbeddingShape) shape;
		query->columns = embedding_columns[shape];
	}
}

/* Maps the query's result columns to the task's, by name. */
static void
map_columns(TaskQuery *query, TupleDesc tupdesc)
{
	const char *task = train_task_name(query->task);

	for (int a = 0; a < tupdesc->natts; a++)
	{
		const char *name = NameStr(TupleDescAttr(tupdesc, a)->attname);
		Oid type = getBaseType(TupleDescAttr(tupdesc, a)->atttypid);
		int i = column_index(query->columns, name);

		if (i < 0)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
							errmsg("column \"%s\" of the %s has no meaning for the task %s", name,
								   query->name, task),
							errhint("The task's columns are: %s.", describe_task(query))));
		if (query->attribute[i] != 0)
			ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
							errmsg("column \"%s\" appears twice in the %s", name, query->name)));
		if (!type_fits(query->columns[i].type, type))
			ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
							errmsg("column \"%s\" of the %s has type %s, but the task %s needs %s",
								   name, query->name, format_type_be(type), task,
								   type_description(query->columns[i].type))));
		query->attribute[i] = a + 1;
		query->type[i] = type;
	}
	for (int i = 0; query->columns[i].name != NULL; i++)
		if (query->columns[i].required && query->attribute[i] == 0)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
							errmsg("the %s has no column \"%s\", which the task %s needs",
								   query->name, query->columns[i].name, task),
							errhint("Name the columns with AS. The task's columns are: %s.",
									describe_task(query))));
}

TaskQuery *
task_query_open(TrainTask task, const char *text, const char *name)
{
	TaskQuery *query = palloc0(sizeof *query);
	SPIPlanPtr plan;

	query->task = task;
	query->name = name;
	plan = SPI_prepare_cursor(text, 0, NULL, CURSOR_OPT_NO_SCROLL);
	if (plan == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the %s could not be prepared: %s", name,
							   SPI_result_code_string(SPI_result))));
	if (!SPI_is_cursor_plan(plan))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the %s is not a single SELECT", name)));
	query->portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	choose_columns(query, query->portal->tupDesc);
	map_columns(query, query->portal->tupDesc);
	if (task_query_has_negatives(query) && query->attribute[2] != 0 && query->attribute[3] != 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
						errmsg("the %s has a column \"negative\" and a column \"negatives\"", name),
						errhint("Put all negatives of a row into \"negatives\".")));
	query->row_context =
		AllocSetContextCreate(CurrentMemoryContext, "bert task row", ALLOCSET_DEFAULT_SIZES);
	return query;
}

EmbeddingShape
task_query_shape(const TaskQuery *query)
{
	return query->shape;
}

bool
task_query_has_negatives(const TaskQuery *query)
{
	return query->task == TRAIN_EMBEDDING && query->shape == EMBEDDING_PAIRS &&
		   (query->attribute[2] != 0 || query->attribute[3] != 0);
}

bool
task_query_has_classes(const TaskQuery *query)
{
	return query->task == TRAIN_SEQUENCE_CLASSIFICATION ||
		   query->task == TRAIN_TOKEN_CLASSIFICATION ||
		   (query->task == TRAIN_EMBEDDING && query->shape == EMBEDDING_LABELS);
}

bool
task_query_numeric_labels(const TaskQuery *query)
{
	for (int i = 0; query->columns[i].name != NULL; i++)
		if (query->columns[i].meaning == COLUMN_LABEL)
			return is_integer(query->type[i]);
	return false;
}

bool
task_query_several_labels(const TaskQuery *query)
{
	for (int i = 0; query->columns[i].name != NULL; i++)
		if (query->columns[i].meaning == COLUMN_LABEL)
			return query->attribute[i] != 0 && OidIsValid(get_element_type(query->type[i]));
	return false;
}

void
task_query_close(TaskQuery *query)
{
	SPI_freetuptable(query->batch);
	SPI_cursor_close(query->portal);
	MemoryContextDelete(query->row_context);
	pfree(query);
}

static char *
datum_output(Datum value, Oid type)
{
	Oid output;
	bool varlena;

	getTypeOutputInfo(type, &output, &varlena);
	return OidOutputFunctionCall(output, value);
}

/*
 * The value as PostgreSQL's cast to text gives it, which is what a query compares a label with: the
 * blanks that fill a char(n) are no part of it.
 */
static text *
datum_as_text(Datum value, Oid type)
{
	Oid function;

	switch (find_coercion_pathway(TEXTOID, type, COERCION_EXPLICIT, &function))
	{
		case COERCION_PATH_RELABELTYPE:
			return (text *) detoast_packed(value);
		case COERCION_PATH_FUNC:
			if (get_func_nargs(function) == 1)
				return DatumGetTextPP(OidFunctionCall1(function, value));
			break;
		default:
			break;
	}
	return type == TEXTOID ? (text *) detoast_packed(value)
						   : cstring_to_text(datum_output(value, type));
}

static SampleText
datum_utf8(Datum value, Oid type)
{
	text *raw = datum_as_text(value, type);
	SampleText text;

	text.bytes = encoding_to_utf8(VARDATA_ANY(raw), VARSIZE_ANY_EXHDR(raw), &text.length);
	return text;
}

static float
datum_number(const TaskQuery *query, const TaskColumn *column, Datum value, Oid type)
{
	double number =
		DatumGetFloat8(DirectFunctionCall1(float8in, CStringGetDatum(datum_output(value, type))));

	if (!isfinite((float) number))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("row %llu of the %s: column \"%s\" is %g",
						(unsigned long long) query->row + 1, query->name, column->name, number),
				 errhint("It must be a finite number in the range of real.")));
	return (float) number;
}

static int64
datum_integer(Datum value, Oid type)
{
	return type == INT2OID   ? DatumGetInt16(value)
		   : type == INT4OID ? DatumGetInt32(value)
							 : DatumGetInt64(value);
}

/* A one-dimensional text array; *items is palloc'd. A NULL has no bytes, where a NULL may be. */
static size_t
datum_items(const TaskQuery *query, const TaskColumn *column, Datum value, SampleText **items)
{
	ArrayType *array = (ArrayType *) detoast(value);
	Oid element = getBaseType(ARR_ELEMTYPE(array));
	int16 length;
	bool by_value;
	char alignment;
	Datum *values;
	bool *nulls;
	int count;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("row %llu of the %s: column \"%s\" has %d dimensions instead of one",
							   (unsigned long long) query->row + 1, query->name, column->name,
							   ARR_NDIM(array))));
	get_typlenbyvalalign(element, &length, &by_value, &alignment);
	deconstruct_array(array, element, length, by_value, alignment, &values, &nulls, &count);
	*items = palloc(Max(count, 1) * sizeof **items);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i] && column->meaning != COLUMN_ITEM_LABELS)
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("row %llu of the %s: element %d of column \"%s\" is NULL",
								   (unsigned long long) query->row + 1, query->name, i + 1,
								   column->name)));
		(*items)[i] = nulls[i] ? (SampleText){0} : datum_utf8(values[i], element);
	}
	return (size_t) count;
}

/* A text as a list of one. */
static const SampleText *
one_item(Datum value, Oid type)
{
	SampleText *item = palloc(sizeof *item);

	*item = datum_utf8(value, type);
	return item;
}

/* Where a NULL is allowed it means "nothing": no answer. */
static void
check_null(const TaskQuery *query, const TaskColumn *column)
{
	if (!column->nullable)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("row %llu of the %s: column \"%s\" is NULL",
							   (unsigned long long) query->row + 1, query->name, column->name),
						errhint("Leave such rows out with WHERE %s IS NOT NULL.", column->name)));
}

static size_t
answer_start(const TaskQuery *query, int64 number)
{
	if (number < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("row %llu of the %s: answer_start is %lld",
						(unsigned long long) query->row + 1, query->name, (long long) number),
				 errhint("It counts characters from 0; a question without an answer "
						 "has an answer_text that is NULL or empty.")));
	return (size_t) number;
}

static void
read_labels(const TaskQuery *query, const TaskColumn *column, Datum value, TaskRow *row)
{
	SampleText *items;
	size_t n = datum_items(query, column, value, &items);

	row->n_item_labels = n;
	row->item_labels = palloc(Max(n, 1) * sizeof *row->item_labels);
	for (size_t i = 0; i < n; i++)
		row->item_labels[i] =
			items[i].bytes == NULL ? NULL : pnstrdup(items[i].bytes, items[i].length);
}

static void
read_column(TaskQuery *query, const TaskColumn *column, Datum value, Oid type, TaskRow *row)
{
	SampleRow *sample = &row->sample;
	SampleText *items;
	SampleText label;
	int64 number;

	switch (column->meaning)
	{
		case COLUMN_INPUT:
			sample->input = datum_utf8(value, type);
			break;
		case COLUMN_PAIR:
			sample->pair = datum_utf8(value, type);
			sample->has_pair = true;
			break;
		case COLUMN_LABEL:
			if (OidIsValid(get_element_type(type)))
			{
				read_labels(query, column, value, row);
				break;
			}
			label = datum_utf8(value, type);
			row->label = pnstrdup(label.bytes, label.length);
			break;
		case COLUMN_VALUE:
			sample->value = datum_number(query, column, value, type);
			break;
		case COLUMN_CHOICE:
			number = datum_integer(value, type);
			sample->label = number < 1 || number > PG_INT32_MAX ? -1 : (int32_t) (number - 1);
			break;
		case COLUMN_FOLLOWS:
			sample->label = DatumGetBool(value) ? 0 : 1;
			break;
		case COLUMN_ITEMS:
			sample->n_items = datum_items(query, column, value, &items);
			sample->items = items;
			break;
		case COLUMN_NEGATIVE:
			sample->n_items = 1;
			sample->items = one_item(value, type);
			break;
		case COLUMN_ITEM_LABELS:
			read_labels(query, column, value, row);
			break;
		case COLUMN_ANSWER:
			sample->answer = datum_utf8(value, type);
			break;
		case COLUMN_ANSWER_START:
			sample->answer_start = answer_start(query, datum_integer(value, type));
			break;
	}
}

/* What can only be said of the whole row. */
static void
check_row(const TaskQuery *query, const TaskRow *row)
{
	const SampleRow *sample = &row->sample;
	unsigned long long number = (unsigned long long) query->row + 1;

	if (query->task == TRAIN_MULTIPLE_CHOICE)
	{
		if (sample->n_items < 2)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("row %llu of the %s has %zu choices; there must be at least two",
								   number, query->name, sample->n_items)));
		if (sample->label < 0 || (size_t) sample->label >= sample->n_items)
			ereport(
				ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("row %llu of the %s: the label is not the number of one of the %zu choices",
						number, query->name, sample->n_items),
				 errhint("Choices are numbered from 1, as the elements of the array are.")));
	}
	if (query->task == TRAIN_TOKEN_CLASSIFICATION)
	{
		if (sample->n_items != row->n_item_labels)
			ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
							errmsg("row %llu of the %s has %zu tokens but %zu labels", number,
								   query->name, sample->n_items, row->n_item_labels)));
		if (sample->n_items == 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("row %llu of the %s has no tokens", number, query->name)));
	}
}

bool
task_query_next(TaskQuery *query, TaskRow *row)
{
	MemoryContext old;

	if (query->at >= query->in_batch)
	{
		SPI_freetuptable(query->batch);
		SPI_cursor_fetch(query->portal, true, FETCH_ROWS);
		query->batch = SPI_tuptable;
		query->in_batch = SPI_processed;
		query->at = 0;
		if (query->in_batch == 0)
			return false;
	}
	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(query->row_context);
	old = MemoryContextSwitchTo(query->row_context);
	memset(row, 0, sizeof *row);
	row->sample.number = query->row;
	row->sample.shape = query->shape;
	row->sample.input.bytes = row->sample.pair.bytes = row->sample.answer.bytes = "";
	for (int i = 0; query->columns[i].name != NULL; i++)
	{
		bool is_null;
		Datum value;

		if (query->attribute[i] == 0)
			continue;
		value = SPI_getbinval(query->batch->vals[query->at], query->batch->tupdesc,
							  query->attribute[i], &is_null);
		if (is_null)
		{
			check_null(query, &query->columns[i]);
			row->no_answer_start |= query->columns[i].meaning == COLUMN_ANSWER_START;
		}
		else
			read_column(query, &query->columns[i], value, query->type[i], row);
	}
	check_row(query, row);
	MemoryContextSwitchTo(old);
	query->at++;
	query->row++;
	return true;
}
