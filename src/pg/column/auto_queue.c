/* auto_queue.c: all SQL on bert.auto_column and bert.auto_queue. */
#include "pg/server/compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pg/column/auto_embed.h"
#include "pg/server/own_statement.h"
#include "pg/server/owner.h"

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

#define COLUMN_COLUMNS                                                                 \
	" a.number, a.relation::pg_catalog.oid, bert.auto_embed_role(a.number), a.model, " \
	"a.search_path, a.by_owner"

/* In the caller's context. */
static AutoColumn *
read_column(OwnStatement *statement, uint64 row)
{
	MemoryContext spi = MemoryContextSwitchTo(statement->caller);
	AutoColumn *column = palloc(sizeof *column);
	bool is_null;

	column->number = DatumGetInt64(own_result(row, 1, &is_null));
	column->relation = DatumGetObjectId(own_result(row, 2, &is_null));
	column->role = DatumGetObjectId(own_result(row, 3, &is_null));
	column->model = TextDatumGetCString(own_result(row, 4, &is_null));
	column->search_path = TextDatumGetCString(own_result(row, 5, &is_null));
	column->by_owner = DatumGetBool(own_result(row, 6, &is_null));
	column->part = InvalidOid;
	if (SPI_tuptable->tupdesc->natts > 6)
		column->part = DatumGetObjectId(own_result(row, 7, &is_null));
	MemoryContextSwitchTo(spi);
	return column;
}

static List *
read_columns(OwnStatement *statement, uint64 n)
{
	List *columns = NIL;

	for (uint64 i = 0; i < n; i++)
	{
		AutoColumn *column = read_column(statement, i);
		MemoryContext spi = MemoryContextSwitchTo(statement->caller);

		columns = lappend(columns, column);
		MemoryContextSwitchTo(spi);
	}
	return columns;
}

int64
auto_column_insert(const AutoColumn *column)
{
	OwnStatement statement;
	int64 number;
	bool is_null;

	own_begin(&statement);
	own_add(&statement, OIDOID, ObjectIdGetDatum(column->relation), false);
	own_add_text(&statement, column->model);
	own_add_text(&statement, column->search_path);
	own_add(&statement, BOOLOID, BoolGetDatum(column->by_owner), false);
	own_run(&statement, "INSERT INTO bert.auto_column (relation, model, search_path, by_owner)"
						" VALUES ($1::pg_catalog.regclass, $2, $3, $4) RETURNING number");
	number = DatumGetInt64(own_result(0, 1, &is_null));
	own_end(&statement);
	owner_create(OWNED_COLUMN, owned_name(OWNED_COLUMN, number), column->role);
	return number;
}

bool
auto_column_load(int64 number, AutoColumn *column)
{
	OwnStatement statement;
	bool found;

	own_begin(&statement);
	own_add_int64(&statement, number);
	found = own_run(&statement,
					"SELECT" COLUMN_COLUMNS " FROM bert.auto_column AS a WHERE a.number = $1") == 1;
	if (found)
		*column = *read_column(&statement, 0);
	own_end(&statement);
	return found;
}

List *
auto_columns_due(void)
{
	OwnStatement statement;
	List *columns;

	own_begin(&statement);
	columns = read_columns(&statement,
						   own_run(&statement, "SELECT" COLUMN_COLUMNS ", q.relation"
											   " FROM bert.auto_column AS a"
											   " JOIN (SELECT DISTINCT number, "
											   "relation::pg_catalog.oid FROM bert.auto_queue"
											   " WHERE next_try <= pg_catalog.clock_timestamp())"
											   " AS q USING (number)"
											   " WHERE a.next_try <= pg_catalog.clock_timestamp()"
											   " ORDER BY a.number"));
	own_end(&statement);
	return columns;
}

List *
auto_columns_of(Oid relation)
{
	OwnStatement statement;
	List *columns;

	own_begin(&statement);
	own_add(&statement, OIDOID, ObjectIdGetDatum(relation), false);
	columns = read_columns(
		&statement,
		own_run(&statement, "SELECT" COLUMN_COLUMNS
							" FROM bert.auto_column AS a WHERE a.relation = $1 ORDER BY a.number"));
	own_end(&statement);
	return columns;
}

void
auto_column_delete(int64 number)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, number);
	own_run(&statement, "DELETE FROM bert.auto_column WHERE number = $1");
	own_run(&statement, "DELETE FROM bert.auto_attempt WHERE number = $1");
	own_run_alone(&statement, "DELETE FROM bert.auto_queue WHERE number = $1");
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

