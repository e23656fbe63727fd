/* gather.c: the node that reads rows ahead and has their texts computed together. */
#include "pg/server/compat.h"

#include "access/detoast.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "pg/infer/gather.h"
#include "pg/infer/memo.h"
#include "pg/server/detoast.h"

#define MAX_AHEAD 64                        /* rows */
#define MAX_AHEAD_BYTES ((Size) 256 * 1024) /* of the rows, but for one */
#define MAX_TEXT_BYTES 256                  /* longer texts keep the processor busy by themselves */
#define MAX_COLUMN_BYTES ((Size) 8 * 1024)  /* of what a row's texts are made of */
#define FIRST_NODE_NUMBER (1 << 20)         /* more than the planner gives */

/* A call of the node's own expressions: the texts to come are computed as it says. */
typedef struct AheadCall
{
	const GatherFunction *gather;
	FmgrInfo function;
	ExprState *input;
	ExprState *pair;    /* the second text; NULL: there is none */
	Bitmapset *columns; /* of the child, that may be long */
	int n_arguments;
	ExprState **arguments; /* (n_arguments) NULL: a text */
	bool made;             /* it is known to have been made, so that its arguments are right */
} AheadCall;

typedef struct Ahead
{
	CustomScanState base; /* first */
	int n_calls;
	AheadCall *calls;
	TupleTableSlot *slots[MAX_AHEAD]; /* rows read */
	int n;
	int next;
	int goal; /* rows to read next time: it grows, so that a first row comes early */
	int most; /* rows still wanted; 0: unknown */
	bool ended;
	MemoryContext memory; /* of a batch */
	int64 gathered;       /* texts */
	int64 batches;
} Ahead;

/* --- The plan's node --- */

static Node *create_state(CustomScan *scan);

static const CustomScanMethods scan_methods = {.CustomName = "BertGather",
											   .CreateCustomScanState = create_state};

Plan *
gather_node(Plan *child, const GatherNode *node)
{
	CustomScan *scan = makeNode(CustomScan);
	Plan *plan = &scan->scan.plan;

	plan->startup_cost = child->startup_cost;
	plan->total_cost = child->total_cost;
	plan->plan_rows = child->plan_rows;
	plan->plan_width = child->plan_width;
	plan->parallel_safe = child->parallel_safe;
	plan->plan_node_id = FIRST_NODE_NUMBER + node->number;
	plan->targetlist = node->target_list;
	plan->qual = node->quals;
	plan->lefttree = child;
	plan->extParam = bms_copy(child->extParam);
	plan->allParam = bms_copy(child->allParam);
	scan->custom_exprs = node->calls;
	scan->custom_private = list_make1(makeInteger(node->most));
	scan->methods = &scan_methods;
	return plan;
}

/* --- Running it --- */

/* The child's columns that an expression reads and that have no fixed length. */
static bool
find_columns(Node *node, Bitmapset **columns)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var) && get_typlen(((Var *) node)->vartype) == -1)
		*columns = bms_add_member(*columns, ((Var *) node)->varattno);
	return expression_tree_walker(node, find_columns, columns);
}

static bool
is_no_text(const Node *argument)
{
	return IsA(argument, Const) && ((const Const *) argument)->constisnull;
}

static void
begin_call(Ahead *ahead, AheadCall *call, FuncExpr *function)
{
	PlanState *state = &ahead->base.ss.ps;
	ListCell *cell;

	fmgr_info_cxt(function->funcid, &call->function, CurrentMemoryContext);
	call->gather = gather_function(function->funcid);
	if (call->gather == NULL)
		elog(ERROR, "function %u cannot be gathered", function->funcid);
	call->arguments = palloc0(sizeof(ExprState *) * (size_t) list_length(function->args));
	foreach (cell, function->args)
	{
		Node *argument = lfirst(cell);
		int i = call->n_arguments++;
		bool pair = call->gather->pair > 0 && i == call->gather->pair;

		if (i > 0 && !pair)
			call->arguments[i] = ExecInitExpr((Expr *) argument, state);
		else if (i == 0 || !is_no_text(argument))
		{
			*(pair ? &call->pair : &call->input) = ExecInitExpr((Expr *) argument, state);
			(void) find_columns(argument, &call->columns);
		}
	}
}

