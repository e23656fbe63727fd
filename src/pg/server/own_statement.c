/* own_statement.c: see own_statement.h. */
#include "pg/server/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "pg/server/own_statement.h"
#include "pg/server/values.h"

void
own_begin(OwnStatement *statement)
{
	memset(statement, 0, sizeof *statement);
	statement->caller = CurrentMemoryContext;
	role_become_owner(&statement->role);
	SPI_connect();
}

void
own_end(OwnStatement *statement)
{
	SPI_finish();
	role_restore(&statement->role);
}

void
own_clear(OwnStatement *statement)
{
	statement->n = 0;
}

void
own_add(OwnStatement *statement, Oid type, Datum value, bool is_null)
{
	Assert(statement->n < OWN_MAX_PARAMETERS);
	statement->types[statement->n] = type;
	statement->values[statement->n] = value;
	statement->nulls[statement->n++] = is_null ? 'n' : ' ';
}

void
own_add_int64(OwnStatement *statement, int64 value)
{
	own_add(statement, INT8OID, Int64GetDatum(value), false);
}

void
own_add_float(OwnStatement *statement, double value)
{
	own_add(statement, FLOAT8OID, Float8GetDatum(value), isnan(value));
}

void
own_add_text(OwnStatement *statement, const char *value)
{
	own_add(statement, TEXTOID, value == NULL ? (Datum) 0 : CStringGetTextDatum(value),
			value == NULL);
}

void
own_add_bool(OwnStatement *statement, bool value)
{
	own_add(statement, BOOLOID, BoolGetDatum(value), false);
}

void
own_add_bytes(OwnStatement *statement, const void *bytes, size_t length)
{
	own_add(statement, BYTEAOID,
			bytes == NULL ? (Datum) 0 : PointerGetDatum(bytes_value(bytes, length)), bytes == NULL);
}

void
own_add_texts(OwnStatement *statement, int n, const char *const *values)
{
	const char **strings = palloc((Size) Max(n, 1) * sizeof *strings);

	for (int i = 0; i < n; i++)
		strings[i] = pg_any_to_server(values[i], (int) strlen(values[i]), PG_UTF8);
	own_add(statement, TEXTARRAYOID, PointerGetDatum(string_array(strings, n)), false);
}

void
own_add_jsonb(OwnStatement *statement, Jsonb *value)
{
	own_add(statement, JSONBOID, PointerGetDatum(value), value == NULL);
}

uint64
own_run(OwnStatement *statement, const char *sql)
{
	int result = SPI_execute_with_args(sql, statement->n, statement->types, statement->values,
									   statement->nulls, false, 0);

	if (result < 0)
		elog(ERROR, "statement failed: %s", SPI_result_code_string(result));
	return SPI_processed;
}

uint64
own_run_latest(OwnStatement *statement, const char *sql)
{
	SPIPlanPtr plan = SPI_prepare(sql, statement->n, statement->types);
	int result;

	if (plan == NULL)
		elog(ERROR, "statement failed: %s", SPI_result_code_string(SPI_result));
	/* the rows of our own command are visible too */
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	result = SPI_execute_snapshot(plan, statement->values, statement->nulls, GetActiveSnapshot(),
								  InvalidSnapshot, false, true, 0);
	PopActiveSnapshot();
	SPI_freeplan(plan);
	if (result < 0)
		elog(ERROR, "statement failed: %s", SPI_result_code_string(result));
	return SPI_processed;
}

Datum
own_result(uint64 row, int column, bool *is_null)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, is_null);
}

void
own_run_alone(OwnStatement *statement, const char *sql)
{
	(void) own_run(statement, sql);
	own_end(statement);
}
