/* auto_embed.c: bert.auto_embed and bert.stop_auto_embed. */
#include "pg/server/compat.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "pg/column/auto_column.h"
#include "pg/column/auto_embed.h"
#include "pg/column/auto_key.h"
#include "pg/column/auto_trigger.h"
#include "pg/column/statement.h"
#include "pg/server/detoast.h"
#include "pg/server/role.h"
#include "pg/server/values.h"

PG_FUNCTION_INFO_V1(bert_auto_embed);
PG_FUNCTION_INFO_V1(bert_stop_auto_embed);

/* --- bert.auto_embed --- */

void
auto_check_table(const TableColumn *column, AutoKey *key)
{
	Relation relation = relation_open(column->relation, NoLock);
	const char *why;

	if (column->temporary)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("\"%s\" is a temporary table", column->name),
						errdetail("The process that embeds could not read it.")));
	why = auto_key(relation, key);
	if (why != NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" has no key by which rows could be found again", column->name),
			 why[0] == '\0' ? 0 : errdetail_internal("%s", why),
			 errhint("Give it a primary key, or a unique index on columns that are NOT NULL.")));
	relation_close(relation, NoLock);
}

static bool
is_generated(Relation relation, AttrNumber number)
{
	return TupleDescAttr(RelationGetDescr(relation), number - 1)->attgenerated != '\0';
}

/*
 * What the table must have, besides what embed_column asks for. Returns whether a column of the
 * text is generated.
 */
static bool
check_table(const TableColumn *column)
{
	Relation relation;
	bool generated;
	AutoKey key;

	auto_check_table(column, &key);
	relation = relation_open(column->relation, NoLock);
	generated = is_generated(relation, column->source);
	for (int i = 0; i < column->texts.n; i++)
		generated = generated || is_generated(relation, column->texts.numbers[i]);
	if (auto_trigger_fills(relation, column->target))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("column \"%s\" of table \"%s\" is embedded automatically already",
							   column->target_name, column->name),
						errhint("Call bert.stop_auto_embed first.")));
	relation_close(relation, NoLock);
	return generated;
}

List *
auto_parts(const TableColumn *column)
{
	List *tables;
	List *parts = NIL;
	ListCell *cell;

	if (get_rel_relkind(column->relation) != RELKIND_PARTITIONED_TABLE)
		return list_make1_oid(column->relation);
	tables = find_all_inheritors(column->relation, AccessShareLock, NULL);
	foreach (cell, tables)
		if (get_rel_relkind(lfirst_oid(cell)) != RELKIND_PARTITIONED_TABLE)
			parts = lappend_oid(parts, lfirst_oid(cell));
	return parts;
}

static char *
check_model_as(const TableColumn *column, const text *model, Oid role, const char *search_path)
{
	RoleSwitch saved;
	ModelHandle *handle;
	char *name;

	role_become(&saved, role, search_path);
	handle = model_handle_get_named(NULL, model, TASK_EMBED, &name);
	table_column_check_form(column, handle);
	role_restore(&saved);
	return name;
}

/* The model as all who will use it. Returns its name. */
static char *
check_model(const TableColumn *column, const text *model, const AutoColumn *automatic)
{
	char *name = check_model_as(column, model, automatic->role, automatic->search_path);
	List *known = list_make1_oid(automatic->role);
	ListCell *cell;

	if (!auto_owners_act(automatic))
		return name;
	foreach (cell, auto_parts(column))
	{
		Oid acting = auto_acting_role(automatic, lfirst_oid(cell));

		if (!list_member_oid(known, acting))
			(void) check_model_as(column, cstring_to_text(name), acting, automatic->search_path);
		known = list_append_unique_oid(known, acting);
	}
	return name;
}

static bool
note_row(void *found, TupleTableSlot *slot)
{
	*(bool *) found = true;
	return false;
}

/* Looked for as who acts: planning alone may run what is defined on a table. */
static void
mention_older_rows(const TableColumn *column, const AutoColumn *automatic)
{
	bool found = false;
	List *parts =
		auto_owners_act(automatic) ? auto_parts(column) : list_make1_oid(column->relation);
	ListCell *cell;

	foreach (cell, parts)
	{
		Oid part = lfirst_oid(cell);
		RoleSwitch saved;

		if (found)
			break;
		role_become(&saved, auto_acting_role(automatic, part), automatic->search_path);
		(void) table_statement_run(
			psprintf("SELECT FROM %s%s WHERE %s IS NULL AND %s IS NOT NULL LIMIT 1",
					 get_rel_relkind(part) == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ",
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(part)),
												get_rel_name(part)),
					 column->target_sql, column->source_sql),
			part, false, NULL, note_row, &found);
		role_restore(&saved);
	}
	if (found)
		ereport(
			NOTICE,
			(errmsg("table \"%s\" has rows without embedding", column->name),
			 errhint(
				 "For those that are there already: CALL bert.embed_column(%s, %s, %s%s).",
				 quote_literal_cstr(column->table_sql), quote_literal_cstr(column->source_name),
				 quote_literal_cstr(column->target_name),
				 column->form.template == NULL
					 ? ""
					 : psprintf(", template => %s", quote_literal_cstr(column->form.template)))));
}

