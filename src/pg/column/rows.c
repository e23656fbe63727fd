/* rows.c: a batch of rows: read, embedded, written. */
#include "pg/server/compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "pg/column/rows.h"
#include "pg/infer/embedding.h"
#include "pg/infer/rows.h"
#include "pg/column/statement.h"
#include "pg/column/value_text.h"
#include "pg/server/detoast.h"

/* Texts and embeddings held at once; a batch ends early with what is larger. */
#define BATCH_BYTES ((Size) 32 * 1024 * 1024)

void
embed_rows_begin(EmbedRows *rows, int capacity, const TableColumn *column, const ModelHandle *model)
{
	memset(rows, 0, sizeof *rows);
	rows->capacity = capacity;
	rows->function = "embed_column";
	rows->row_bytes = sizeof *rows->rows +
					  (Size) (table_column_takes_weights(column, model)
								  ? model->config.vocab_size
								  : sentence_dimensions(&model->config, &model->sentence.pooling)) *
						  sizeof(float);
	rows->rows = palloc0((Size) capacity * sizeof *rows->rows);
}

/* --- A row's text: where the statement has its columns, from the fourth on --- */

#define FIRST_TEXT 3

typedef struct Reading
{
	EmbedRows *rows;
	const TableColumn *column;
	MemoryContext context; /* of what is kept */
	bool described;
	bool plain;
	ValueText values[TEMPLATE_MAX_COLUMNS]; /* of the template's columns */
} Reading;

static void
describe_values(Reading *reading, const TupleTableSlot *slot)
{
	MemoryContext previous = MemoryContextSwitchTo(reading->context);

	reading->plain = true;
	for (int i = 0; i < reading->column->texts.n; i++)
	{
		value_text_describe(&reading->values[i],
							TupleDescAttr(slot->tts_tupleDescriptor, FIRST_TEXT + i)->atttypid);
		reading->plain = reading->plain && reading->values[i].plain;
	}
	reading->described = true;
	MemoryContextSwitchTo(previous);
}

/* By the template, in CurrentMemoryContext; 0: the source is NULL. */
static Datum
filled_text(Reading *reading, const TupleTableSlot *slot)
{
	const TableColumn *column = reading->column;
	char *values[TEMPLATE_MAX_COLUMNS] = {NULL};
	StringInfoData text;
	Datum filled;
	int level;
	bool has_source = false;

	if (!reading->described)
		describe_values(reading, slot);
	level = reading->plain ? 0 : value_text_begin();
	for (int i = 0; i < column->texts.n; i++)
		if (!slot->tts_isnull[FIRST_TEXT + i])
		{
			values[i] = value_text(&reading->values[i], slot->tts_values[FIRST_TEXT + i]);
			has_source = has_source || column->texts.numbers[i] == column->source;
		}
	if (!reading->plain)
		value_text_end(level);
	if (!has_source)
		return (Datum) 0;
	initStringInfo(&text);
	template_around(&column->template, values, &text, NULL);
	for (int i = 0; i < column->texts.n; i++)
		if (values[i] != NULL)
			pfree(values[i]);
	filled = PointerGetDatum(cstring_to_text_with_len(text.data, text.len));
	pfree(text.data);
	return filled;
}

/* Whether the row has this text still. */
static bool
has_text(Reading *reading, const TupleTableSlot *slot, Datum text)
{
	Datum now;
	bool same;

	if (reading->column->form.template == NULL)
		return !slot->tts_isnull[FIRST_TEXT] && detoast_equal(slot->tts_values[FIRST_TEXT], text);
	now = filled_text(reading, slot);
	if (now == (Datum) 0)
		return false;
	same = detoast_equal(now, text);
	pfree(DatumGetPointer(now));
	return same;
}

/* --- Reading --- */

