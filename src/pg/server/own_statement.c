/* own_statement.c: see own_statement.h. */
#include "pg/server/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "pg/server/own_statement.h"

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
