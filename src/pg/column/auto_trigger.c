/*
 * auto_trigger.c: the triggers of an automatic column: made, found again, dropped, and what they
 * do.
 */
#include "pg/server/compat.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/primnodes.h"
#include "optimizer/optimizer.h"
#include "rewrite/prs2lock.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "pg/column/auto_key.h"
#include "pg/column/auto_launch.h"
#include "pg/column/auto_queue.h"
#include "pg/column/auto_trigger.h"
#include "pg/column/value_text.h"
#include "pg/server/detoast.h"
#include "pg/server/role.h"

PG_FUNCTION_INFO_V1(bert_auto_embed_clear);
PG_FUNCTION_INFO_V1(bert_auto_embed_queue);
PG_FUNCTION_INFO_V1(bert_auto_column_names);
PG_FUNCTION_INFO_V1(bert_auto_embed_template);

/* --- The triggers' conditions --- */

/* The columns of a row, NEW or OLD, that a condition tests for (not) being NULL, in their order. */
typedef struct Tested
{
	int row;
	NullTestType test;
	int n;
	AttrNumber numbers[1 + TEMPLATE_MAX_COLUMNS];
} Tested;

/* The names that a user sees there may change. */
static void
find_tested(Node *node, Tested *tested)
{
	ListCell *cell;

	if (node == NULL)
		return;
	if (IsA(node, NullTest) && ((NullTest *) node)->nulltesttype == tested->test &&
		IsA(((NullTest *) node)->arg, Var) &&
		((Var *) ((NullTest *) node)->arg)->varno == tested->row &&
		tested->n < lengthof(tested->numbers))
		tested->numbers[tested->n++] = ((Var *) ((NullTest *) node)->arg)->varattno;
	if (IsA(node, BoolExpr))
		foreach (cell, ((BoolExpr *) node)->args)
			find_tested(lfirst(cell), tested);
}

/* The first one; 0: none. */
static AttrNumber
tested_column(Node *node, int row, NullTestType test)
{
	Tested tested = {.row = row, .test = test};

	find_tested(node, &tested);
	return tested.n == 0 ? InvalidAttrNumber : tested.numbers[0];
}

static AttrNumber
trigger_column(const Trigger *trigger, NullTestType test)
{
	return trigger->tgqual == NULL
			   ? InvalidAttrNumber
			   : tested_column(stringToNode(trigger->tgqual), PRS2_NEW_VARNO, test);
}

bool
auto_trigger_runs(const Trigger *trigger, const char *function)
{
	const char *name = get_func_name(trigger->tgfoid);

	return trigger->tgnargs == 1 && name != NULL && strcmp(name, function) == 0 &&
		   get_func_namespace(trigger->tgfoid) == get_namespace_oid("bert", true);
}

int64
auto_trigger_number(const Trigger *trigger)
{
	return trigger->tgnargs == 1 ? strtoll(trigger->tgargs[0], NULL, 10) : 0;
}

/* The target is tested for NULL, then the template's columns are. */
static bool
read_columns(const Trigger *trigger, EmbedColumns *columns)
{
	Tested nulls = {.row = PRS2_NEW_VARNO, .test = IS_NULL};

	columns->source = trigger_column(trigger, IS_NOT_NULL);
	if (trigger->tgqual != NULL)
		find_tested(stringToNode(trigger->tgqual), &nulls);
	if (nulls.n == 0)
		return false;
	columns->target = nulls.numbers[0];
	columns->texts.n = nulls.n - 1;
	memcpy(columns->texts.numbers, nulls.numbers + 1, sizeof columns->texts.numbers);
	return columns->source > 0 && columns->target > 0;
}

bool
auto_trigger_columns(Relation relation, int64 number, EmbedColumns *columns)
{
	for (int i = 0; relation->trigdesc != NULL && i < relation->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &relation->trigdesc->triggers[i];

		if (!auto_trigger_runs(trigger, "auto_embed_queue") ||
			auto_trigger_number(trigger) != number)
			continue;
		if (read_columns(trigger, columns))
			return true;
	}
	return false;
}

bool
auto_trigger_fills(Relation relation, AttrNumber target)
{
	for (int i = 0; relation->trigdesc != NULL && i < relation->trigdesc->numtriggers; i++)
		if (auto_trigger_runs(&relation->trigdesc->triggers[i], "auto_embed_queue") &&
			trigger_column(&relation->trigdesc->triggers[i], IS_NULL) == target)
			return true;
	return false;
}

/* --- Making and dropping them --- */

void
auto_trigger_sql(const char *sql)
{
	int result = SPI_execute(sql, false, 0);

	if (result < 0)
		elog(ERROR, "statement failed: %s", SPI_result_code_string(result));
}

