/*
 * auto_chunk.c: bert.auto_chunk and bert.stop_auto_chunk.
 *
 * A table of chunks is made and belongs to who acts. Two automatisms fill it: the triggers and the
 * queue of the source have chunks follow the texts (chunk_trigger.c, chunk_rows.c), and
 * bert.auto_embed on the new table embeds what these leave without embedding.
 */
#include "pg/server/compat.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "parser/parse_type.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/varlena.h"

#include "pg/column/auto_embed.h"
#include "pg/column/auto_launch.h"
#include "pg/column/auto_queue.h"
#include "pg/column/auto_trigger.h"
#include "pg/column/chunk_trigger.h"
#include "pg/column/statement.h"
#include "pg/column/value_text.h"
#include "pg/infer/chunk.h"
#include "pg/infer/embedding.h"
#include "pg/server/detoast.h"
#include "pg/server/role.h"
#include "pg/server/values.h"

PG_FUNCTION_INFO_V1(bert_auto_chunk);
PG_FUNCTION_INFO_V1(bert_stop_auto_chunk);
PG_FUNCTION_INFO_V1(bert_auto_chunk_names);

static const char *const own_columns[CHUNK_COLUMNS] = {"chunk", "start_pos", "end_pos", "text",
													   "embedding"};

typedef struct Request
{
	TableColumn column;
	AutoColumn automatic;
	AutoKey key;
	Template template;
	const char *target;    /* quoted, as it is to be named in CREATE TABLE */
	const char *embedding; /* the type, qualified */
} Request;

/* --- What is asked for --- */

static const char *
quoted_target(const text *target)
{
	RangeVar *name = makeRangeVarFromNameList(textToQualifiedNameList(unconstify(text *, target)));

	if (name->catalogname != NULL)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
						errmsg("the table of chunks is made in this database")));
	return name->schemaname == NULL ? quote_identifier(name->relname)
									: quote_qualified_identifier(name->schemaname, name->relname);
}

/* A type whose size is its dimensions gets the model's, if it was named without. */
static const char *
embedding_type(const char *name, const ModelHandle *model)
{
	Oid type;
	int32 typmod;
	bool sized;

	PARSE_TYPE(name, &type, &typmod);
	if (!column_type_holds_embeddings(type, &sized))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("type %s cannot hold embeddings", format_type_be(type)),
						errhint("Use real[], or pgvector's vector, halfvec or sparsevec.")));
	if (sized && typmod < 0)
		typmod = column_type_dimensions(type, model);
	return format_type_extended(type, typmod,
								FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

static void
check_names(const Request *request)
{
	const TableColumn *column = &request->column;

	for (int i = 0; i < request->template.n_columns; i++)
	{
		const char *name = request->template.names[i];

		table_column_check_readable(column, name, GetUserId());
		table_column_check_readable(column, name, request->automatic.role);
		if (strcmp(name, column->source_name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("template \"%s\" names the source itself", request->automatic.template),
					 errhint("Its parts are {chunk}.")));
	}
	for (int i = 0; i < request->key.n; i++)
	{
		const char *name = request->key.columns[i].name;

		table_column_check_readable(column, name, GetUserId());
		table_column_check_readable(column, name, request->automatic.role);
		for (int j = 0; j < CHUNK_COLUMNS; j++)
			if (strcmp(name, own_columns[j]) == 0)
				ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
								errmsg("key column \"%s\" of table \"%s\" is called as a column "
									   "of chunks",
									   name, column->name),
								errhint("Rename it.")));
	}
}