static bool
take_row(void *context, TupleTableSlot *slot)
{
	Reading *reading = context;
	EmbedRows *rows = reading->rows;
	MemoryContext previous;
	EmbedRow *row;

	if (rows->n == rows->capacity || rows->bytes > BATCH_BYTES)
	{
		rows->cut = true;
		return false;
	}
	slot_getallattrs(slot);
	row = &rows->rows[rows->n++];
	row->number = DatumGetInt32(slot->tts_values[0]);
	row->table = DatumGetObjectId(slot->tts_values[1]);
	ItemPointerCopy((ItemPointer) DatumGetPointer(slot->tts_values[2]), &row->tid);
	previous = MemoryContextSwitchTo(reading->context);
	row->text = reading->column->form.template == NULL
					? PointerGetDatum(detoast_copy(slot->tts_values[FIRST_TEXT]))
					: filled_text(reading, slot);
	MemoryContextSwitchTo(previous);
	rows->bytes += VARSIZE(DatumGetPointer(row->text)) + rows->row_bytes;
	return true;
}

void
embed_rows_read(EmbedRows *rows, const TableColumn *column, const char *sql, const InputRows *input)
{
	Reading reading = {.rows = rows, .column = column, .context = CurrentMemoryContext};

	(void) table_statement_run(sql, column->relation, true, input, take_row, &reading);
}

/* --- Embedding --- */

typedef struct Embedding
{
	const EmbedRow *rows;
	EmbedRow *next;
	const Call *call;
	const RowsWanted *wanted;
	int dimensions; /* the first so many; 0: all */
	MemoryContext context;
} Embedding;

static void
take_embeddings(void *context, Call *call, const TextRows *rows)
{
	Embedding *embedding = context;
	int all = (int) rows->columns;
	int given = embedding->dimensions > 0 ? embedding->dimensions : all;
	MemoryContext previous = MemoryContextSwitchTo(embedding->context);

	for (size_t t = 0; t < rows->n_texts; t++)
	{
		float *row = rows->rows + t * rows->columns;

		if (given < all && embedding->wanted->normalize)
			normalize_rows(1, (size_t) given, row);
		(embedding->next++)->embedding = PointerGetDatum(real_array(row, 1, &given));
	}
	MemoryContextSwitchTo(previous);
}

/*
 * In some databases' encodings not every text has a form in UTF-8: names the row that stops the
 * batch.
 */
static void
show_row(void *context)
{
	const Embedding *embedding = context;
	const EmbedRow *row;

	if (embedding->call->reading < 0)
		return;
	row = &embedding->rows[embedding->call->reading];
	errcontext("text of the row with ctid (%u,%u) of table \"%s\"",
			   ItemPointerGetBlockNumberNoCheck(&row->tid),
			   ItemPointerGetOffsetNumberNoCheck(&row->tid), get_rel_name(row->table));
}

static void
compute(EmbedRows *rows, const TableColumn *column, ModelHandle *model)
{
	const ColumnForm *form = &column->form;
	Call call;
	RowsWanted wanted;
	Embedding embedding = {.rows = rows->rows,
						   .next = rows->rows,
						   .call = &call,
						   .wanted = &wanted,
						   .dimensions = form->dimensions,
						   .context = CurrentMemoryContext};
	ErrorContextCallback callback = {error_context_stack, show_row, &embedding};
	Datum *texts = palloc((Size) rows->n * sizeof *texts);
	TextInputs inputs = {
		.n = rows->n, .values = texts, .nulls = palloc0((Size) rows->n * sizeof *inputs.nulls)};

	for (int i = 0; i < rows->n; i++)
		texts[i] = rows->rows[i].text;
	/* blocks that the cache has lost are read from the tables */
	PushActiveSnapshot(GetTransactionSnapshot());
	call_begin_with(&call, model, rows->function);
	use_prompt(&call, NULL, form->prompt_name, PROMPT_DOCUMENT);
	wanted = table_column_takes_weights(column, model) ? want_weights(model, OVERFLOW_TRUNCATE)
													   : want_embeddings(model, OVERFLOW_TRUNCATE);
	error_context_stack = &callback;
	texts_to_rows(&call, &inputs, &wanted, take_embeddings, &embedding);
	error_context_stack = callback.previous;
	call_end(&call);
	PopActiveSnapshot();
}

/* --- Writing --- */

