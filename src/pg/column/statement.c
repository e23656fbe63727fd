/* statement.c: running a statement through the executor, and user-given expressions. */
#include "pg/server/compat.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tstoreReceiver.h"
#include "miscadmin.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "parser/parse_relation.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/queryenvironment.h"
#include "utils/snapmgr.h"

#include "pg/column/statement.h"

#define INPUT_NAME "bert_batch"

void
input_rows_begin(InputRows *rows, int n_columns, const char *const *names, const Oid *types)
{
	rows->desc = CreateTemplateTupleDesc(n_columns);
	for (int i = 0; i < n_columns; i++)
		TupleDescInitEntry(rows->desc, (AttrNumber) (i + 1), names[i], types[i], -1, 0);
	rows->store = tuplestore_begin_heap(false, false, work_mem);
	rows->n = 0;
	rows->by_place = false;
}

void
input_rows_add(InputRows *rows, Datum *values, bool *nulls)
{
	tuplestore_putvalues(rows->store, rows->desc, values, nulls);
	rows->n++;
}

void
input_rows_end(InputRows *rows)
{
	tuplestore_end(rows->store);
}

/* A receiver that hands rows to a function. */
typedef struct TakeReceiver
{
	DestReceiver public;
	RowTake take;
	void *context;
} TakeReceiver;

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	TakeReceiver *receiver = (TakeReceiver *) self;

	return receiver->take == NULL || receiver->take(receiver->context, slot);
}

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
receiver_shutdown(DestReceiver *self)
{
}

static QueryEnvironment *
environment_with(const InputRows *input)
{
	QueryEnvironment *environment = create_queryEnv();
	EphemeralNamedRelation named = palloc0(sizeof *named);

	named->md.name = pstrdup(INPUT_NAME);
	named->md.reliddesc = InvalidOid;
	named->md.tupdesc = input->desc;
	named->md.enrtype = ENR_NAMED_TUPLESTORE;
	named->md.enrtuples = input->n;
	named->reldata = input->store;
	register_ENR(environment, named);
	return environment;
}

static void
ease_permissions(Query *query, Oid relation, bool as_update)
{
	ListCell *cell;

	foreach (cell, query->rtable)
	{
		RangeTblEntry *rte = lfirst(cell);

		if (rte->rtekind != RTE_RELATION || rte->relid != relation || !QUERY_HAS_PERMISSIONS(rte))
			continue;
		QUERY_PERMISSIONS(query, rte)->selectedCols =
			bms_del_member(QUERY_PERMISSIONS(query, rte)->selectedCols,
						   SelfItemPointerAttributeNumber - FirstLowInvalidHeapAttributeNumber);
		QUERY_PERMISSIONS(query, rte)->selectedCols =
			bms_del_member(QUERY_PERMISSIONS(query, rte)->selectedCols,
						   TableOidAttributeNumber - FirstLowInvalidHeapAttributeNumber);
		if (as_update)
			QUERY_PERMISSIONS(query, rte)->requiredPerms |= ACL_UPDATE;
	}
}

/*
 * An error in the statement's text is shown within that text, not within what the user's session
 * has sent.
 */
static void
show_statement(void *sql)
{
	int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(sql);
	}
}

/*
 * Of a small table the planner would read all of it for each batch, to join it with a few hundred
 * ctids. Policies' subqueries are not ours to plan like that.
 */
static PlannedStmt *
plan_query(Query *query, const char *sql, bool by_place)
{
	static const char *const joins[] = {"enable_hashjoin", "enable_mergejoin"};
	int level = NewGUCNestLevel();
	PlannedStmt *plan;

	for (int i = 0; by_place && !query->hasRowSecurity && i < lengthof(joins); i++)
		(void) set_config_option(joins[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
								 0, false);
	plan = pg_plan_query(query, sql, 0, NULL);
	AtEOXact_GUC(true, level);
	return plan;
}

static PlannedStmt *
plan_statement(const char *sql, Oid relation, bool as_update, const InputRows *input,
			   QueryEnvironment *environment)
{
	ErrorContextCallback callback = {error_context_stack, show_statement, unconstify(char *, sql)};
	List *statements;
	List *queries;
	Query *query;
	PlannedStmt *plan;

	error_context_stack = &callback;
	statements = pg_parse_query(sql);
	if (list_length(statements) != 1)
		elog(ERROR, "not one statement: %s", sql);
	query =
		parse_analyze_fixedparams(linitial_node(RawStmt, statements), sql, NULL, 0, environment);
	ease_permissions(query, relation, as_update);
	queries = pg_rewrite_query(query);
	if (list_length(queries) != 1)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("a rule changes what an UPDATE of the table does")));
	plan = plan_query(linitial_node(Query, queries), sql, input != NULL && input->by_place);
	error_context_stack = callback.previous;
	return plan;
}

uint64
table_statement_run(const char *sql, Oid relation, bool as_update, const InputRows *input,
					RowTake take, void *context)
{
	QueryEnvironment *environment = input == NULL ? NULL : environment_with(input);
	TakeReceiver receiver = {
		{receive, receiver_startup, receiver_shutdown, receiver_shutdown, DestNone}, take, context};
	PlannedStmt *plan;
	QueryDesc *desc;
	uint64 processed;

	PushActiveSnapshot(GetTransactionSnapshot());
	plan = plan_statement(sql, relation, as_update, input, environment);
	desc = CreateQueryDesc(plan, sql, GetActiveSnapshot(), InvalidSnapshot, &receiver.public, NULL,
						   environment, 0);
	(void) ExecutorStart(desc, 0);
	RUN_EXECUTOR(desc);
	processed = desc->estate->es_processed;
	ExecutorFinish(desc);
	ExecutorEnd(desc);
	FreeQueryDesc(desc);
	PopActiveSnapshot();
	CommandCounterIncrement();
	return processed;
}

static bool
is_plain_expression(const SelectStmt *select)
{
	return list_length(select->targetList) == 1 &&
		   linitial_node(ResTarget, select->targetList)->name == NULL &&
		   linitial_node(ResTarget, select->targetList)->indirection == NIL &&
		   select->distinctClause == NIL && select->intoClause == NULL &&
		   select->fromClause == NIL && select->whereClause == NULL && select->groupClause == NIL &&
		   select->havingClause == NULL && select->windowClause == NIL &&
		   select->valuesLists == NIL && select->sortClause == NIL && select->limitOffset == NULL &&
		   select->limitCount == NULL && select->lockingClause == NIL &&
		   select->withClause == NULL && select->op == SETOP_NONE;
}

void
check_expression(const char *text, const char *argument)
{
	ErrorContextCallback callback = {error_context_stack, show_statement, unconstify(char *, text)};
	List *statements;

	error_context_stack = &callback;
	statements = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
	error_context_stack = callback.previous;
	if (list_length(statements) != 1 ||
		!IsA(linitial_node(RawStmt, statements)->stmt, SelectStmt) ||
		!is_plain_expression((SelectStmt *) linitial_node(RawStmt, statements)->stmt))
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
						errmsg("argument \"%s\" is not one boolean expression", argument),
						errhint("It is what would stand behind WHERE.")));
}