/* The model as who acts; how long chunks may be. */
static void
check_model(Request *request, const text *model, const char *type)
{
	AutoColumn *automatic = &request->automatic;
	RoleSwitch saved;
	Call call;
	int room;

	role_become(&saved, automatic->role, automatic->search_path);
	call_begin_with(&call, model_handle_get_named(NULL, model, TASK_EMBED, &automatic->model),
					"auto_chunk");
	use_prompt(&call, NULL, NULL, PROMPT_DOCUMENT);
	room = chunk_room(&call);
	if (automatic->max_tokens > room)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_tokens must be at most %d, not %d", room, automatic->max_tokens),
				 errdetail("Model \"%s\" reads no more of a text.", call.handle->name)));
	if (automatic->max_tokens == 0)
		automatic->overlap = window_stride(call.handle, automatic->overlap);
	else if (automatic->overlap >= automatic->max_tokens)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("an overlap of %d tokens is not less than the %d of a chunk",
							   automatic->overlap, automatic->max_tokens)));
	request->embedding = embedding_type(type, call.handle);
	role_restore(&saved);
}

/* --- The table of chunks --- */

static char *
create_sql(const Request *request)
{
	Relation relation = relation_open(request->column.relation, NoLock);
	StringInfoData sql;
	StringInfoData key;

	initStringInfo(&sql);
	initStringInfo(&key);
	appendStringInfo(&sql, "CREATE %sTABLE %s (",
					 relation->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED ? "UNLOGGED " : "",
					 request->target);
	for (int i = 0; i < request->key.n; i++)
	{
		const char *name = request->key.columns[i].name;
		Form_pg_attribute form = TupleDescAttr(RelationGetDescr(relation),
											   get_attnum(RelationGetRelid(relation), name) - 1);

		appendStringInfo(
			&sql, "%s %s%s NOT NULL, ", quote_identifier(name),
			format_type_extended(form->atttypid, form->atttypmod,
								 FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY),
			auto_key_collate(form->attcollation));
		appendStringInfo(&key, "%s, ", quote_identifier(name));
	}
	appendStringInfo(&sql,
					 "chunk pg_catalog.int4 NOT NULL, start_pos pg_catalog.int4 NOT NULL,"
					 " end_pos pg_catalog.int4 NOT NULL, text pg_catalog.text NOT NULL,"
					 " embedding %s, PRIMARY KEY (%schunk))",
					 request->embedding, key.data);
	relation_close(relation, NoLock);
	return sql.data;
}

/* Rows are seen in it whose source is seen. */
static void
secure(const Request *request, const char *name, const char *table_sql)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "CREATE POLICY source ON %s USING (EXISTS (SELECT FROM %s AS s WHERE true",
					 table_sql, request->column.table_sql);
	for (int i = 0; i < request->key.n; i++)
	{
		const AutoKeyColumn *part = &request->key.columns[i];
		const char *column = quote_identifier(part->name);

		appendStringInfo(&sql, " AND s.%s%s %s %s.%s%s%s", column, part->cast, part->equality,
						 quote_identifier(name), column, part->cast, part->collate);
	}
	appendStringInfoString(&sql, "))");
	auto_trigger_sql(psprintf("ALTER TABLE %s ENABLE ROW LEVEL SECURITY", table_sql));
	auto_trigger_sql(sql.data);
}

static bool
has_row_security(Oid table)
{
	Relation relation = relation_open(table, NoLock);
	bool secured = relation->rd_rel->relrowsecurity;

	relation_close(relation, NoLock);
	return secured;
}

/* As who acts. Returns its OID. */
static Oid
make_table(const Request *request, const text *target)
{
	RangeVar *name = makeRangeVarFromNameList(textToQualifiedNameList(unconstify(text *, target)));
	RoleSwitch saved;
	Oid made;

	role_become(&saved, request->automatic.role, request->automatic.search_path);
	SPI_connect();
	auto_trigger_sql(create_sql(request));
	made = RangeVarGetRelid(name, AccessExclusiveLock, false);
	if (has_row_security(request->column.relation))
		secure(request, get_rel_name(made),
			   quote_qualified_identifier(get_namespace_name(get_rel_namespace(made)),
										  get_rel_name(made)));
	SPI_finish();
	role_restore(&saved);
	return made;
}

/* --- Rows that are there already --- */

typedef struct Queueing
{
	const Request *request;
	Oid part;
	MemoryContext context;
	FmgrInfo output[AUTO_MAX_KEY];
	Datum names[AUTO_MAX_KEY]; /* text */
	int64 n;
} Queueing;