void
auto_trigger_append_changed(StringInfo sql, const char *column)
{
	appendStringInfo(sql,
					 "%sOLD.%s::pg_catalog.text COLLATE pg_catalog.\"C\" IS DISTINCT FROM "
					 "NEW.%s::pg_catalog.text COLLATE pg_catalog.\"C\"",
					 sql->len == 0 ? "" : " OR ", column, column);
}

/* The columns of the text: the source, or the template's. */
static int
text_columns(const TableColumn *column, const char *const **names)
{
	*names = column->texts.n > 0 ? column->texts_sql : &column->source_sql;
	return Max(column->texts.n, 1);
}

/* One of them has changed. */
static char *
changed_condition(const TableColumn *column)
{
	StringInfoData sql;
	const char *const *names;
	int n = text_columns(column, &names);

	initStringInfo(&sql);
	for (int i = 0; i < n; i++)
		auto_trigger_append_changed(&sql, names[i]);
	return sql.data;
}

/* Always true; it names these columns of the row. */
static void
append_names(StringInfo sql, const char *row, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		appendStringInfo(sql, "%s(%s.%s IS NULL OR %s.%s IS NOT NULL)",
						 sql->len == 0 ? "" : " AND ", row, names[i], row, names[i]);
}

void
auto_triggers_create(const TableColumn *column, int64 number, bool generated)
{
	const char *target = column->target_sql;
	const char *changed = changed_condition(column);
	const char *const *names;
	int n_names = text_columns(column, &names);
	StringInfoData named;
	StringInfoData wanting;
	int level = NewGUCNestLevel();

	initStringInfo(&named);
	append_names(&named, "OLD", names, n_names);
	initStringInfo(&wanting);
	appendStringInfo(&wanting, "NEW.%s IS NULL AND NEW.%s IS NOT NULL", target, column->source_sql);
	append_names(&wanting, "NEW", column->texts_sql, column->texts.n);

	/* IS DISTINCT FROM takes its operator from the path */
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	/*
	 * The first one's name makes it fire last, after what other triggers do to the text; the third
	 * sees what one with a later name has done. A generated text is not there yet when the first
	 * one fires: it looks at what the text is made of, and the condition only names the columns.
	 * The second one names a template's columns too, for whoever reads them there.
	 */
	auto_trigger_sql(
		psprintf("CREATE TRIGGER \"~bert_auto_embed_%lld\" BEFORE UPDATE ON %s FOR EACH ROW"
				 " WHEN ((%s) AND NEW.%s IS NOT NULL)"
				 " EXECUTE FUNCTION bert.auto_embed_clear('%lld')",
				 (long long) number, column->table_sql, generated ? named.data : changed, target,
				 (long long) number));
	auto_trigger_sql(
		psprintf("CREATE TRIGGER bert_auto_embed_%lld AFTER INSERT OR UPDATE ON %s FOR EACH "
				 "ROW WHEN (%s) EXECUTE FUNCTION bert.auto_embed_queue('%lld')",
				 (long long) number, column->table_sql, wanting.data, (long long) number));
	auto_trigger_sql(
		psprintf("CREATE TRIGGER bert_auto_embed_%lld_stale AFTER UPDATE ON %s FOR EACH ROW"
				 " WHEN ((%s) AND NEW.%s IS NOT NULL)"
				 " EXECUTE FUNCTION bert.auto_embed_queue('%lld')",
				 (long long) number, column->table_sql, changed, target, (long long) number));
	SPI_finish();
	AtEOXact_GUC(false, level);
}

void
auto_triggers_drop(Relation relation, int64 number)
{
	ObjectAddress triggers[4];
	int n = 0;

	for (int i = 0; relation->trigdesc != NULL && i < relation->trigdesc->numtriggers && n < 4; i++)
	{
		const Trigger *trigger = &relation->trigdesc->triggers[i];

		if (auto_trigger_number(trigger) == number &&
			(auto_trigger_runs(trigger, "auto_embed_queue") ||
			 auto_trigger_runs(trigger, "auto_embed_clear") ||
			 auto_trigger_runs(trigger, "auto_chunk_follow")))
		{
			ObjectAddressSet(triggers[n], TriggerRelationId, trigger->tgoid);
			n++;
		}
	}
	for (int i = 0; i < n; i++)
		performDeletion(&triggers[i], DROP_RESTRICT, 0);
}

/* --- What they do --- */

static TriggerData *
trigger_data(FunctionCallInfo fcinfo, const char *function)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(data->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("%s is for row triggers that bert.auto_embed makes", function)));
	return data;
}

/* What clearing needs to know of a table. */
typedef struct ClearSite
{
	AttrNumber target; /* 0: nothing to clear */
	Bitmapset *bases;  /* where the text is generated, in part: the columns that it is made of */
} ClearSite;

