/*
 * gather_plan.c: where a plan gets nodes that gather texts.
 *
 * Only where reading some rows ahead changes nothing that can be seen: no volatile function in the
 * node or below it, no cursor that moves backwards, no limit whose rows are not known. Plans that
 * are kept by others are not changed: the statement is copied.
 */
#include "pg/server/compat.h"

#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "common/int.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "pg/infer/gather.h"
#include "pg/server/settings.h"

static ExecutorStart_hook_type previous_start;

typedef struct Rewriting
{
	int n;        /* nodes put in */
	bool looking; /* only count */
} Rewriting;

/* --- Calls --- */

GatherTexts
gather_function(Oid function)
{
	static const struct
	{
		const char *symbol;
		GatherTexts gather;
	} known[] = {{"bert_embed", gather_embed},
				 {"bert_embed_query", gather_embed_query},
				 {"bert_embed_document", gather_embed_document}};
	GatherTexts gather = NULL;
	HeapTuple tuple;

	if (function < FirstNormalObjectId)
		return NULL;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);
		bool null;
		Datum symbol = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &null);

		if (form->prolang == ClanguageId && !null &&
			form->pronamespace == get_namespace_oid("bert", true))
		{
			const char *name = TextDatumGetCString(symbol);

			for (size_t i = 0; i < lengthof(known); i++)
				if (strcmp(name, known[i].symbol) == 0)
					gather = known[i].gather;
		}
		ReleaseSysCache(tuple);
	}
	return gather;
}

Var *
gather_column(Node *argument)
{
	while (argument != NULL && IsA(argument, RelabelType))
		argument = (Node *) ((RelabelType *) argument)->arg;
	return argument != NULL && IsA(argument, Var) && ((Var *) argument)->varattno > 0
			   ? (Var *) argument
			   : NULL;
}

static bool
is_call(const FuncExpr *function)
{
	ListCell *cell;

	if (function->args == NIL || gather_column(linitial(function->args)) == NULL ||
		gather_function(function->funcid) == NULL)
		return false;
	for_each_from(cell, function->args, 1)
	{
		const Node *argument = lfirst(cell);

		if (!IsA(argument, Const) &&
			!(IsA(argument, Param) && ((const Param *) argument)->paramkind == PARAM_EXTERN))
			return false;
	}
	return true;
}

/* Collects calls that are made for every row: not those of a branch that may not be taken. */
static bool
find_calls(Node *node, List **calls)
{
	if (node == NULL || IsA(node, CaseExpr) || IsA(node, CoalesceExpr) || IsA(node, BoolExpr) ||
		IsA(node, SubPlan) || IsA(node, AlternativeSubPlan))
		return false;
	if (IsA(node, Aggref) && ((Aggref *) node)->aggfilter != NULL)
		return false;
	if (IsA(node, FuncExpr) && is_call((FuncExpr *) node))
		*calls = lappend(*calls, node);
	return expression_tree_walker(node, find_calls, calls);
}

static List *
calls_of(Plan *plan)
{
	List *calls = NIL;

	(void) find_calls((Node *) plan->targetlist, &calls);
	return calls;
}

/* --- What may be read ahead --- */

/* Functions may tell when they run; subplans may have such ones. */
static bool
is_volatile(const Plan *plan)
{
	return contain_volatile_functions((Node *) plan->targetlist) ||
		   contain_volatile_functions((Node *) plan->qual) ||
		   contain_subplans((Node *) plan->targetlist) || contain_subplans((Node *) plan->qual);
}

/* True when nothing in the plan can be seen to run earlier. */
static bool
is_calm(const Plan *plan)
{
	if (plan == NULL)
		return true;
	switch (nodeTag(plan))
	{
		case T_NestLoop:
		case T_HashJoin:
		case T_MergeJoin:
			if (contain_volatile_functions((Node *) ((const Join *) plan)->joinqual))
				return false;
			break;
		case T_SubqueryScan:
			if (!is_calm(((const SubqueryScan *) plan)->subplan))
				return false;
			break;
		case T_SeqScan:
		case T_IndexScan:
		case T_IndexOnlyScan:
		case T_BitmapHeapScan:
		case T_BitmapIndexScan:
		case T_Sort:
		case T_IncrementalSort:
		case T_Material:
		case T_Hash:
		case T_Agg:
		case T_Gather:
		case T_GatherMerge:
			break;
		default:
			return false;
	}
	return !is_volatile(plan) && is_calm(outerPlan(plan)) && is_calm(innerPlan(plan));
}

/* --- Putting nodes in --- */

/* Columns of a scan, which are handed up, and where each is. */
typedef struct Columns
{
	List *target_list; /* of TargetEntry: the child's */
} Columns;

/* Expressions of the scan, over what the child hands up. */
static Node *
over_child(Node *node, Columns *columns)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var *var = copyObject((Var *) node);
		TargetEntry *entry = NULL;
		ListCell *cell;

		foreach (cell, columns->target_list)
			if (equal(((TargetEntry *) lfirst(cell))->expr, var))
				entry = lfirst(cell);
		if (entry == NULL)
		{
			entry =
				makeTargetEntry((Expr *) copyObject(var),
								(AttrNumber) (list_length(columns->target_list) + 1), NULL, false);
			columns->target_list = lappend(columns->target_list, entry);
		}
		var->varno = OUTER_VAR;
		var->varattno = entry->resno;
		return (Node *) var;
	}
	return expression_tree_mutator(node, over_child, columns);
}