static void
begin(CustomScanState *base, EState *state, int flags)
{
	Ahead *ahead = (Ahead *) base;
	CustomScan *scan = (CustomScan *) base->ss.ps.plan;
	ListCell *cell;

	/* expressions read the copies */
	base->ss.ps.outerops = &TTSOpsMinimalTuple;
	base->ss.ps.outeropsfixed = base->ss.ps.outeropsset = true;
	outerPlanState(base) = ExecInitNode(outerPlan(scan), state, flags);
	ahead->goal = 1;
	ahead->most = intVal(linitial(scan->custom_private));
	ahead->calls = palloc0(sizeof(AheadCall) * (size_t) list_length(scan->custom_exprs));
	foreach (cell, scan->custom_exprs)
		begin_call(ahead, &ahead->calls[ahead->n_calls++], lfirst(cell));
	for (int i = 0; i < MAX_AHEAD; i++)
		ahead->slots[i] = ExecInitExtraTupleSlot(state, ExecGetResultType(outerPlanState(base)),
												 &TTSOpsMinimalTuple);
	ahead->memory =
		AllocSetContextCreate(CurrentMemoryContext, "bert texts ahead", ALLOCSET_DEFAULT_SIZES);
}

/* Texts of the rows read. */
typedef struct Texts
{
	int n;
	Datum inputs[MAX_AHEAD];
	Datum pairs[MAX_AHEAD];
	bool pair_nulls[MAX_AHEAD];
} Texts;

/* Whether the texts are made of little: what is long is not put together twice. */
static bool
is_short_row(const AheadCall *call, TupleTableSlot *slot)
{
	Size bytes = 0;
	int column = -1;

	while ((column = bms_next_member(call->columns, column)) >= 0)
	{
		bool null;
		Datum value = slot_getattr(slot, column, &null);

		if (!null)
			bytes += toast_raw_datum_size(value);
	}
	return bytes <= MAX_COLUMN_BYTES;
}

static bool
is_short(Datum text)
{
	return toast_raw_datum_size(text) <= MAX_TEXT_BYTES + VARHDRSZ;
}

/* Adds the texts of a row, if the call computes something of them; false: it does not. */
static bool
add_texts(Ahead *ahead, AheadCall *call, TupleTableSlot *slot, Texts *texts)
{
	ExprContext *context = ahead->base.ss.ps.ps_ExprContext;
	bool *pair_null = &texts->pair_nulls[texts->n];
	Datum *pair = &texts->pairs[texts->n];
	Datum input;
	bool null;

	context->ecxt_outertuple = slot;
	input = ExecEvalExpr(call->input, context, &null);
	*pair = (Datum) 0;
	*pair_null = true;
	if (null)
		return false;
	if (call->pair != NULL)
		*pair = ExecEvalExpr(call->pair, context, pair_null);
	if (*pair_null && call->gather->both)
		return false;
	if (is_short(input) && (*pair_null || is_short(*pair)))
		texts->inputs[texts->n++] = input;
	return true;
}

/*
 * The call's short texts of the rows read, as one batch; not before it was made for a row by
 * itself: what is wrong with its model, or its options, is for that row to say.
 */
static void
gather_call(Ahead *ahead, AheadCall *call)
{
	LOCAL_FCINFO(arguments, FUNC_MAX_ARGS);
	ExprContext *context = ahead->base.ss.ps.ps_ExprContext;
	bool no_nulls[MAX_AHEAD] = {false};
	bool made = call->made;
	Texts texts = {0};
	TextInputs inputs = {.values = texts.inputs, .nulls = no_nulls};

	if (made && ahead->n < 2)
		return;
	for (int i = 0; i < ahead->n; i++)
		if (is_short_row(call, ahead->slots[i]))
			call->made |= add_texts(ahead, call, ahead->slots[i], &texts);
	inputs.n = texts.n;
	if (inputs.n < 2 || !made)
		return;
	if (call->pair != NULL)
	{
		inputs.pairs = texts.pairs;
		inputs.pair_nulls = texts.pair_nulls;
	}
	InitFunctionCallInfoData(*arguments, &call->function, call->n_arguments, InvalidOid, NULL,
							 NULL);
	for (int i = 0; i < call->n_arguments; i++)
	{
		arguments->args[i] = (NullableDatum){.isnull = true};
		if (call->arguments[i] != NULL)
			arguments->args[i].value =
				ExecEvalExpr(call->arguments[i], context, &arguments->args[i].isnull);
	}
	call->gather->gather(arguments, &inputs);
	ahead->gathered += inputs.n;
	ahead->batches++;
}

