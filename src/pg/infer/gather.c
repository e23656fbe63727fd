/* gather.c: the node that reads rows ahead and has their texts computed together. */
#include "pg/server/compat.h"

#include "access/detoast.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "pg/infer/gather.h"
#include "pg/infer/memo.h"
#include "pg/server/detoast.h"

#define MAX_AHEAD 64                        /* rows */
#define MAX_AHEAD_BYTES ((Size) 256 * 1024) /* of the rows, but for one */
#define MAX_TEXT_BYTES 256                  /* longer texts keep the processor busy by themselves */
#define FIRST_NODE_NUMBER (1 << 20)         /* more than the planner gives */

/* A call in the target list above: the texts to come are computed as it says. */
typedef struct AheadCall
{
	GatherTexts gather;
	AttrNumber column; /* of the child */
	FmgrInfo function;
	int n_options;
	ExprState **options; /* (n_options) all arguments but the first */
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
gather_node(Plan *child, List *target_list, List *calls, int most, int number)
{
	CustomScan *scan = makeNode(CustomScan);
	Plan *plan = &scan->scan.plan;

	plan->startup_cost = child->startup_cost;
	plan->total_cost = child->total_cost;
	plan->plan_rows = child->plan_rows;
	plan->plan_width = child->plan_width;
	plan->parallel_safe = child->parallel_safe;
	plan->plan_node_id = FIRST_NODE_NUMBER + number;
	plan->targetlist = target_list;
	plan->lefttree = child;
	plan->extParam = bms_copy(child->extParam);
	plan->allParam = bms_copy(child->allParam);
	scan->custom_exprs = calls;
	scan->custom_private = list_make1(makeInteger(most));
	scan->methods = &scan_methods;
	return plan;
}

/* --- Running it --- */

static void
begin_call(Ahead *ahead, AheadCall *call, FuncExpr *function)
{
	ListCell *cell;

	call->column = gather_column(linitial(function->args))->varattno;
	fmgr_info_cxt(function->funcid, &call->function, CurrentMemoryContext);
	call->gather = gather_function(function->funcid);
	if (call->gather == NULL)
		elog(ERROR, "function %u cannot be gathered", function->funcid);
	call->options = palloc(sizeof(ExprState *) * (size_t) list_length(function->args));
	for_each_from(cell, function->args, 1) call->options[call->n_options++] =
		ExecInitExpr(lfirst(cell), &ahead->base.ss.ps);
}

static void
begin(CustomScanState *base, EState *state, int flags)
{
	Ahead *ahead = (Ahead *) base;
	CustomScan *scan = (CustomScan *) base->ss.ps.plan;
	ListCell *cell;

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

/* The call's short texts of the rows read, as one batch. */
static void
gather_call(Ahead *ahead, AheadCall *call)
{
	LOCAL_FCINFO(arguments, FUNC_MAX_ARGS);
	ExprContext *context = ahead->base.ss.ps.ps_ExprContext;
	bool no_nulls[MAX_AHEAD] = {false};
	Datum texts[MAX_AHEAD];
	TextInputs inputs = {.values = texts, .nulls = no_nulls};

	for (int i = 0; i < ahead->n; i++)
	{
		bool null;
		Datum text = slot_getattr(ahead->slots[i], call->column, &null);

		if (!null && toast_raw_datum_size(text) <= MAX_TEXT_BYTES + VARHDRSZ)
			texts[inputs.n++] = text;
	}
	if (inputs.n < 2)
		return;
	InitFunctionCallInfoData(*arguments, &call->function, call->n_options + 1, InvalidOid, NULL,
							 NULL);
	arguments->args[0].isnull = true;
	for (int i = 0; i < call->n_options; i++)
		arguments->args[i + 1].value =
			ExecEvalExpr(call->options[i], context, &arguments->args[i + 1].isnull);
	call->gather(arguments, &inputs);
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
	if (ahead->n > 1)
		gather_calls(ahead);
}

static TupleTableSlot *
next_row(CustomScanState *base)
{
	Ahead *ahead = (Ahead *) base;
	ExprContext *context = base->ss.ps.ps_ExprContext;

	CHECK_FOR_INTERRUPTS();
	ResetExprContext(context);
	if (ahead->next == ahead->n)
		read_ahead(ahead);
	if (ahead->next == ahead->n)
		return ExecClearTuple(base->ss.ps.ps_ResultTupleSlot);
	context->ecxt_outertuple = ahead->slots[ahead->next++];
	return ExecProject(base->ss.ps.ps_ProjInfo);
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