/* The scan hands up columns, and a node above it has the scan's target list. */
static Plan *
split_scan(Plan *scan, Rewriting *rewriting, int most)
{
	Columns columns = {NIL};
	List *calls;
	List *target_list;

	if (calls_of(scan) == NIL || scan->targetlist == NIL || !is_calm(scan))
		return scan;
	rewriting->n++;
	if (rewriting->looking)
		return scan;
	target_list = (List *) over_child((Node *) scan->targetlist, &columns);
	scan->targetlist = columns.target_list;
	calls = NIL;
	(void) find_calls((Node *) target_list, &calls);
	return gather_node(scan, target_list, copyObject(calls), most, rewriting->n);
}

/* What the child has, all of it. */
static List *
same_columns(const Plan *child)
{
	List *out = NIL;
	ListCell *cell;

	foreach (cell, child->targetlist)
	{
		const TargetEntry *entry = lfirst(cell);
		Node *expression = (Node *) entry->expr;
		TargetEntry *same = flatCopyTargetEntry((TargetEntry *) entry);

		same->expr = (Expr *) makeVar(OUTER_VAR, entry->resno, exprType(expression),
									  exprTypmod(expression), exprCollation(expression), 0);
		out = lappend(out, same);
	}
	return out;
}

/* A node between the plan, which makes the calls, and its child. */
static void
put_below(Plan *plan, Rewriting *rewriting, int most)
{
	Plan *child = outerPlan(plan);
	List *calls = calls_of(plan);

	if (calls == NIL || child == NULL || child->targetlist == NIL || is_volatile(plan) ||
		!is_calm(child))
		return;
	rewriting->n++;
	if (!rewriting->looking)
		outerPlan(plan) =
			gather_node(child, same_columns(child), copyObject(calls), most, rewriting->n);
}

/* Rows that a limit reads, 0 if that is not known before it runs. */
static int
limit_rows(const Limit *limit)
{
	const Const *count = (const Const *) limit->limitCount;
	const Const *offset = (const Const *) limit->limitOffset;
	int64 rows;

	if (count == NULL || !IsA(count, Const) || count->constisnull ||
		limit->limitOption != LIMIT_OPTION_COUNT ||
		(offset != NULL && (!IsA(offset, Const) || offset->constisnull)))
		return 0;
	rows = DatumGetInt64(count->constvalue);
	if (offset != NULL && pg_add_s64_overflow(rows, DatumGetInt64(offset->constvalue), &rows))
		return 0;
	return rows > 0 && rows < PG_INT32_MAX ? (int) rows : 0;
}

/* most: rows that the plan is asked for at most, 0: all. */
static Plan *
rewrite(Plan *plan, Rewriting *rewriting, int most)
{
	ListCell *cell;
	int limit;

	switch (nodeTag(plan))
	{
		case T_Limit:
			limit = limit_rows((Limit *) plan);
			if (limit > 0 && most == 0)
				outerPlan(plan) = rewrite(outerPlan(plan), rewriting, limit);
			break;
		case T_Sort:
			outerPlan(plan) = rewrite(outerPlan(plan), rewriting, 0);
			break;
		case T_ModifyTable:
		case T_Gather:
		case T_GatherMerge:
			if (most == 0 && outerPlan(plan) != NULL)
				outerPlan(plan) = rewrite(outerPlan(plan), rewriting, 0);
			break;
		case T_Agg:
			if (most == 0)
				outerPlan(plan) = rewrite(outerPlan(plan), rewriting, 0);
			if (most == 0 || ((Agg *) plan)->aggstrategy == AGG_HASHED)
				put_below(plan, rewriting, 0);
			break;
		case T_Append:
			if (most == 0)
				foreach (cell, ((Append *) plan)->appendplans)
					lfirst(cell) = rewrite(lfirst(cell), rewriting, 0);
			break;
		case T_Result:
			if (outerPlan(plan) == NULL || plan->qual != NIL ||
				((Result *) plan)->resconstantqual != NULL)
				break;
			put_below(plan, rewriting, most);
			break;
		case T_SubqueryScan:
		case T_SeqScan:
		case T_IndexScan:
		case T_BitmapHeapScan:
			return split_scan(plan, rewriting, most);
		default:
			break;
	}
	return plan;
}

PlannedStmt *
gather_plan(PlannedStmt *statement)
{
	Rewriting rewriting = {0, true};

	(void) rewrite(statement->planTree, &rewriting, 0);
	if (rewriting.n == 0)
		return statement;
	statement = copyObject(statement);
	rewriting = (Rewriting){0, false};
	statement->planTree = rewrite(statement->planTree, &rewriting, 0);
	return statement;
}

/* --- The hook --- */

static void
start(QueryDesc *query, int flags)
{
	/* conversions of other encodings may fail, which is to happen in its row */
	if (guc_gather_texts && !IsParallelWorker() && query->plannedstmt->planTree != NULL &&
		(flags & (EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK)) == 0 && GetDatabaseEncoding() == PG_UTF8)
		query->plannedstmt = gather_plan(query->plannedstmt);
	if (previous_start != NULL)
		previous_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

void
gather_init(void)
{
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = start;
	gather_register();
}
