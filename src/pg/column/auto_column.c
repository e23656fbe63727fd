/* auto_column.c: who acts for a column, and all SQL on bert.auto_column and bert.auto_attempt. */
#include "pg/server/compat.h"

#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "pg/column/auto_column.h"
#include "pg/server/own_statement.h"
#include "pg/server/owner.h"

/* --- Roles --- */

bool
auto_owners_act(const AutoColumn *column)
{
	return column->by_owner || superuser_arg(column->role);
}

Oid
auto_acting_role(const AutoColumn *column, Oid relation)
{
	Oid owner = role_owner_of(relation);

	if (!OidIsValid(owner))
		return column->role; /* nothing is left that could be done as anybody */
	if (auto_owners_act(column) || !SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(column->role)))
		return owner;
	return column->role;
}

bool
auto_belongs(const AutoColumn *column, Relation relation)
{
	return column->relation == RelationGetRelid(relation) ||
		   (relation->rd_rel->relispartition &&
			list_member_oid(get_partition_ancestors(RelationGetRelid(relation)), column->relation));
}

/* --- bert.auto_column --- */

#define COLUMN_COLUMNS                                                                 \
	" a.number, a.relation::pg_catalog.oid, bert.auto_embed_role(a.number), a.model, " \
	"a.search_path, a.by_owner, a.prompt_name, a.dimensions, "                         \
	"a.chunks::pg_catalog.oid, a.template, a.max_tokens, a.overlap"
#define N_COLUMN_COLUMNS 12

static void
read_chunks(uint64 row, AutoColumn *column)
{
	bool is_null;
	Datum value = own_result(row, 9, &is_null);

	column->cuts = !is_null;
	column->chunks = is_null ? InvalidOid : DatumGetObjectId(value);
	value = own_result(row, 10, &is_null);
	column->template = is_null ? NULL : TextDatumGetCString(value);
	value = own_result(row, 11, &is_null);
	column->max_tokens = is_null ? 0 : DatumGetInt32(value);
	value = own_result(row, 12, &is_null);
	column->overlap = is_null ? 0 : DatumGetInt32(value);
}

/* In the caller's context. */
static AutoColumn *
read_column(OwnStatement *statement, uint64 row)
{
	MemoryContext spi = MemoryContextSwitchTo(statement->caller);
	AutoColumn *column = palloc(sizeof *column);
	bool is_null;
	Datum prompt;
	int dimensions;

	column->number = DatumGetInt64(own_result(row, 1, &is_null));
	column->relation = DatumGetObjectId(own_result(row, 2, &is_null));
	column->role = DatumGetObjectId(own_result(row, 3, &is_null));
	column->model = TextDatumGetCString(own_result(row, 4, &is_null));
	column->search_path = TextDatumGetCString(own_result(row, 5, &is_null));
	column->by_owner = DatumGetBool(own_result(row, 6, &is_null));
	column->part = InvalidOid;
	prompt = own_result(row, 7, &is_null);
	column->form.prompt_name = is_null ? NULL : TextDatumGetCString(prompt);
	dimensions = DatumGetInt32(own_result(row, 8, &is_null));
	column->form.dimensions = is_null ? 0 : dimensions;
	read_chunks(row, column);
	column->form.template = column->cuts ? NULL : column->template;
	if (SPI_tuptable->tupdesc->natts > N_COLUMN_COLUMNS)
		column->part = DatumGetObjectId(own_result(row, N_COLUMN_COLUMNS + 1, &is_null));
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
	own_add_text(&statement, column->form.prompt_name);
	own_add(&statement, INT4OID, Int32GetDatum(column->form.dimensions),
			column->form.dimensions == 0);
	own_add(&statement, OIDOID, ObjectIdGetDatum(column->chunks), !column->cuts);
	own_add_text(&statement, column->template);
	own_add(&statement, INT4OID, Int32GetDatum(column->max_tokens), column->max_tokens == 0);
	own_add(&statement, INT4OID, Int32GetDatum(column->overlap), !column->cuts);
	own_run(&statement,
			"INSERT INTO bert.auto_column (relation, model, search_path, by_owner, prompt_name,"
			" dimensions, chunks, template, max_tokens, overlap) VALUES ($1::pg_catalog.regclass,"
			" $2, $3, $4, $5, $6, $7::pg_catalog.regclass, $8, $9, $10) RETURNING number");
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

static List *
columns_with(Oid relation, const char *sql)
{
	OwnStatement statement;
	List *columns;

	own_begin(&statement);
	own_add(&statement, OIDOID, ObjectIdGetDatum(relation), false);
	columns = read_columns(&statement, own_run(&statement, sql));
	own_end(&statement);
	return columns;
}

List *
auto_columns_of(Oid relation)
{
	return columns_with(relation, "SELECT" COLUMN_COLUMNS
								  " FROM bert.auto_column AS a WHERE a.relation = $1 AND"
								  " a.chunks IS NULL ORDER BY a.number");
}

List *
auto_columns_into(Oid chunks)
{
	return columns_with(chunks,
						"SELECT" COLUMN_COLUMNS " FROM bert.auto_column AS a WHERE a.chunks = $1"
						" ORDER BY a.number");
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
auto_columns_sweep(void)
{
	OwnStatement statement;

	own_begin(&statement);
	/* what an open transaction holds is left to it, or to the next who sweeps */
	own_run(&statement, "DELETE FROM bert.auto_column WHERE number = ANY (ARRAY(SELECT a.number"
						" FROM bert.auto_column AS a WHERE NOT EXISTS (SELECT FROM "
						"pg_catalog.pg_class AS c WHERE c.oid = a.relation) OR a.chunks IS NOT"
						" NULL AND NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid ="
						" a.chunks) FOR UPDATE SKIP LOCKED))");
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

/* --- bert.auto_attempt --- */

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
		own_run(
			&statement,
			"UPDATE bert.auto_column SET sqlstate = '58000', error = 'paused: the process that "
			"embeds it has crashed twice. See the server''s log, mend the cause, ' || CASE WHEN "
			"chunks IS NULL THEN 'call bert.stop_auto_embed and bert.auto_embed, then "
			"bert.embed_column.' ELSE 'call bert.stop_auto_chunk, drop the table of chunks, "
			"and call bert.auto_chunk.' END, failed = pg_catalog.clock_timestamp(), next_try = "
			"'infinity' WHERE number = $1");
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
