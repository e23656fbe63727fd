/*
 * once.c: bert.computed_once: the planner's question about embeddings of constant texts.
 *
 * In a query that reads a table, bert.embed('a text') becomes (SELECT bert.embed('a text')), as one
 * would write by hand: the executor then computes it once, when it first needs it, hands it to
 * parallel workers, and rows cost nothing. It is no constant of the plan: a plan that is kept
 * computes it anew at each execution, with the model of that moment.
 */
#include "pg/server/compat.h"

#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"

PG_FUNCTION_INFO_V1(bert_computed_once);

/* Constants, and parameters from outside, have one value while a statement runs. */
static bool
all_fixed(const List *arguments)
{
	ListCell *cell;

	foreach (cell, arguments)
	{
		const Node *argument = lfirst(cell);

		if (!IsA(argument, Const) &&
			!(IsA(argument, Param) && ((const Param *) argument)->paramkind == PARAM_EXTERN))
			return false;
	}
	return true;
}

/*
 * True when the query has rows to compute it for: else a subquery gains nothing, and PL/pgSQL's
 * simple expressions and lists of VALUES must stay what they are.
 */
static bool
reads_rows(const Query *query)
{
	bool reads = false;
	int number = 0;
	ListCell *cell;

	foreach (cell, query->rtable)
	{
		const RangeTblEntry *entry = lfirst(cell);

		number++;
		if (entry->rtekind == RTE_VALUES)
			return false;
		if (query->commandType == CMD_INSERT && number == query->resultRelation)
			continue;
		reads = reads || entry->rtekind == RTE_RELATION || entry->rtekind == RTE_SUBQUERY ||
				entry->rtekind == RTE_CTE;
	}
	return reads && query->jointree != NULL && query->jointree->fromlist != NIL;
}

/* (SELECT call) */
static Node *
subquery_of(FuncExpr *call)
{
	Query *query = makeNode(Query);
	SubLink *link = makeNode(SubLink);

	query->commandType = CMD_SELECT;
	query->querySource = QSRC_ORIGINAL;
	query->canSetTag = true;
	query->targetList = list_make1(makeTargetEntry((Expr *) copyObject(call), 1, NULL, false));
	query->jointree = makeFromExpr(NIL, NULL);
	link->subLinkType = EXPR_SUBLINK;
	link->subselect = (Node *) query;
	link->location = -1;
	return (Node *) link;
}

/* bert.computed_once(internal) */
PGDLLEXPORT Datum
bert_computed_once(PG_FUNCTION_ARGS)
{
	Node *request = (Node *) PG_GETARG_POINTER(0);
	SupportRequestSimplify *simplify = (SupportRequestSimplify *) request;

	/*
	 * Sublinks are planned right after the expressions of a query were simplified. Whoever
	 * simplifies later, when the planner knows the relations, or without a query, would be left
	 * with one that nobody plans.
	 */
	if (!IsA(request, SupportRequestSimplify) || simplify->root == NULL ||
		simplify->root->simple_rel_array != NULL || !all_fixed(simplify->fcall->args) ||
		!reads_rows(simplify->root->parse))
		PG_RETURN_POINTER(NULL);
	simplify->root->parse->hasSubLinks = true;
	PG_RETURN_POINTER(subquery_of(simplify->fcall));
}
