/*
 * chunk_trigger.c: the triggers of bert.auto_chunk: made, found again, and what they do.
 *
 * What must hold at every moment is done in the transaction that changes a row: chunks of a row
 * that is gone go, those of one whose key changes take the new key, and of one whose text changes
 * all go whose text is no part of the new one. The rest is queued for the worker. All of it is done
 * as the owner of the table of chunks, as for a foreign key.
 */
#include "pg/server/compat.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "pg/column/auto_launch.h"
#include "pg/column/auto_queue.h"
#include "pg/column/auto_trigger.h"
#include "pg/column/chunk_trigger.h"
#include "pg/column/value_text.h"
#include "pg/server/role.h"

#define FUNCTION "auto_chunk_follow"
/* the key of before, the key of now, and three texts */
#define MAX_PARAMETERS (2 * AUTO_MAX_KEY + 3)

PG_FUNCTION_INFO_V1(bert_auto_chunk_follow);

/* --- The columns, in the condition of the trigger for updates --- */

static bool
find_column(Node *node, void *number)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		*(AttrNumber *) number = ((Var *) node)->varattno;
		return true;
	}
	return expression_tree_walker(node, find_column, number);
}

/* IS DISTINCT FROM compares texts, an operator the key. */
static bool
collect_columns(Node *node, void *context)
{
	ChunkColumns *columns = context;
	AttrNumber number = InvalidAttrNumber;

	if (node == NULL)
		return false;
	if (!IsA(node, DistinctExpr) && !IsA(node, OpExpr))
		return expression_tree_walker(node, collect_columns, context);
	(void) find_column(node, &number);
	if (number > 0 && IsA(node, DistinctExpr) && columns->n_texts < lengthof(columns->texts))
		columns->texts[columns->n_texts++] = number;
	else if (number > 0 && IsA(node, OpExpr) && columns->n_key < AUTO_MAX_KEY)
		columns->key[columns->n_key++] = number;
	return false;
}

bool
chunk_trigger_columns(Relation relation, int64 number, ChunkColumns *columns)
{
	for (int i = 0; relation->trigdesc != NULL && i < relation->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &relation->trigdesc->triggers[i];

		if (!auto_trigger_runs(trigger, FUNCTION) || auto_trigger_number(trigger) != number ||
			!TRIGGER_FOR_UPDATE(trigger->tgtype) || trigger->tgqual == NULL)
			continue;
		*columns = (ChunkColumns){0};
		(void) collect_columns(stringToNode(trigger->tgqual), columns);
		if (columns->n_texts > 0 && columns->n_key > 0)
			return true;
	}
	return false;
}

/* --- Making them --- */

static char *
changed_condition(const TableColumn *column, const Template *template, const AutoKey *key)
{
	StringInfoData sql;

	initStringInfo(&sql);
	auto_trigger_append_changed(&sql, column->source_sql);
	for (int i = 0; i < template->n_columns; i++)
		auto_trigger_append_changed(&sql, quote_identifier(template->names[i]));
	for (int i = 0; i < key->n; i++)
	{
		const AutoKeyColumn *part = &key->columns[i];
		const char *name = quote_identifier(part->name);

		appendStringInfo(&sql, " OR NOT (OLD.%s%s %s NEW.%s%s%s)", name, part->cast, part->equality,
						 name, part->cast, part->collate);
	}
	return sql.data;
}

static void
create(const TableColumn *column, const AutoColumn *automatic, const char *suffix,
	   const char *event, const char *condition)
{
	char *name = psprintf("bert_auto_chunk_%lld%s", (long long) automatic->number, suffix);
	ObjectAddress trigger;
	ObjectAddress chunks;

	auto_trigger_sql(psprintf(
		"CREATE TRIGGER %s AFTER %s ON %s FOR EACH %s%s%s%s "
		"EXECUTE FUNCTION bert." FUNCTION "('%lld')",
		name, event, column->table_sql, strcmp(event, "TRUNCATE") == 0 ? "STATEMENT" : "ROW",
		condition == NULL ? "" : " WHEN (", condition == NULL ? "" : condition,
		condition == NULL ? "" : ")", (long long) automatic->number));
	ObjectAddressSet(trigger, TriggerRelationId, get_trigger_oid(column->relation, name, false));
	ObjectAddressSet(chunks, RelationRelationId, automatic->chunks);
	recordDependencyOn(&trigger, &chunks, DEPENDENCY_AUTO);
}

