/*
 * auto_relation.c: the type of the columns that name a table in bert.auto_column and
 * bert.auto_queue.
 *
 * It is regclass but for one thing: a name without a table is no error. Those rows come with a
 * dump, and a table may be missing where that is restored, because it was left out or could not be
 * made; an error would take all other rows along, for they are one COPY. What names no table is
 * forgotten by the next auto_columns_sweep.
 */
#include "pg/server/compat.h"

#include "catalog/namespace.h"
#include "nodes/makefuncs.h"
#include "utils/regproc.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(bert_auto_relation_in);

/* Once for each table, not for each of its rows in the queue. */
static void
warn_of_missing(const char *name)
{
	static char last[2 * NAMEDATALEN + 8];

	if (strncmp(last, name, sizeof last - 1) == 0)
		return;
	strlcpy(last, name, sizeof last);
	ereport(WARNING, (errcode(ERRCODE_UNDEFINED_TABLE),
					  errmsg("table %s does not exist: its automatic embedding is left out", name),
					  errhint("Call bert.auto_embed when the table is there.")));
}

/* bert.auto_relation_in(cstring) */
PGDLLEXPORT Datum
bert_auto_relation_in(PG_FUNCTION_ARGS)
{
	const char *name = PG_GETARG_CSTRING(0);
	Oid relation = InvalidOid;

	if (strcmp(name, "-") == 0)
		PG_RETURN_OID(InvalidOid);
	/* a number was a table's that is gone, and would mean another one here */
	if (strspn(name, "0123456789") < strlen(name))
		relation = RangeVarGetRelid(makeRangeVarFromNameList(QUALIFIED_NAME(name)), NoLock, true);
	if (!OidIsValid(relation))
		warn_of_missing(name);
	PG_RETURN_OID(relation);
}
