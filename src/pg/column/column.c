/* column.c: what a table and its two columns must be like to be filled. */
#include "pg/server/compat.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "rewrite/prs2lock.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "pg/column/column.h"
#include "pg/server/detoast.h"
#include "pg/server/encoding.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"
#include "pg/server/values.h"

static void
check_kind(Relation relation)
{
	const char *name = RelationGetRelationName(relation);
	char kind = relation->rd_rel->relkind;

	if (kind == RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is a foreign table", name),
				 errhint("Fill the column on the server that has the table.")));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a table", name),
						kind == RELKIND_VIEW || kind == RELKIND_MATVIEW
							? errhint("Name the table that the view reads.")
							: 0));
	if (IsSystemRelation(relation))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("\"%s\" is a system catalog", name)));
	if (RELATION_IS_OTHER_TEMP(relation))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("\"%s\" is a temporary table of another session", name)));
	for (int i = 0; relation->rd_rules != NULL && i < relation->rd_rules->numLocks; i++)
		if (relation->rd_rules->rules[i]->event == CMD_UPDATE)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("table \"%s\" has a rule for UPDATE", name),
							errhint("Triggers are no obstacle.")));
}

/* Partitions and children are written as well. */
static void
check_children(Relation relation)
{
	List *children = find_all_inheritors(RelationGetRelid(relation), AccessShareLock, NULL);
	ListCell *cell;

	foreach (cell, children)
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE)
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\", a part of \"%s\", is a foreign table",
							get_rel_name(lfirst_oid(cell)), RelationGetRelationName(relation)),
					 errhint("Name the other partitions one by one.")));
	list_free(children);
}

static AttrNumber
find_column(Relation relation, const char *name)
{
	AttrNumber number = get_attnum(RelationGetRelid(relation), name);

	if (number == InvalidAttrNumber)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of table \"%s\" does not exist", name,
							   RelationGetRelationName(relation))));
	if (number < 0)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("column \"%s\" is a system column", name)));
	return number;
}

static Form_pg_attribute
column_form(Relation relation, AttrNumber number)
{
	Form_pg_attribute form = number <= RelationGetNumberOfAttributes(relation)
								 ? TupleDescAttr(RelationGetDescr(relation), number - 1)
								 : NULL;

	if (form == NULL || form->attisdropped)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column %d of table \"%s\" was dropped", number,
							   RelationGetRelationName(relation))));
	return form;
}

static void
check_source(Relation relation, Form_pg_attribute form)
{
	char category;
	bool preferred;

	get_type_category_preferred(getBaseType(form->atttypid), &category, &preferred);
	if (category != TYPCATEGORY_STRING)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of table \"%s\" has type %s, not text",
							   NameStr(form->attname), RelationGetRelationName(relation),
							   format_type_be(form->atttypid)),
						errhint("A generated column can hold the value as text.")));
}

/* Is it a type of pgvector's? Whatever schema that is in. sparse: is it sparsevec? */
static bool
is_vector_type(Oid type, bool *sparse)
{
	HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	const char *name = NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname);
	bool named = strcmp(name, "vector") == 0 || strcmp(name, "halfvec") == 0 ||
				 strcmp(name, "sparsevec") == 0;
	Oid extension = named ? getExtensionOfObject(TypeRelationId, type) : InvalidOid;
	const char *extension_name = OidIsValid(extension) ? get_extension_name(extension) : NULL;

	*sparse = named && strcmp(name, "sparsevec") == 0;
	ReleaseSysCache(tuple);
	return extension_name != NULL && strcmp(extension_name, "vector") == 0;
}

bool
table_column_takes_weights(const TableColumn *column, const ModelHandle *model)
{
	return column->sparse && model->sentence.splade.pooling != SPLADE_NONE;
}

int
column_type_dimensions(Oid type, const ModelHandle *model)
{
	bool sparse;

	return is_vector_type(type, &sparse) && sparse && model->sentence.splade.pooling != SPLADE_NONE
			   ? model->config.vocab_size
			   : sentence_dimensions(&model->config, &model->sentence.pooling);
}

bool
column_type_holds_embeddings(Oid type, bool *sized)
{
	bool array = type == FLOAT4ARRAYOID || type == FLOAT8ARRAYOID;
	bool sparse;

	*sized = !array && is_vector_type(type, &sparse);
	return array || *sized;
}

static void
check_target(Relation relation, Form_pg_attribute form, TableColumn *column)
{
	int32 typmod = form->atttypmod;
	Oid type = getBaseTypeAndTypmod(form->atttypid, &typmod);
	bool sized;

	if (form->attgenerated != '\0')
		ereport(ERROR, (errcode(ERRCODE_GENERATED_ALWAYS),
						errmsg("column \"%s\" of table \"%s\" is a generated column",
							   NameStr(form->attname), RelationGetRelationName(relation)),
						errhint("It fills itself.")));
	if (!column_type_holds_embeddings(type, &sized))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" has type %s and cannot hold embeddings",
						NameStr(form->attname), RelationGetRelationName(relation),
						format_type_be(form->atttypid)),
				 errhint("Use real[], or pgvector's vector, halfvec or sparsevec.")));
	column->dimensions = sized && typmod > 0 ? typmod : 0;
	(void) is_vector_type(type, &column->sparse);
}