static bool
queue_row(void *context, TupleTableSlot *slot)
{
	Queueing *queueing = context;
	MemoryContext previous = MemoryContextSwitchTo(queueing->context);
	Datum key[AUTO_MAX_KEY];
	int level = value_text_begin();

	slot_getallattrs(slot);
	for (int i = 0; i < queueing->request->key.n; i++)
		key[i] = CStringGetTextDatum(OutputFunctionCall(&queueing->output[i], slot->tts_values[i]));
	value_text_end(level);
	auto_queue_insert(queueing->request->automatic.number, queueing->part, false,
					  queueing->request->key.n, queueing->names, key);
	queueing->n++;
	MemoryContextSwitchTo(previous);
	MemoryContextReset(queueing->context);
	return true;
}

/* Read as who acts: planning alone may run what is defined on a table. */
static void
queue_part(Queueing *queueing)
{
	const Request *request = queueing->request;
	Oid acting = auto_acting_role(&request->automatic, queueing->part);
	StringInfoData sql;
	RoleSwitch saved;

	initStringInfo(&sql);
	for (int i = 0; i < request->key.n; i++)
		appendStringInfo(&sql, "%s %s", i == 0 ? "SELECT" : ",",
						 quote_identifier(request->key.columns[i].name));
	appendStringInfo(
		&sql, " FROM ONLY %s WHERE %s IS NOT NULL",
		quote_qualified_identifier(get_namespace_name(get_rel_namespace(queueing->part)),
								   get_rel_name(queueing->part)),
		request->column.source_sql);
	queueing->n = 0;
	role_become(&saved, acting, request->automatic.search_path);
	(void) table_statement_run(sql.data, queueing->part, false, NULL, queue_row, queueing);
	role_restore(&saved);
	if (queueing->n > 0)
		auto_start_at_commit(acting, role_may_connect(acting));
}

static void
queue_rows(const Request *request)
{
	Queueing queueing = {.request = request};
	ListCell *cell;

	queueing.context =
		AllocSetContextCreate(CurrentMemoryContext, "bert queueing", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < request->key.n; i++)
	{
		Oid output;
		bool varlena;

		getTypeOutputInfo(request->key.columns[i].type, &output, &varlena);
		fmgr_info(output, &queueing.output[i]);
		queueing.names[i] = CStringGetTextDatum(request->key.columns[i].name);
	}
	foreach (cell, auto_parts(&request->column))
	{
		queueing.part = lfirst_oid(cell);
		queue_part(&queueing);
	}
	MemoryContextDelete(queueing.context);
}

/* --- bert.auto_chunk --- */

/* Its rows are embedded as any table's. */
static void
embed_chunks(const Request *request)
{
	RoleSwitch saved;
	TableColumn column;
	AutoColumn automatic = {0};

	role_become(&saved, request->automatic.role, request->automatic.search_path);
	table_column_open(request->automatic.chunks, "text", "embedding", &column);
	auto_embed_begin(&column, &request->column.form, cstring_to_text(request->automatic.model),
					 &automatic);
	role_restore(&saved);
}

static void
begin_chunks(Request *request, const text *target, const text *model, const char *type)
{
	AutoColumn *automatic = &request->automatic;
	TableColumn *column = &request->column;

	auto_acts(column, automatic);
	table_column_check_rights(column, GetUserId());
	table_column_check_rights(column, automatic->role);
	auto_check_trigger(column);
	auto_check_table(column, &request->key);
	check_names(request);
	check_model(request, model, type);
	automatic->chunks = make_table(request, target);
	automatic->cuts = true;
	auto_columns_sweep();
	automatic->number = auto_column_insert(automatic);
	chunk_triggers_create(column, automatic, &request->template, &request->key);
	embed_chunks(request);
	queue_rows(request);
}

