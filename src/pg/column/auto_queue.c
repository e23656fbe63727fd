/* auto_queue.c: all SQL on bert.auto_queue. */
#include "pg/server/compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pg/column/auto_key.h"
#include "pg/column/auto_queue.h"
#include "pg/server/own_statement.h"
#include "pg/server/values.h"

void
auto_queue_insert(int64 number, Oid part, bool stale, int n, Datum *names, Datum *key)
{
	static SPIPlanPtr plan;
	Oid types[5] = {INT8OID, TEXTARRAYOID, TEXTARRAYOID, OIDOID, BOOLOID};
	Datum values[5];
	OwnStatement statement;

	values[0] = Int64GetDatum(number);
	values[1] = PointerGetDatum(text_array(names, (size_t) n));
	values[2] = PointerGetDatum(text_array(key, (size_t) n));
	values[3] = ObjectIdGetDatum(part);
	values[4] = BoolGetDatum(stale);
	own_begin(&statement);
	if (plan == NULL)
	{
		SPIPlanPtr prepared =
			SPI_prepare("INSERT INTO bert.auto_queue (number, names, key, relation, stale)"
						" VALUES ($1, $2, $3, $4::pg_catalog.regclass, $5)",
						5, types);

		if (prepared == NULL || SPI_keepplan(prepared) != 0)
			elog(ERROR, "queue statement failed: %s", SPI_result_code_string(SPI_result));
		plan = prepared;
	}
	if (SPI_execute_plan(plan, values, NULL, false, 0) < 0)
		elog(ERROR, "queue statement failed: %s", SPI_result_code_string(SPI_result));
	own_end(&statement);
}

/* NULL: not the names or values of a key. */
static char **
read_texts(Datum datum, int *n)
{
	ArrayType *array = DatumGetArrayTypeP(datum);

	if (ARR_NDIM(array) != 1 || ARR_DIMS(array)[0] > AUTO_MAX_KEY)
		return NULL;
	return array_strings(array, n);
}

/* Nobody but a superuser or a dump can have written such a row; it is never tried again. */
static void
refuse_row(int64 id)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, id);
	own_run_alone(&statement,
				  "UPDATE bert.auto_queue SET sqlstate = 'XX001', error = 'the row does "
				  "not hold a key', next_try = 'infinity' WHERE id = $1");
}

/* Copies a row of the result into the caller's context; false: it is no row of ours. */
static bool
read_row(const OwnStatement *statement, uint64 i, QueuedRow *row)
{
	MemoryContext spi = MemoryContextSwitchTo(statement->caller);
	int n_names = 0;
	bool is_null;

	row->id = DatumGetInt64(own_result(i, 1, &is_null));
	row->attempts = DatumGetInt32(own_result(i, 2, &is_null));
	row->names = read_texts(own_result(i, 3, &is_null), &n_names);
	row->key = read_texts(own_result(i, 4, &is_null), &row->n);
	row->stale = DatumGetBool(own_result(i, 5, &is_null));
	MemoryContextSwitchTo(spi);
	return row->names != NULL && row->key != NULL && row->n == n_names;
}

List *
auto_queue_take(const AutoColumn *column, int limit)
{
	OwnStatement statement;
	List *rows = NIL;
	List *refused = NIL;
	ListCell *cell;
	uint64 n;

	own_begin(&statement);
	own_add_int64(&statement, column->number);
	own_add(&statement, INT4OID, Int32GetDatum(limit), false);
	own_add(&statement, OIDOID, ObjectIdGetDatum(column->part), false);
	n = own_run(&statement, "SELECT id, attempts, names, key, stale FROM bert.auto_queue"
							" WHERE number = $1 AND ($3 = 0::pg_catalog.oid OR relation = $3)"
							" AND next_try <= pg_catalog.clock_timestamp()"
							" ORDER BY next_try, id LIMIT $2 FOR UPDATE SKIP LOCKED");
	for (uint64 i = 0; i < n; i++)
	{
		QueuedRow *row = MemoryContextAlloc(statement.caller, sizeof *row);
		bool sound = read_row(&statement, i, row);
		MemoryContext spi = MemoryContextSwitchTo(statement.caller);

		if (sound)
			rows = lappend(rows, row);
		else
			refused = lappend(refused, row);
		MemoryContextSwitchTo(spi);
	}
	own_end(&statement);
	foreach (cell, refused)
		refuse_row(((QueuedRow *) lfirst(cell))->id);
	return rows;
}

void
auto_queue_forget(const AutoColumn *column)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, column->number);
	own_add(&statement, OIDOID, ObjectIdGetDatum(column->part), false);
	own_run_alone(&statement, "DELETE FROM bert.auto_queue WHERE number = $1 AND relation = $2");
}

static void
add_ids(OwnStatement *statement, const int64 *ids, int n)
{
	Datum *elements = palloc((Size) Max(n, 1) * sizeof *elements);

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(ids[i]);
	own_add(statement, INT8ARRAYOID,
			PointerGetDatum(construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
											TYPALIGN_DOUBLE)),
			false);
}

static void
for_ids(const char *sql, const int64 *ids, int n)
{
	OwnStatement statement;

	if (n == 0)
		return;
	own_begin(&statement);
	add_ids(&statement, ids, n);
	own_run_alone(&statement, sql);
}

void
auto_queue_delete(const int64 *ids, int n)
{
	for_ids("DELETE FROM bert.auto_queue WHERE id = ANY ($1)", ids, n);
}

void
auto_queue_delay(const int64 *ids, int n)
{
	for_ids("UPDATE bert.auto_queue SET next_try = pg_catalog.clock_timestamp() + '1 s' WHERE id = "
			"ANY ($1)",
			ids, n);
}

void
auto_queue_fail(int64 id, const char *sqlstate, const char *error)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, id);
	own_add_text(&statement, sqlstate);
	own_add_text(&statement, error);
	/* after 10 s, 80 s, 11 min, 85 min; then no more */
	own_run_alone(&statement,
				  "UPDATE bert.auto_queue SET attempts = attempts + 1, sqlstate = $2, error = $3,"
				  " next_try = CASE WHEN attempts < 4 THEN pg_catalog.clock_timestamp() + '10 "
				  "s'::pg_catalog.interval * (8 ^ attempts) ELSE 'infinity' END"
				  " WHERE id = $1");
}

double
auto_queue_next(Oid acting)
{
	OwnStatement statement;
	double next = -1;
	uint64 n;

	own_begin(&statement);
	n = own_run(&statement,
				"SELECT bert.auto_embed_role(a.number), q.relation::pg_catalog.oid,"
				" pg_catalog.date_part('epoch', min(greatest(q.next_try, a.next_try, "
				"pg_catalog.clock_timestamp())) - pg_catalog.clock_timestamp()), a.by_owner"
				" FROM bert.auto_queue AS q JOIN bert.auto_column AS a USING (number) "
				"WHERE q.next_try < 'infinity' AND a.next_try < 'infinity'"
				" GROUP BY 1, 2, a.by_owner");
	for (uint64 i = 0; i < n; i++)
	{
		bool is_null;
		double seconds = DatumGetFloat8(own_result(i, 3, &is_null));
		AutoColumn column = {.role = DatumGetObjectId(own_result(i, 1, &is_null)),
							 .by_owner = DatumGetBool(own_result(i, 4, &is_null))};

		if (auto_acting_role(&column, DatumGetObjectId(own_result(i, 2, &is_null))) == acting &&
			(next < 0 || seconds < next))
			next = Max(seconds, 0);
	}
	own_end(&statement);
	return next;
}