void
chunk_triggers_create(const TableColumn *column, const AutoColumn *automatic,
					  const Template *template, const AutoKey *key)
{
	int level = NewGUCNestLevel();

	/* IS DISTINCT FROM takes its operator from the path */
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	create(column, automatic, "", "INSERT", psprintf("NEW.%s IS NOT NULL", column->source_sql));
	create(column, automatic, "_update", "UPDATE", changed_condition(column, template, key));
	create(column, automatic, "_delete", "DELETE", NULL);
	create(column, automatic, "_truncate", "TRUNCATE", NULL);
	SPI_finish();
	AtEOXact_GUC(false, level);
}

/* --- What they do --- */

/* What following a statement's rows needs to know. */
typedef struct FollowSite
{
	bool works; /* false: there is nothing to follow */
	AutoColumn automatic;
	ChunkColumns columns;
	ChunkTable table;
	Template template;
	Oid acting;
	bool may_connect; /* the acting role */
	QueueKey key;
	ValueText values[1 + TEMPLATE_MAX_COLUMNS];
	Oid types[MAX_PARAMETERS];
	SPIPlanPtr move;
	SPIPlanPtr drop;
	SPIPlanPtr drop_stale;
	MemoryContextCallback free_plans;
} FollowSite;

static void
describe_rows(FollowSite *site, Relation relation)
{
	for (int i = 0; i < site->columns.n_texts; i++)
		value_text_describe(
			&site->values[i],
			TupleDescAttr(RelationGetDescr(relation), site->columns.texts[i] - 1)->atttypid);
	queue_key_begin(&site->key);
	for (int i = 0; i < site->columns.n_key; i++)
	{
		AutoKeyColumn part = site->table.key[i];

		part.name = get_attname(RelationGetRelid(relation), site->columns.key[i], false);
		queue_key_add(&site->key, relation, &part);
		site->types[i] = site->types[site->columns.n_key + i] = part.type;
	}
	for (int i = 0; i < 3; i++)
		site->types[2 * site->columns.n_key + i] = TEXTOID;
}

static void
free_plans(void *context)
{
	FollowSite *site = context;

	if (site->move != NULL)
		(void) SPI_freeplan(site->move);
	if (site->drop != NULL)
		(void) SPI_freeplan(site->drop);
	if (site->drop_stale != NULL)
		(void) SPI_freeplan(site->drop_stale);
}

/*
 * The trigger's argument must name a row made for this table, or for one that it is a partition of:
 * anybody can write a trigger. So the columns are those of the table that the row was made for.
 */
static bool
find_columns(FollowSite *site, Relation relation, int64 number)
{
	Relation source;
	bool found;

	if (!auto_column_load(number, &site->automatic) || !site->automatic.cuts ||
		!auto_belongs(&site->automatic, relation))
		return false;
	source = table_open(site->automatic.relation, AccessShareLock);
	found = chunk_trigger_columns(source, number, &site->columns);
	if (found && source->rd_id != relation->rd_id)
		chunk_columns_map(&site->columns, source->rd_id, relation->rd_id);
	table_close(source, NoLock);
	return found;
}

static FollowSite *
follow_site(FunctionCallInfo fcinfo, const TriggerData *data)
{
	FollowSite *site = fcinfo->flinfo->fn_extra;
	Relation relation = data->tg_relation;
	const char *why = NULL;
	MemoryContext previous;

	if (site != NULL)
		return site;
	previous = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	site = palloc0(sizeof *site);
	site->free_plans = (MemoryContextCallback){.func = free_plans, .arg = site};
	MemoryContextRegisterResetCallback(fcinfo->flinfo->fn_mcxt, &site->free_plans);
	site->works = find_columns(site, relation, auto_trigger_number(data->tg_trigger));
	if (site->works)
		why = chunk_table_open(&site->automatic, &site->columns, RelationGetRelid(relation),
							   RowExclusiveLock, &site->table);
	if (why != NULL)
		ereport(WARNING,
				(errmsg("chunks do not follow table \"%s\"", RelationGetRelationName(relation)),
				 errdetail_internal("%s", why)));
	site->works = site->works && why == NULL;
	if (site->works)
	{
		site->acting = auto_acting_role(&site->automatic, RelationGetRelid(relation));
		site->may_connect = role_may_connect(site->acting);
		template_parse(site->automatic.template, true, &site->template);
		describe_rows(site, relation);
	}
	MemoryContextSwitchTo(previous);
	fcinfo->flinfo->fn_extra = site;
	return site;
}