void
auto_columns_sweep(void)
{
	OwnStatement statement;

	own_begin(&statement);
	/* what an open transaction holds is left to it, or to the next who sweeps */
	own_run(&statement, "DELETE FROM bert.auto_column WHERE number = ANY (ARRAY(SELECT a.number"
						" FROM bert.auto_column AS a WHERE NOT EXISTS (SELECT FROM "
						"pg_catalog.pg_class AS c WHERE c.oid = a.relation)"
						" FOR UPDATE SKIP LOCKED))");
	own_run(&statement, "DELETE FROM bert.auto_attempt WHERE number = ANY (ARRAY(SELECT t.number"
						" FROM bert.auto_attempt AS t WHERE NOT EXISTS (SELECT FROM "
						"bert.auto_column AS a WHERE a.number = t.number)"
						" FOR UPDATE SKIP LOCKED))");
	own_run_alone(&statement, "DELETE FROM bert.auto_queue WHERE id = ANY (ARRAY(SELECT q.id"
							  " FROM bert.auto_queue AS q WHERE NOT EXISTS (SELECT FROM "
							  "bert.auto_column AS a WHERE a.number = q.number)"
							  " OR NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c "
							  "WHERE c.oid = q.relation) FOR UPDATE SKIP LOCKED))");
}

void
auto_column_fail(const AutoColumn *column, const char *sqlstate, const char *error)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, column->number);
	own_add_text(&statement, sqlstate);
	own_add_text(&statement, error);
	if (error != NULL && OidIsValid(column->part) && column->part != column->relation)
	{
		/* the other parts have other owners, who may fare better */
		own_add(&statement, OIDOID, ObjectIdGetDatum(column->part), false);
		own_run_alone(&statement,
					  "UPDATE bert.auto_queue SET sqlstate = $2, error = $3, next_try = "
					  "greatest(next_try, pg_catalog.clock_timestamp() + '20 s')"
					  " WHERE number = $1 AND relation = $4");
		return;
	}
	own_run_alone(&statement, "UPDATE bert.auto_column SET sqlstate = $2, error = $3, failed = "
							  "CASE WHEN $3 IS NOT NULL THEN pg_catalog.clock_timestamp() END,"
							  " next_try = CASE WHEN $3 IS NULL THEN '-infinity' ELSE "
							  "pg_catalog.clock_timestamp() + '20 s' END"
							  " WHERE number = $1 AND (error IS NOT NULL OR $3 IS NOT NULL)");
}

#define MAX_CRASHES 2

bool
auto_attempt_begin(const AutoColumn *column, Oid role)
{
	OwnStatement statement;
	bool is_null;
	bool goes_on;

	own_begin(&statement);
	own_add_int64(&statement, column->number);
	own_add(&statement, OIDOID, ObjectIdGetDatum(role), false);
	own_run(&statement,
			"INSERT INTO bert.auto_attempt AS t (number, role, begun) VALUES ($1, $2, 1)"
			" ON CONFLICT (number, role) DO UPDATE SET begun = t.begun + 1 RETURNING t.begun");
	goes_on = DatumGetInt32(own_result(0, 1, &is_null)) <= MAX_CRASHES;
	if (!goes_on)
	{
		statement.n = 1;
		own_run(&statement,
				"UPDATE bert.auto_column SET sqlstate = '58000', error = 'paused: the process that "
				"embeds it has crashed twice. See the server''s log, mend the cause, call "
				"bert.stop_auto_embed and bert.auto_embed, then bert.embed_column.',"
				" failed = pg_catalog.clock_timestamp(), next_try = 'infinity' WHERE number = $1");
	}
	own_end(&statement);
	return goes_on;
}

void
auto_attempt_end(int64 number, Oid role)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, number);
	own_add(&statement, OIDOID, ObjectIdGetDatum(role), false);
	own_run_alone(&statement, "DELETE FROM bert.auto_attempt WHERE ($1 = 0 OR number = $1) AND "
							  "role = $2 AND begun <= 2");
}

void
auto_queue_insert(int64 number, Oid part, bool stale, int n, Datum *names, Datum *key)
{
	static SPIPlanPtr plan;
	Oid types[5] = {INT8OID, TEXTARRAYOID, TEXTARRAYOID, OIDOID, BOOLOID};
	Datum values[5];
	OwnStatement statement;

	values[0] = Int64GetDatum(number);
	values[1] = PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
	values[2] = PointerGetDatum(construct_array(key, n, TEXTOID, -1, false, TYPALIGN_INT));
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
	Datum *elements;
	char **texts;

	if (ARR_NDIM(array) != 1 || ARR_DIMS(array)[0] > AUTO_MAX_KEY || array_contains_nulls(array))
		return NULL;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, n);
	texts = palloc((Size) *n * sizeof *texts);
	for (int i = 0; i < *n; i++)
		texts[i] = TextDatumGetCString(elements[i]);
	return texts;
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
