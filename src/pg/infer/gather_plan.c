/*
 * gather_plan.c: where a plan gets nodes that gather texts.
 *
 * Only where reading some rows ahead changes nothing that can be seen: no volatile function in the
 * node or below it, no cursor that moves backwards, no limit whose rows are not known. Plans that
 * are kept by others are not changed: the statement is copied.
 */
#include "pg/server/compat.h"

#include "access/parallel.h"
#include "common/int.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"

#include "pg/infer/gather.h"
#include "pg/server/settings.h"

PG_FUNCTION_INFO_V1(bert_computed_together);

static ExecutorStart_hook_type previous_start;

typedef struct Rewriting
{
	int n;        /* nodes put in */
	bool looking; /* only count */
} Rewriting;

/* --- What may be read ahead --- */

static List *
calls_of(Node *expression)
{
	List *calls = NIL;

	(void) gather_find_calls(expression, &calls);
	return calls;
}

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

/* Quals before the first one that makes calls. */
static int
quals_without_calls(const List *quals)
{
	int n = 0;

	while (n < list_length(quals) && calls_of(list_nth(quals, n)) == NIL)
		n++;
	return n;
}

/*
 * A node for each qual that makes calls, which has the quals up to the next one as well: they are
 * evaluated in the order that the planner gave them, for the same rows.
 */
static Plan *
split_quals(Plan *plan, List *quals, Rewriting *rewriting)
{
	while (quals != NIL)
	{
		Node *first = linitial(quals);
		List *rest = list_copy_tail(quals, 1);
		int n = quals_without_calls(rest);

		rewriting->n++;
		plan = gather_node(plan, &(GatherNode){.target_list = same_columns(plan),
											   .quals = lcons(first, list_copy_head(rest, n)),
											   .calls = copyObject(calls_of(first)),
											   .number = rewriting->n});
		quals = list_copy_tail(rest, n);
	}
	return plan;
}

/*
 * The scan hands up columns, and nodes above it have the quals from the first one on that makes
 * calls, unless a limit leaves open how many rows these will see, and the scan's target list.
 */
static Plan *
split_scan(Plan *scan, Rewriting *rewriting, int most)
{
	int n_quals = list_length(scan->qual);
	int n = most > 0 ? n_quals : quals_without_calls(scan->qual);
	bool calls = scan->targetlist != NIL && calls_of((Node *) scan->targetlist) != NIL;
	Columns columns = {NIL};
	List *target_list;
	List *quals;
	Plan *plan;

	if ((n == n_quals && !calls) || !is_calm(scan))
		return scan;
	if (rewriting->looking)
	{
		rewriting->n++;
		return scan;
	}
	target_list = (List *) over_child((Node *) scan->targetlist, &columns);
	quals = (List *) over_child((Node *) list_copy_tail(scan->qual, n), &columns);
	scan->qual = list_copy_head(scan->qual, n);
	scan->targetlist = columns.target_list;
	plan = split_quals(scan, quals, rewriting);
	if (calls)
	{
		rewriting->n++;
		return gather_node(plan, &(GatherNode){.target_list = target_list,
											   .calls = copyObject(calls_of((Node *) target_list)),
											   .most = most,
											   .number = rewriting->n});
	}
	plan->targetlist = target_list;
	return plan;
}

/* A node between the plan, which makes the calls, and its child. */
static void
put_below(Plan *plan, Rewriting *rewriting, int most)
{
	Plan *child = outerPlan(plan);
	List *calls = calls_of((Node *) plan->targetlist);

	if (calls == NIL || child == NULL || child->targetlist == NIL || is_volatile(plan) ||
		!is_calm(child))
		return;
	rewriting->n++;
	if (!rewriting->looking)
		outerPlan(plan) = gather_node(child, &(GatherNode){.target_list = same_columns(child),
														   .calls = copyObject(calls),
														   .most = most,
														   .number = rewriting->n});
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

/*
 * bert.computed_together(internal): that the planner asks is enough, for by then this library, and
 * its hook, are there before the statement starts.
 */
PGDLLEXPORT Datum
bert_computed_together(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(NULL);
}

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