/* "(SELECT $1 AS k0, ... ) AS k": the key in the parameters from first on. */
static void
append_key(StringInfo sql, const FollowSite *site, int first, const char *more)
{
	appendStringInfoString(sql, "(SELECT ");
	for (int i = 0; i < site->columns.n_key; i++)
		appendStringInfo(sql, "%s$%d AS k%d", i == 0 ? "" : ", ", first + i + 1, i);
	appendStringInfo(sql, "%s) AS k", more);
}

static char *
move_sql(const FollowSite *site)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE %s AS l SET ", site->table.sql);
	for (int i = 0; i < site->columns.n_key; i++)
		appendStringInfo(&sql, "%s%s = $%d", i == 0 ? "" : ", ",
						 quote_identifier(site->table.key[i].name), site->columns.n_key + i + 1);
	appendStringInfoString(&sql, " FROM ");
	append_key(&sql, site, 0, "");
	appendStringInfo(&sql, " WHERE true%s AND NOT EXISTS (SELECT FROM %s AS l, ",
					 chunk_table_condition(&site->table), site->table.sql);
	append_key(&sql, site, site->columns.n_key, "");
	appendStringInfo(&sql, " WHERE true%s)", chunk_table_condition(&site->table));
	return sql.data;
}

static char *
drop_sql(const FollowSite *site)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s AS l USING ", site->table.sql);
	append_key(&sql, site, 0, "");
	appendStringInfo(&sql, " WHERE true%s", chunk_table_condition(&site->table));
	return sql.data;
}

/* Chunks whose text, without what the template puts around it, is not in the source's. */
static char *
drop_stale_sql(const FollowSite *site)
{
	StringInfoData sql;
	const char *text = psprintf("l.%s COLLATE \"C\"", site->table.columns[CHUNK_TEXT]);
	int n = 2 * site->columns.n_key;

	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s AS l USING ", site->table.sql);
	append_key(&sql, site, site->columns.n_key,
			   psprintf(", $%d AS a, $%d AS z, $%d AS source", n + 1, n + 2, n + 3));
	appendStringInfo(
		&sql,
		" WHERE true%s AND (k.source IS NULL OR NOT (starts_with(%s, k.a) AND"
		" right(%s, length(k.z)) = k.z AND strpos(k.source, substr(%s, length(k.a) + 1,"
		" greatest(length(%s) - length(k.a) - length(k.z), 0))) > 0))",
		chunk_table_condition(&site->table), text, text, text, text);
	return sql.data;
}

static SPIPlanPtr
prepare(FollowSite *site, const char *sql)
{
	SPIPlanPtr plan = SPI_prepare(sql, 2 * site->columns.n_key + 3, site->types);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "statement failed: %s", SPI_result_code_string(SPI_result));
	return plan;
}

typedef struct FollowRow
{
	Datum values[MAX_PARAMETERS];
	char nulls[MAX_PARAMETERS];
	bool moved;        /* its key is another one */
	bool text_changed; /* the source or a column of the template */
} FollowRow;

/*
 * With a snapshot of now, whatever the transaction's: what a worker has added since is to follow
 * too.
 */
static void
run_plan(SPIPlanPtr plan, FollowRow *row)
{
	bool old = IsolationUsesXactSnapshot();
	Snapshot snapshot = old ? RegisterSnapshot(GetLatestSnapshot()) : InvalidSnapshot;
	int result = SPI_execute_snapshot(plan, row->values, row->nulls, snapshot, InvalidSnapshot,
									  false, true, 0);

	if (old)
		UnregisterSnapshot(snapshot);
	if (result < 0)
		elog(ERROR, "statement failed: %s", SPI_result_code_string(result));
}