/* (relation, source, target, model, max_tokens, overlap, template, embedding_type) */
PGDLLEXPORT Datum
bert_auto_chunk(PG_FUNCTION_ARGS)
{
	Request request = {0};
	AutoColumn *automatic = &request.automatic;
	char *source = name_argument(fcinfo, 1, "source");
	const text *target;

	require_argument(fcinfo, 0, "relation");
	require_argument(fcinfo, 2, "target");
	target = ARGUMENT_TEXT(2);
	PreventCommandIfReadOnly("bert.auto_chunk()");
	if (!PG_ARGISNULL(4))
		automatic->max_tokens = int_argument(fcinfo, 4, "max_tokens", 1, INT_MAX, 0);
	automatic->overlap = int_argument(fcinfo, 5, "overlap", 0, INT_MAX, 32);
	automatic->template = PG_ARGISNULL(6) ? "{chunk}" : text_argument(fcinfo, 6, "template");
	template_parse(automatic->template, true, &request.template);
	request.target = quoted_target(target);
	table_column_open(PG_GETARG_OID(0), source, NULL, &request.column);
	begin_chunks(&request, target, PG_ARGISNULL(3) ? NULL : ARGUMENT_TEXT(3),
				 PG_ARGISNULL(7) ? "real[]" : text_argument(fcinfo, 7, "embedding_type"));
	PG_RETURN_OID(automatic->chunks);
}

/* --- bert.stop_auto_chunk --- */

/* The triggers and the row of one that is in the way of neither the other one. */
static void
stop(const AutoColumn *automatic)
{
	/* what dropping a trigger takes */
	Relation relation = try_table_open(automatic->relation, AccessExclusiveLock);

	if (relation != NULL)
	{
		auto_triggers_drop(relation, automatic->number);
		table_close(relation, NoLock);
	}
	auto_column_delete(automatic->number);
}

PGDLLEXPORT Datum
bert_stop_auto_chunk(PG_FUNCTION_ARGS)
{
	Oid target;
	List *columns;
	ListCell *cell;
	int stopped = 0;

	require_argument(fcinfo, 0, "target");
	target = PG_GETARG_OID(0);
	PreventCommandIfReadOnly("bert.stop_auto_chunk()");
	columns = auto_columns_into(target);
	if (columns == NIL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("no table's texts are cut into \"%s\"",
							   get_rel_name(target) == NULL ? "-" : get_rel_name(target)),
						errhint("See the view bert.auto_chunks.")));
	foreach (cell, columns)
		if (auto_may_stop(lfirst(cell)))
		{
			stop(lfirst(cell));
			stopped++;
		}
	if (stopped == 0)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for table %s", get_rel_name(target)),
						errdetail("Its owner may stop it, and the role that has started it.")));
	foreach (cell, auto_columns_of(target))
		stop(lfirst(cell));
	auto_columns_sweep();
	PG_RETURN_VOID();
}

/* --- For the view --- */

/*
 * bert.auto_chunk_names(relation, number, template) → (template, source): with the names of now;
 * NULL when the table or its triggers are gone
 */
PGDLLEXPORT Datum
bert_auto_chunk_names(PG_FUNCTION_ARGS)
{
	Relation relation = try_relation_open(PG_GETARG_OID(0), AccessShareLock);
	ChunkColumns columns;
	Datum values[2] = {0};
	bool nulls[2] = {true, true};
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (relation != NULL && chunk_trigger_columns(relation, PG_GETARG_INT64(1), &columns))
	{
		char *names[1 + TEMPLATE_MAX_COLUMNS] = {0};
		Template template;

		template_parse(text_to_cstring(ARGUMENT_TEXT(2)), true, &template);
		for (int i = 0; i < columns.n_texts; i++)
			names[i] = get_attname(RelationGetRelid(relation), columns.texts[i], false);
		values[1] = CStringGetTextDatum(names[0]);
		nulls[1] = false;
		nulls[0] = template.n_columns != columns.n_texts - 1;
		if (!nulls[0])
			values[0] = CStringGetTextDatum(template_with_names(&template, names + 1));
	}
	if (relation != NULL)
		relation_close(relation, AccessShareLock);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