static Relation
open_table(Oid relation, LOCKMODE mode)
{
	Relation opened = try_relation_open(relation, mode);

	if (opened == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the table with OID %u does not exist", relation)));
	return opened;
}

static void
fill_column(Relation relation, AttrNumber source, AttrNumber target, TableColumn *column)
{
	Form_pg_attribute source_form = column_form(relation, source);
	char *schema = get_namespace_name(RelationGetNamespace(relation));

	check_source(relation, source_form);
	*column = (TableColumn){0};
	if (target != InvalidAttrNumber)
	{
		Form_pg_attribute target_form = column_form(relation, target);

		check_target(relation, target_form, column);
		column->target_name = pstrdup(NameStr(target_form->attname));
		column->target_sql = quote_identifier(column->target_name);
	}
	column->relation = RelationGetRelid(relation);
	column->source = source;
	column->target = target;
	column->name = pstrdup(RelationGetRelationName(relation));
	column->source_name = pstrdup(NameStr(source_form->attname));
	column->table_sql = quote_qualified_identifier(schema, column->name);
	column->source_sql = quote_identifier(column->source_name);
	column->has_children = relation->rd_rel->relhassubclass;
	column->temporary = relation->rd_rel->relpersistence == RELPERSISTENCE_TEMP;
}

void
table_column_open(Oid relation, const char *source, const char *target, TableColumn *column)
{
	Relation opened = open_table(relation, AccessShareLock);

	check_kind(opened);
	check_children(opened);
	fill_column(opened, find_column(opened, source),
				target == NULL ? InvalidAttrNumber : find_column(opened, target), column);
	relation_close(opened, NoLock);
}

void
table_column_reopen(Oid relation, AttrNumber source, AttrNumber target, TableColumn *column)
{
	Relation opened = open_table(relation, RowExclusiveLock);

	check_kind(opened);
	fill_column(opened, source, target, column);
	relation_close(opened, NoLock);
}

/* --- Texts by a template --- */

static void
name_texts(Relation relation, TableColumn *column)
{
	for (int i = 0; i < column->texts.n; i++)
		column->texts_sql[i] = quote_identifier(
			pstrdup(NameStr(column_form(relation, column->texts.numbers[i])->attname)));
}

pg_noreturn static void
refuse_template(const TableColumn *column, const char *what, const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("template \"%s\" %s \"%s\"", column->form.template, what, name),
					errhint("It names the source, and the other columns of the text.")));
}

void
table_column_find_texts(TableColumn *column)
{
	Relation relation;
	bool has_source = false;

	if (column->form.template == NULL)
		return;
	template_parse(column->form.template, false, &column->template);
	relation = relation_open(column->relation, NoLock);
	column->texts.n = column->template.n_columns;
	for (int i = 0; i < column->texts.n; i++)
	{
		AttrNumber number = find_column(relation, column->template.names[i]);

		if (number == column->target)
			refuse_template(column, "names the target", column->target_name);
		has_source = has_source || number == column->source;
		column->texts.numbers[i] = number;
	}
	if (!has_source)
		refuse_template(column, "does not name the source", column->source_name);
	name_texts(relation, column);
	relation_close(relation, NoLock);
}

void
table_column_know_texts(TableColumn *column, const TextColumns *texts)
{
	Relation relation;

	if (column->form.template == NULL)
		return;
	template_parse(column->form.template, false, &column->template);
	if (texts->n != column->template.n_columns)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the columns of template \"%s\" are not known any more",
							   column->form.template),
						errhint("Call bert.stop_auto_embed, and bert.auto_embed anew.")));
	column->texts = *texts;
	relation = relation_open(column->relation, NoLock);
	name_texts(relation, column);
	relation_close(relation, NoLock);
}

const char *
table_column_texts_sql(const TableColumn *column, const char *table)
{
	StringInfoData sql;

	if (column->form.template == NULL)
		return psprintf("%s%s::pg_catalog.text", table, column->source_sql);
	initStringInfo(&sql);
	for (int i = 0; i < column->texts.n; i++)
		appendStringInfo(&sql, "%s%s%s", i == 0 ? "" : ", ", table, column->texts_sql[i]);
	return sql.data;
}

/* --- Rights --- */

static void
check_right(const TableColumn *column, AttrNumber number, const char *name, Oid role, AclMode mode)
{
	AclResult result;

	if (pg_class_aclcheck(column->relation, role, mode) == ACLCHECK_OK)
		return;
	result = pg_attribute_aclcheck(column->relation, number, role, mode);
	if (result != ACLCHECK_OK)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for table %s", column->name),
						errdetail("It needs %s of the column \"%s\".",
								  mode == ACL_SELECT ? "SELECT" : "UPDATE", name)));
}