void
auto_check_trigger(const TableColumn *column)
{
	if (!OWNS_TABLE(column->relation, GetUserId()) &&
		pg_class_aclcheck(column->relation, GetUserId(), ACL_TRIGGER) != ACLCHECK_OK)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for table %s", column->name),
						errdetail("It needs TRIGGER.")));
}

void
auto_acts(const TableColumn *column, AutoColumn *automatic)
{
	automatic->relation = column->relation;
	automatic->by_owner = superuser_arg(GetUserId());
	automatic->role = automatic->by_owner ? role_owner_of(column->relation) : GetUserId();
	automatic->search_path = GetConfigOptionByName("search_path", NULL, false);
}

void
auto_embed_begin(TableColumn *column, const ColumnForm *form, const text *model,
				 AutoColumn *automatic)
{
	bool generated;

	column->form = automatic->form = *form;
	automatic->template = form->template == NULL ? NULL : pstrdup(form->template);
	auto_acts(column, automatic);
	table_column_find_texts(column);
	table_column_check_rights(column, GetUserId());
	table_column_check_rights(column, automatic->role);
	auto_check_trigger(column);
	generated = check_table(column);
	automatic->model = check_model(column, model, automatic);
	auto_columns_sweep();
	automatic->number = auto_column_insert(automatic);
	auto_triggers_create(column, automatic->number, generated);
}

/* (relation, source, target, model, prompt_name, dimensions, template) */
PGDLLEXPORT Datum
bert_auto_embed(PG_FUNCTION_ARGS)
{
	char *source = name_argument(fcinfo, 1, "source");
	char *target = name_argument(fcinfo, 2, "target");
	AutoColumn automatic = {0};
	TableColumn column;
	ColumnForm form;

	require_argument(fcinfo, 0, "relation");
	PreventCommandIfReadOnly("bert.auto_embed()");
	form = column_form_arguments(fcinfo, 4, 5, 6);
	table_column_open(PG_GETARG_OID(0), source, target, &column);
	auto_embed_begin(&column, &form, PG_ARGISNULL(3) ? NULL : ARGUMENT_TEXT(3), &automatic);
	mention_older_rows(&column, &automatic);
	PG_RETURN_VOID();
}

/* --- bert.stop_auto_embed --- */

void
auto_forget(int64 number)
{
	AutoColumn automatic;
	Relation relation;

	if (!auto_column_load(number, &automatic))
		return;
	relation = try_relation_open(automatic.relation, AccessExclusiveLock);
	if (relation != NULL)
	{
		auto_triggers_drop(relation, number);
		table_close(relation, NoLock);
	}
	auto_column_delete(number);
}

/* (relation, source, target, model): those that are given select */
static bool
is_meant(FunctionCallInfo fcinfo, Relation relation, const AutoColumn *automatic)
{
	EmbedColumns columns;
	bool present = auto_trigger_columns(relation, automatic->number, &columns);

	if (!PG_ARGISNULL(1) && (!present || get_attnum(RelationGetRelid(relation),
													NameStr(*PG_GETARG_NAME(1))) != columns.source))
		return false;
	if (!PG_ARGISNULL(2) && (!present || get_attnum(RelationGetRelid(relation),
													NameStr(*PG_GETARG_NAME(2))) != columns.target))
		return false;
	return PG_ARGISNULL(3) || strcmp(text_to_cstring(ARGUMENT_TEXT(3)), automatic->model) == 0;
}

static void
refuse_stop(const char *table)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("no such column of table \"%s\" is embedded automatically", table),
					errhint("See the view bert.auto_embeds.")));
}

bool
auto_may_stop(const AutoColumn *automatic)
{
	return OWNS_TABLE(automatic->relation, GetUserId()) ||
		   has_privs_of_role(GetUserId(), automatic->role);
}

/* Before the table is locked: somebody without rights there must not hold up others. */
static void
check_stop(Oid relation, const List *columns)
{
	const char *name = get_rel_name(relation);
	bool may = columns == NIL;
	ListCell *cell;

	if (name == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the table with OID %u does not exist", relation)));
	foreach (cell, columns)
		may = may || auto_may_stop(lfirst(cell));
	if (!may)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for table %s", name),
						errdetail("Its owner may stop it, and the role that has started it.")));
	if (columns == NIL)
		refuse_stop(name);
}

PGDLLEXPORT Datum
bert_stop_auto_embed(PG_FUNCTION_ARGS)
{
	Relation relation;
	List *columns;
	ListCell *cell;
	int stopped = 0;

	require_argument(fcinfo, 0, "relation");
	PreventCommandIfReadOnly("bert.stop_auto_embed()");
	columns = auto_columns_of(PG_GETARG_OID(0));
	check_stop(PG_GETARG_OID(0), columns);
	/* what dropping a trigger takes */
	relation = table_open(PG_GETARG_OID(0), AccessExclusiveLock);
	foreach (cell, columns)
	{
		const AutoColumn *automatic = lfirst(cell);

		if (!is_meant(fcinfo, relation, automatic))
			continue;
		if (!auto_may_stop(automatic))
			continue;
		auto_triggers_drop(relation, automatic->number);
		auto_column_delete(automatic->number);
		stopped++;
	}
	if (stopped == 0)
		refuse_stop(RelationGetRelationName(relation));
	auto_columns_sweep();
	table_close(relation, NoLock);
	PG_RETURN_VOID();
}