/* The column, or those that it is generated from. */
static void
add_bases(ClearSite *site, TupleDesc desc, AttrNumber number)
{
	if (TupleDescAttr(desc, number - 1)->attgenerated == '\0')
		site->bases = bms_add_member(site->bases, number - FirstLowInvalidHeapAttributeNumber);
	else
		for (int i = 0; i < desc->constr->num_defval; i++)
			if (desc->constr->defval[i].adnum == number)
				pull_varattnos(stringToNode(desc->constr->defval[i].adbin), 1, &site->bases);
}

static ClearSite *
clear_site(FunctionCallInfo fcinfo, const TriggerData *data)
{
	ClearSite *site = fcinfo->flinfo->fn_extra;
	MemoryContext previous;
	TupleDesc desc = RelationGetDescr(data->tg_relation);
	Tested texts = {.row = PRS2_OLD_VARNO, .test = IS_NOT_NULL};
	Node *condition;

	if (site != NULL)
		return site;
	previous = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	site = palloc0(sizeof *site);
	condition = data->tg_trigger->tgqual == NULL ? NULL : stringToNode(data->tg_trigger->tgqual);
	site->target = tested_column(condition, PRS2_NEW_VARNO, IS_NOT_NULL);
	find_tested(condition, &texts);
	for (int i = 0; i < texts.n; i++)
		if (texts.numbers[i] > 0)
			add_bases(site, desc, texts.numbers[i]);
	MemoryContextSwitchTo(previous);
	fcinfo->flinfo->fn_extra = site;
	return site;
}

bool
auto_trigger_same(const TriggerData *data, AttrNumber number)
{
	TupleDesc desc = RelationGetDescr(data->tg_relation);
	Form_pg_attribute form = TupleDescAttr(desc, number - 1);
	bool old_null;
	bool new_null;
	Datum old = heap_getattr(data->tg_trigtuple, number, desc, &old_null);
	Datum new = heap_getattr(data->tg_newtuple, number, desc, &new_null);

	if (old_null || new_null)
		return old_null && new_null;
	return datum_image_eq(old, new, form->attbyval, form->attlen);
}

/* Whether all columns that a text is made of are as they were; false where that is not known. */
static bool
same_bases(const TriggerData *data, const Bitmapset *bases)
{
	int i = -1;

	if (bases == NULL)
		return false;
	while ((i = bms_next_member(bases, i)) >= 0)
	{
		AttrNumber number = (AttrNumber) (i + FirstLowInvalidHeapAttributeNumber);

		if (number > 0 && !auto_trigger_same(data, number))
			return false;
	}
	return true;
}

/*
 * Before an update that changes the text and leaves the embedding: an embedding of another text is
 * none.
 */