/* As the owner of the table of chunks, whom his row security does not bind here. */
static void
become_owner(const FollowSite *site, RoleSwitch *saved)
{
	GetUserIdAndSecContext(&saved->user, &saved->security_context);
	SetUserIdAndSecContext(site->table.owner, saved->security_context |
												  SECURITY_LOCAL_USERID_CHANGE |
												  SECURITY_NOFORCE_RLS);
	saved->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

static void
change_chunks(FollowSite *site, FollowRow *row, bool gone)
{
	RoleSwitch saved;

	become_owner(site, &saved);
	SPI_connect();
	if (site->drop == NULL)
	{
		site->move = prepare(site, move_sql(site));
		site->drop = prepare(site, drop_sql(site));
		site->drop_stale = prepare(site, drop_stale_sql(site));
	}
	if (row->moved)
		run_plan(site->move, row);
	if (row->moved || gone)
		run_plan(site->drop, row);
	if (row->text_changed && !gone)
		run_plan(site->drop_stale, row);
	SPI_finish();
	role_restore(&saved);
}

/* All rows are gone. */
static void
empty_chunks(const FollowSite *site)
{
	RoleSwitch saved;

	become_owner(site, &saved);
	SPI_connect();
	if (SPI_execute(psprintf("DELETE FROM %s", site->table.sql), false, 0) < 0)
		elog(ERROR, "statement failed: %s", SPI_result_code_string(SPI_result));
	SPI_finish();
	role_restore(&saved);
}

static void
take_key(const FollowSite *site, const TriggerData *data, HeapTuple tuple, int first,
		 FollowRow *row)
{
	for (int i = 0; i < site->columns.n_key; i++)
	{
		bool is_null;

		row->values[first + i] = heap_getattr(tuple, site->columns.key[i],
											  RelationGetDescr(data->tg_relation), &is_null);
		row->nulls[first + i] = is_null ? 'n' : ' ';
	}
}

/* The source, and what is put around its parts. */
static void
take_texts(FollowSite *site, const TriggerData *data, FollowRow *row)
{
	char *texts[1 + TEMPLATE_MAX_COLUMNS];
	StringInfoData around[2];
	int first = 2 * site->columns.n_key;
	int level = value_text_begin();

	for (int i = 0; i < site->columns.n_texts; i++)
	{
		bool is_null;
		Datum value = heap_getattr(data->tg_newtuple, site->columns.texts[i],
								   RelationGetDescr(data->tg_relation), &is_null);

		texts[i] = is_null ? NULL : value_text(&site->values[i], value);
	}
	value_text_end(level);
	initStringInfo(&around[0]);
	initStringInfo(&around[1]);
	template_around(&site->template, texts + 1, &around[0], &around[1]);
	for (int i = 0; i < 2; i++)
	{
		row->values[first + i] = CStringGetTextDatum(around[i].data);
		row->nulls[first + i] = ' ';
	}
	row->nulls[first + 2] = texts[0] == NULL ? 'n' : ' ';
	row->values[first + 2] = texts[0] == NULL ? (Datum) 0 : CStringGetTextDatum(texts[0]);
}

static void
compare_rows(FollowSite *site, const TriggerData *data, FollowRow *row)
{
	for (int i = 0; i < site->columns.n_key; i++)
		row->moved = row->moved || !auto_trigger_same(data, site->columns.key[i]);
	for (int i = 0; i < site->columns.n_texts; i++)
		row->text_changed = row->text_changed || !auto_trigger_same(data, site->columns.texts[i]);
}

static void
queue(FollowSite *site, const TriggerData *data, HeapTuple tuple)
{
	Datum key[AUTO_MAX_KEY];
	bool is_null;

	(void) heap_getattr(tuple, site->columns.texts[0], RelationGetDescr(data->tg_relation),
						&is_null);
	if (is_null)
		return;
	queue_key_texts(&site->key, data->tg_relation, tuple, key);
	auto_queue_insert(site->automatic.number, RelationGetRelid(data->tg_relation), false,
					  site->key.n, site->key.names, key);
	auto_start_at_commit(site->acting, site->may_connect);
}

PGDLLEXPORT Datum
bert_auto_chunk_follow(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	FollowRow row;
	FollowSite *site;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(data->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("bert." FUNCTION " is for triggers that bert.auto_chunk makes")));
	site = follow_site(fcinfo, data);
	if (!site->works)
		return PointerGetDatum(NULL);
	memset(&row, 0, sizeof row);
	memset(row.nulls, 'n', sizeof row.nulls);
	if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
		empty_chunks(site);
	else if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
		queue(site, data, data->tg_trigtuple);
	else if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
	{
		take_key(site, data, data->tg_trigtuple, 0, &row);
		change_chunks(site, &row, true);
	}
	else
	{
		take_key(site, data, data->tg_trigtuple, 0, &row);
		take_key(site, data, data->tg_newtuple, site->columns.n_key, &row);
		compare_rows(site, data, &row);
		take_texts(site, data, &row);
		change_chunks(site, &row, false);
		queue(site, data, data->tg_newtuple);
	}
	return PointerGetDatum(NULL);
}