static void
gather_calls(Ahead *ahead)
{
	MemoryContext previous = MemoryContextSwitchTo(ahead->memory);

	for (int c = 0; c < ahead->n_calls; c++)
		gather_call(ahead, &ahead->calls[c]);
	MemoryContextSwitchTo(previous);
	MemoryContextReset(ahead->memory);
}

static void
read_ahead(Ahead *ahead)
{
	int goal = memo_has_room(MAX_AHEAD_BYTES) ? ahead->goal : 1;
	Size bytes = 0;

	if (ahead->most > 0)
		goal = Min(goal, ahead->most);
	ahead->n = ahead->next = 0;
	while (!ahead->ended && ahead->n < goal && bytes < MAX_AHEAD_BYTES)
	{
		TupleTableSlot *slot = ExecProcNode(outerPlanState(&ahead->base));

		if (TupIsNull(slot))
			ahead->ended = true;
		else
		{
			TupleTableSlot *copy = ExecCopySlot(ahead->slots[ahead->n++], slot);

			bytes += ((MinimalTupleTableSlot *) copy)->mintuple->t_len;
		}
	}
	if (ahead->most > 0)
		ahead->most = Max(ahead->most - ahead->n, 1);
	ahead->goal = Min(2 * goal, MAX_AHEAD);
	if (ahead->n > 0)
		gather_calls(ahead);
}

static TupleTableSlot *
next_row(CustomScanState *base)
{
	Ahead *ahead = (Ahead *) base;
	ExprContext *context = base->ss.ps.ps_ExprContext;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		ResetExprContext(context);
		if (ahead->next == ahead->n)
			read_ahead(ahead);
		if (ahead->next == ahead->n)
			return ExecClearTuple(base->ss.ps.ps_ResultTupleSlot);
		context->ecxt_outertuple = ahead->slots[ahead->next++];
		if (ExecQual(base->ss.ps.qual, context))
			return ExecProject(base->ss.ps.ps_ProjInfo);
		InstrCountFiltered1(&base->ss.ps, 1);
	}
}

static void
end(CustomScanState *base)
{
	ExecEndNode(outerPlanState(base));
}

static void
rescan(CustomScanState *base)
{
	Ahead *ahead = (Ahead *) base;

	ahead->n = ahead->next = 0;
	ahead->goal = 1;
	ahead->most = intVal(linitial(((CustomScan *) base->ss.ps.plan)->custom_private));
	ahead->ended = false;
	if (outerPlanState(base)->chgParam == NULL)
		ExecReScan(outerPlanState(base));
}

static void
explain(CustomScanState *base, List *ancestors, ExplainState *out)
{
	const Ahead *ahead = (Ahead *) base;

	if (!out->analyze)
		return;
	ExplainPropertyInteger("Texts Gathered", NULL, ahead->gathered, out);
	ExplainPropertyInteger("Batches", NULL, ahead->batches, out);
}

static const CustomExecMethods exec_methods = {.CustomName = "BertGather",
											   .BeginCustomScan = begin,
											   .ExecCustomScan = next_row,
											   .EndCustomScan = end,
											   .ReScanCustomScan = rescan,
											   .ExplainCustomScan = explain};

static Node *
create_state(CustomScan *scan)
{
	Ahead *ahead = (Ahead *) newNode(sizeof *ahead, T_CustomScanState);

	ahead->base.methods = &exec_methods;
	return (Node *) ahead;
}

void
gather_register(void)
{
	RegisterCustomScanMethods(&scan_methods);
}