PGDLLEXPORT Datum
bert_auto_embed_clear(PG_FUNCTION_ARGS)
{
	TriggerData *data = trigger_data(fcinfo, "bert.auto_embed_clear");
	const ClearSite *site;
	bool new_null = true;
	Datum new = (Datum) 0;

	if (!TRIGGER_FIRED_BEFORE(data->tg_event) || !TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		return PointerGetDatum(data->tg_trigtuple);
	site = clear_site(fcinfo, data);
	/* a new embedding that comes with the text stays */
	if (site->target <= 0 || same_bases(data, site->bases) ||
		!auto_trigger_same(data, site->target))
		return PointerGetDatum(data->tg_newtuple);
	return PointerGetDatum(heap_modify_tuple_by_cols(data->tg_newtuple,
													 RelationGetDescr(data->tg_relation), 1,
													 (int[]){site->target}, &new, &new_null));
}

void
queue_key_begin(QueueKey *key)
{
	key->plain = true;
	key->n = 0;
}

void
queue_key_add(QueueKey *key, Relation relation, const AutoKeyColumn *column)
{
	int i = key->n++;
	Oid output;
	bool varlena;

	key->attributes[i] = get_attnum(RelationGetRelid(relation), column->name);
	getTypeOutputInfo(column->type, &output, &varlena);
	fmgr_info(output, &key->output[i]);
	key->names[i] = CStringGetTextDatum(column->name);
	key->plain = key->plain && column->plain;
}

void
queue_key_texts(QueueKey *key, Relation relation, HeapTuple tuple, Datum *texts)
{
	int level = key->plain ? 0 : value_text_begin();

	for (int i = 0; i < key->n; i++)
	{
		bool is_null;
		Datum value = heap_getattr(tuple, key->attributes[i], RelationGetDescr(relation), &is_null);

		texts[i] = CStringGetTextDatum(is_null ? "" : OutputFunctionCall(&key->output[i], value));
	}
	if (!key->plain)
		value_text_end(level);
}

/* What a statement's queueing needs to know of a table. */
typedef struct QueueSite
{
	bool works; /* false: nothing to queue for */
	int64 number;
	Oid acting;
	bool may_connect; /* the acting role */
	AttrNumber stale; /* the target, for the trigger that looks for embeddings of other texts */
	QueueKey key;
} QueueSite;

static void
find_key(QueueSite *site, const AutoColumn *automatic, Relation relation)
{
	Relation table = table_open(automatic->relation, AccessShareLock);
	AutoKey key;

	site->works = auto_key(table, &key) == NULL;
	queue_key_begin(&site->key);
	for (int i = 0; site->works && i < key.n; i++)
		queue_key_add(&site->key, relation, &key.columns[i]);
	if (!site->works)
		ereport(
			WARNING,
			(errmsg("table \"%s\" has no key any more: its new rows are not embedded automatically",
					RelationGetRelationName(table)),
			 errhint("Give it a primary key, and call bert.embed_column for these rows.")));
	table_close(table, NoLock);
}

/*
 * The trigger's argument must name a row made for this table, or for one that it is a partition of:
 * anybody can write a trigger.
 */
static QueueSite *
queue_site(FunctionCallInfo fcinfo, const TriggerData *data)
{
	MemoryContext previous;
	QueueSite *site = fcinfo->flinfo->fn_extra;
	AutoColumn automatic;

	if (site != NULL)
		return site;
	previous = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	site = palloc0(sizeof *site);
	site->number = auto_trigger_number(data->tg_trigger);
	if (auto_column_load(site->number, &automatic) && auto_belongs(&automatic, data->tg_relation))
	{
		site->acting = auto_acting_role(&automatic, RelationGetRelid(data->tg_relation));
		site->may_connect = role_may_connect(site->acting);
		find_key(site, &automatic, data->tg_relation);
		if (trigger_column(data->tg_trigger, IS_NULL) == InvalidAttrNumber)
			site->stale = trigger_column(data->tg_trigger, IS_NOT_NULL);
	}
	MemoryContextSwitchTo(previous);
	fcinfo->flinfo->fn_extra = site;
	return site;
}

/* After an insert or update that leaves a text without embedding, or with that of another text. */
PGDLLEXPORT Datum
bert_auto_embed_queue(PG_FUNCTION_ARGS)
{
	TriggerData *data = trigger_data(fcinfo, "bert.auto_embed_queue");
	HeapTuple tuple =
		TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
	QueueSite *site = queue_site(fcinfo, data);
	Datum key[AUTO_MAX_KEY];

	if (!site->works || !TRIGGER_FIRED_AFTER(data->tg_event))
		return PointerGetDatum(tuple);
	/* a new embedding came with the text */
	if (site->stale > 0 &&
		(!TRIGGER_FIRED_BY_UPDATE(data->tg_event) || !auto_trigger_same(data, site->stale)))
		return PointerGetDatum(tuple);
	queue_key_texts(&site->key, data->tg_relation, tuple, key);
	auto_queue_insert(site->number, RelationGetRelid(data->tg_relation), site->stale > 0,
					  site->key.n, site->key.names, key);
	auto_start_at_commit(site->acting, site->may_connect);
	return PointerGetDatum(tuple);
}

/*
 * bert.auto_column_names(relation, number) → (source, target), for the views; NULL when the table
 * or its trigger is gone
 */
PGDLLEXPORT Datum
bert_auto_column_names(PG_FUNCTION_ARGS)
{
	Relation relation = try_relation_open(PG_GETARG_OID(0), AccessShareLock);
	EmbedColumns columns;
	Datum values[2] = {0};
	bool nulls[2] = {true, true};
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (relation != NULL && auto_trigger_columns(relation, PG_GETARG_INT64(1), &columns))
	{
		values[0] =
			CStringGetTextDatum(get_attname(RelationGetRelid(relation), columns.source, false));
		values[1] =
			CStringGetTextDatum(get_attname(RelationGetRelid(relation), columns.target, false));
		nulls[0] = nulls[1] = false;
	}
	if (relation != NULL)
		relation_close(relation, AccessShareLock);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* bert.auto_embed_template(relation, number, template): with the names of now; NULL as above */
PGDLLEXPORT Datum
bert_auto_embed_template(PG_FUNCTION_ARGS)
{
	Relation relation = try_relation_open(PG_GETARG_OID(0), AccessShareLock);
	char *names[TEMPLATE_MAX_COLUMNS];
	EmbedColumns columns;
	Template template;
	text *now = NULL;

	if (relation != NULL && auto_trigger_columns(relation, PG_GETARG_INT64(1), &columns))
	{
		template_parse(text_to_cstring(ARGUMENT_TEXT(2)), false, &template);
		for (int i = 0; i < columns.texts.n; i++)
			names[i] = get_attname(RelationGetRelid(relation), columns.texts.numbers[i], false);
		if (template.n_columns == columns.texts.n)
			now = cstring_to_text(template_with_names(&template, names));
	}
	if (relation != NULL)
		relation_close(relation, AccessShareLock);
	if (now == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(now);
}
