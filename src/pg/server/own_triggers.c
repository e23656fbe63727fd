/*
 * own_triggers.c: triggers on the extension's own tables that also fire where rows come by
 * logical replication.
 *
 * bert.owned_row_changed keeps the functions of owner.h in step with their rows, and removes the
 * rows that belong to a deleted job or column. bert.replicated
 * says which replicated rows are taken: a block that is there already is not, for two servers may
 * have the same one, and one that a local model has is not deleted; jobs and automatic columns are
 * the other server's.
 */
#include "pg/server/compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "replication/logicalworker.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "pg/server/own.h"
#include "pg/server/own_statement.h"
#include "pg/server/owner.h"

/* The trigger's data; only for triggers on members of the extension. */
static TriggerData *
trigger_data(FunctionCallInfo fcinfo, const char *function)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(data->tg_event) ||
		own_relation_if_any(RelationGetRelationName(data->tg_relation)) !=
			RelationGetRelid(data->tg_relation))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("bert.%s is for the tables of the extension \"bert\"", function)));
	return data;
}

static Datum
value_of(const TriggerData *data, HeapTuple tuple, const char *column, Oid type)
{
	TupleDesc desc = RelationGetDescr(data->tg_relation);
	const char *table = RelationGetRelationName(data->tg_relation);
	bool is_null;
	Datum value = heap_getattr(tuple, own_column(desc, table, column, type), desc, &is_null);

	if (is_null)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("column \"%s\" of a row of bert.%s is null", column, table)));
	return value;
}

/* What the row's object is called in bert_owner. */
static char *
name_of(const TriggerData *data, HeapTuple tuple, OwnedKind *kind)
{
	const char *table = RelationGetRelationName(data->tg_relation);

	if (strcmp(table, "model") == 0)
	{
		*kind = OWNED_MODEL;
		return TextDatumGetCString(value_of(data, tuple, "name", TEXTOID));
	}
	*kind = strcmp(table, "job") == 0 ? OWNED_JOB : OWNED_COLUMN;
	return owned_name(*kind, DatumGetInt64(value_of(
								 data, tuple, *kind == OWNED_JOB ? "job" : "number", INT8OID)));
}

/* What belongs to a job or an automatic column; models' parts are shared (store_write.c). */
static void
delete_parts(OwnedKind kind, const TriggerData *data)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add(&statement, INT8OID,
			value_of(data, data->tg_trigtuple, kind == OWNED_JOB ? "job" : "number", INT8OID),
			false);
	if (kind == OWNED_JOB)
	{
		own_run(&statement, "DELETE FROM bert.job_metric WHERE job = $1");
		own_run(&statement, "DELETE FROM bert.job_checkpoint WHERE job = $1");
	}
	else
		own_run(&statement, "DELETE FROM bert.auto_queue WHERE number = $1");
	own_end(&statement);
}

PG_FUNCTION_INFO_V1(bert_owned_row_changed);
PGDLLEXPORT Datum
bert_owned_row_changed(PG_FUNCTION_ARGS)
{
	TriggerData *data = trigger_data(fcinfo, "owned_row_changed");
	OwnedKind kind;
	char *before = name_of(data, data->tg_trigtuple, &kind);
	char *after;

	if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
	{
		owner_drop(kind, before);
		if (kind != OWNED_MODEL)
			delete_parts(kind, data);
	}
	else if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
	{
		after = name_of(data, data->tg_newtuple, &kind);
		if (strcmp(before, after) != 0)
			owner_rename(kind, before, after);
	}
	return PointerGetDatum(NULL);
}

static bool
take_block(const TriggerData *data)
{
	OwnStatement statement;
	bool take;

	own_begin(&statement);
	own_add(&statement, BYTEAOID, value_of(data, data->tg_trigtuple, "hash", BYTEAOID), false);
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
	{
		own_add(&statement, INT4OID, value_of(data, data->tg_trigtuple, "chunk", INT4OID), false);
		take = own_run(&statement, "SELECT FROM bert.block WHERE hash = $1 AND chunk = $2") == 0;
	}
	else
		take = own_run(&statement, "SELECT FROM bert.tensor WHERE block = $1 UNION ALL SELECT FROM "
								   "bert.model WHERE vocab = $1 LIMIT 1") == 0;
	own_end(&statement);
	return take;
}

PG_FUNCTION_INFO_V1(bert_replicated);
PGDLLEXPORT Datum
bert_replicated(PG_FUNCTION_ARGS)
{
	TriggerData *data = trigger_data(fcinfo, "replicated");
	HeapTuple row =
		TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
	bool take = true;

	/* a restore may set session_replication_role too */
	if (IsLogicalWorker())
		take = strcmp(RelationGetRelationName(data->tg_relation), "block") == 0 &&
			   (TRIGGER_FIRED_BY_UPDATE(data->tg_event) || take_block(data));
	return PointerGetDatum(take ? row : NULL);
}