void
table_column_check_rights(const TableColumn *column, Oid role)
{
	check_right(column, column->source, column->source_name, role, ACL_SELECT);
	for (int i = 0; i < column->texts.n; i++)
		check_right(column, column->texts.numbers[i],
					get_attname(column->relation, column->texts.numbers[i], false), role,
					ACL_SELECT);
	if (column->target == InvalidAttrNumber)
	{
		/* rows are locked while their texts are used */
		if (pg_class_aclcheck(column->relation, role, ACL_UPDATE) != ACLCHECK_OK &&
			pg_attribute_aclcheck_all(column->relation, role, ACL_UPDATE, ACLMASK_ANY) !=
				ACLCHECK_OK)
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
							errmsg("permission denied for table %s", column->name),
							errdetail("It needs UPDATE of a column.")));
		return;
	}
	check_right(column, column->target, column->target_name, role, ACL_SELECT);
	check_right(column, column->target, column->target_name, role, ACL_UPDATE);
}

void
table_column_check_readable(const TableColumn *column, const char *name, Oid role)
{
	Relation relation = relation_open(column->relation, NoLock);

	check_right(column, find_column(relation, name), name, role, ACL_SELECT);
	relation_close(relation, NoLock);
}

/* --- How texts are embedded --- */

ColumnForm
column_form_arguments(FunctionCallInfo fcinfo, int prompt_name, int dimensions, int template)
{
	ColumnForm form = {0};

	if (!PG_ARGISNULL(prompt_name))
		form.prompt_name = text_to_cstring(ARGUMENT_TEXT(prompt_name));
	if (!PG_ARGISNULL(dimensions))
		form.dimensions = int_argument(fcinfo, dimensions, "dimensions", 1, INT_MAX, 0);
	if (!PG_ARGISNULL(template))
		form.template = text_argument(fcinfo, template, "template");
	return form;
}

static void
check_prompt_name(const char *name, const ModelHandle *model)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "bert prompt", ALLOCSET_SMALL_SIZES);
	const char *prompt;
	size_t length;
	Status status;

	REPORT_UNLESS(sentence_prompt(arena_in_context(context, 0), &model->sentence,
								  encoding_to_utf8(name, strlen(name), &length), PROMPT_DOCUMENT,
								  &prompt, &status),
				  &status);
	MemoryContextDelete(context);
}

void
table_column_check_form(const TableColumn *column, const ModelHandle *model)
{
	bool weights = table_column_takes_weights(column, model);
	int all = weights ? model->config.vocab_size
					  : sentence_dimensions(&model->config, &model->sentence.pooling);
	int given = column->form.dimensions > 0 ? column->form.dimensions : all;

	if (column->form.prompt_name != NULL)
		check_prompt_name(column->form.prompt_name, model);
	if (weights && column->form.dimensions > 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("weights of words are not cut to dimensions"),
						errdetail("Model \"%s\" is a sparse encoder.", model->name)));
	if (given > all)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("dimensions must be between 1 and %d, not %d", all, given),
						errdetail("Model \"%s\" gives embeddings of %d.", model->name, all)));
	if (column->dimensions != 0 && column->dimensions != given)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 column->form.dimensions > 0
					 ? errmsg("column \"%s\" of table \"%s\" has %d dimensions, not %d",
							  column->target_name, column->name, column->dimensions, given)
					 : errmsg("column \"%s\" of table \"%s\" has %d dimensions, but model \"%s\" "
							  "gives %d",
							  column->target_name, column->name, column->dimensions, model->name,
							  given),
				 errhint("Change the column's type, or name another model.")));
}

uint32
table_column_blocks(const TableColumn *column)
{
	List *tables = find_all_inheritors(column->relation, AccessShareLock, NULL);
	uint32 most = 0;
	ListCell *cell;

	foreach (cell, tables)
	{
		Relation table = relation_open(lfirst_oid(cell), NoLock);

		if (RELKIND_HAS_STORAGE(table->rd_rel->relkind))
			most = Max(most, RelationGetNumberOfBlocks(table));
		relation_close(table, NoLock);
	}
	list_free(tables);
	return most;
}

double
table_column_rows(const TableColumn *column)
{
	List *tables = find_all_inheritors(column->relation, AccessShareLock, NULL);
	double rows = -1;
	ListCell *cell;

	foreach (cell, tables)
	{
		Relation table = relation_open(lfirst_oid(cell), NoLock);

		if (RELKIND_HAS_STORAGE(table->rd_rel->relkind) && table->rd_rel->reltuples >= 0)
			rows = Max(rows, 0) + table->rd_rel->reltuples;
		relation_close(table, NoLock);
	}
	list_free(tables);
	return rows;
}
