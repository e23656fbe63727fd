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
	"a.search_path"

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
	own_run(&statement, "INSERT INTO bert.auto_column (relation, model, search_path)"
						" VALUES ($1::pg_catalog.regclass, $2, $3) RETURNING number");
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
						   own_run(&statement, "SELECT" COLUMN_COLUMNS " FROM bert.auto_column AS a"
											   " WHERE a.next_try <= pg_catalog.clock_timestamp() "
											   "AND EXISTS (SELECT FROM bert.auto_queue AS q"
											   " WHERE q.number = a.number AND q.next_try <= "
											   "pg_catalog.clock_timestamp()) ORDER BY a.number"));
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
	own_run_alone(&statement, "DELETE FROM bert.auto_queue WHERE number = $1");
}

void
auto_columns_sweep(void)
{
	OwnStatement statement;

	own_begin(&statement);
	own_run(&statement, "DELETE FROM bert.auto_column AS a WHERE NOT EXISTS (SELECT FROM "
						"pg_catalog.pg_class AS c WHERE c.oid = a.relation)");
	own_run_alone(&statement, "DELETE FROM bert.auto_queue AS q WHERE NOT EXISTS (SELECT FROM "
							  "bert.auto_column AS a WHERE a.number = q.number)");
}

void
auto_column_fail(int64 number, const char *sqlstate, const char *error)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, number);
	own_add_text(&statement, sqlstate);
	own_add_text(&statement, error);
	own_run_alone(&statement, "UPDATE bert.auto_column SET sqlstate = $2, error = $3, failed = "
							  "CASE WHEN $3 IS NOT NULL THEN pg_catalog.clock_timestamp() END,"
							  " next_try = CASE WHEN $3 IS NULL THEN '-infinity' ELSE "
							  "pg_catalog.clock_timestamp() + '20 s' END"
							  " WHERE number = $1 AND (error IS NOT NULL OR $3 IS NOT NULL)");
}

void
auto_queue_insert(int64 number, int n, Datum *names, Datum *key)
{
	static SPIPlanPtr plan;
	Oid types[3] = {INT8OID, TEXTARRAYOID, TEXTARRAYOID};
	Datum values[3];
	OwnStatement statement;

	values[0] = Int64GetDatum(number);
	values[1] = PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
	values[2] = PointerGetDatum(construct_array(key, n, TEXTOID, -1, false, TYPALIGN_INT));
	own_begin(&statement);
	if (plan == NULL)
	{
		SPIPlanPtr prepared = SPI_prepare(
			"INSERT INTO bert.auto_queue (number, names, key) VALUES ($1, $2, $3)", 3, types);

		if (prepared == NULL || SPI_keepplan(prepared) != 0)
			elog(ERROR, "queue statement failed: %s", SPI_result_code_string(SPI_result));
		plan = prepared;
	}
	if (SPI_execute_plan(plan, values, NULL, false, 0) < 0)
		elog(ERROR, "queue statement failed: %s", SPI_result_code_string(SPI_result));
	own_end(&statement);
}

static char **
read_texts(Datum array, int *n)
{
	Datum *elements;
	char **texts;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL,
					  n);
	texts = palloc((Size) Max(*n, 1) * sizeof *texts);
	for (int i = 0; i < *n; i++)
		texts[i] = TextDatumGetCString(elements[i]);
	return texts;
}

List *
auto_queue_take(int64 number, int limit)
{
	OwnStatement statement;
	List *rows = NIL;
	uint64 n;

	own_begin(&statement);
	own_add_int64(&statement, number);
	own_add(&statement, INT4OID, Int32GetDatum(limit), false);
	n = own_run(&statement, "SELECT id, attempts, names, key FROM bert.auto_queue WHERE number = "
							"$1 AND next_try <= pg_catalog.clock_timestamp()"
							" ORDER BY next_try, id LIMIT $2 FOR UPDATE SKIP LOCKED");
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(statement.caller);
		QueuedRow *row = palloc(sizeof *row);
		bool is_null;

		row->id = DatumGetInt64(own_result(i, 1, &is_null));
		row->attempts = DatumGetInt32(own_result(i, 2, &is_null));
		row->names = read_texts(own_result(i, 3, &is_null), &row->n);
		row->key = read_texts(own_result(i, 4, &is_null), &row->n);
		rows = lappend(rows, row);
		MemoryContextSwitchTo(spi);
	}
	own_end(&statement);
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
	n = own_run(&statement, "SELECT bert.auto_embed_role(a.number), a.relation::pg_catalog.oid,"
							" pg_catalog.date_part('epoch', min(greatest(q.next_try, a.next_try, "
							"pg_catalog.clock_timestamp())) - pg_catalog.clock_timestamp())"
							" FROM bert.auto_queue AS q JOIN bert.auto_column AS a USING (number) "
							"WHERE q.next_try < 'infinity' GROUP BY 1, 2");
	for (uint64 i = 0; i < n; i++)
	{
		bool is_null;
		double seconds = DatumGetFloat8(own_result(i, 3, &is_null));

		if (auto_acting_role(DatumGetObjectId(own_result(i, 1, &is_null)),
							 DatumGetObjectId(own_result(i, 2, &is_null))) == acting &&
			(next < 0 || seconds < next))
			next = Max(seconds, 0);
	}
	own_end(&statement);
	return next;
}