/* Notes the row's place now and that we hold it, if it has the text that was embedded. */
static bool
take_locked(void *context, TupleTableSlot *slot)
{
	Reading *reading = context;
	EmbedRow *row;

	slot_getallattrs(slot);
	row = &reading->rows->rows[DatumGetInt32(slot->tts_values[0])];
	if (!has_text(reading, slot, row->text))
		return true;
	row->table = DatumGetObjectId(slot->tts_values[1]);
	ItemPointerCopy((ItemPointer) DatumGetPointer(slot->tts_values[2]), &row->tid);
	row->written = true;
	return true;
}

/*
 * The texts are compared here, not in the statement, which would have to copy each of them into its
 * input and to read it at once.
 */
static void
lock(EmbedRows *rows, const TableColumn *column)
{
	static const char *const names[] = {"n", "t", "c"};
	static const Oid types[] = {INT4OID, OIDOID, TIDOID};
	bool nulls[3] = {false};
	Reading reading = {.rows = rows, .column = column, .context = CurrentMemoryContext};
	InputRows input;
	const char *sql = psprintf(
		"SELECT k.n, l.tableoid, l.ctid, %s FROM bert_batch AS k, %s AS l"
		" WHERE l.ctid OPERATOR(pg_catalog.=) k.c AND l.tableoid OPERATOR(pg_catalog.=) k.t AND "
		"l.%s IS NULL FOR NO KEY UPDATE OF l SKIP LOCKED",
		table_column_texts_sql(column, "l."), column->table_sql, column->target_sql);

	input_rows_begin(&input, 3, names, types);
	input.by_place = !column->has_children;
	for (int i = 0; i < rows->n; i++)
	{
		EmbedRow *row = &rows->rows[i];
		Datum values[3] = {Int32GetDatum(i), ObjectIdGetDatum(row->table),
						   PointerGetDatum(&row->tid)};

		input_rows_add(&input, values, nulls);
	}
	(void) table_statement_run(sql, column->relation, false, &input, take_locked, &reading);
	input_rows_end(&input);
}

static int
update(const EmbedRows *rows, const TableColumn *column)
{
	static const char *const names[] = {"t", "c", "value"};
	static const Oid types[] = {OIDOID, TIDOID, FLOAT4ARRAYOID};
	bool nulls[3] = {false};
	InputRows input;
	uint64 updated = 0;
	const char *sql = psprintf(
		"UPDATE %s AS l SET %s = k.value FROM bert_batch AS k"
		" WHERE l.ctid OPERATOR(pg_catalog.=) k.c AND l.tableoid OPERATOR(pg_catalog.=) k.t",
		column->table_sql, column->target_sql);

	input_rows_begin(&input, 3, names, types);
	input.by_place = !column->has_children;
	for (int i = 0; i < rows->n; i++)
	{
		EmbedRow *row = &rows->rows[i];
		Datum values[3] = {ObjectIdGetDatum(row->table), PointerGetDatum(&row->tid),
						   row->embedding};

		if (row->written)
			input_rows_add(&input, values, nulls);
	}
	if (input.n > 0)
		updated = table_statement_run(sql, column->relation, false, &input, NULL, NULL);
	input_rows_end(&input);
	return (int) updated;
}

int
embed_rows_write(EmbedRows *rows, const TableColumn *column, ModelHandle *model)
{
	if (rows->n == 0)
		return 0;
	compute(rows, column, model);
	lock(rows, column);
	return update(rows, column);
}

void
embed_rows_wait(const EmbedRow *row, const TableColumn *column)
{
	(void) table_statement_run(
		psprintf(
			"SELECT 1 FROM %s AS l WHERE l.ctid OPERATOR(pg_catalog.=) '(%u,%u)'::pg_catalog.tid"
			" AND l.tableoid OPERATOR(pg_catalog.=) %u::pg_catalog.oid FOR NO KEY UPDATE",
			column->table_sql, ItemPointerGetBlockNumberNoCheck(&row->tid),
			ItemPointerGetOffsetNumberNoCheck(&row->tid), row->table),
		column->relation, false, NULL, NULL, NULL);
}
