/*
 * gather.h: texts of a scan, computed together.
 *
 * A plan calls bert.embed with one text at a time, and a short text keeps the processor waiting for
 * the model's weights. So a node in the plan ("BertGather" in EXPLAIN) reads some rows ahead of the
 * call and has their short texts computed as one batch, which leaves the results where the call
 * finds them (memo.h). The rows, their order and the expressions stay as they were: a plan without
 * the node computes the same.
 */
#ifndef BERT_PG_INFER_GATHER_H
#define BERT_PG_INFER_GATHER_H

#include "executor/executor.h"
#include "nodes/extensible.h"
#include "nodes/plannodes.h"

#include "pg/infer/rows.h"

/* Sets the hook that puts the node into plans as they start. */
extern void gather_init(void);

/* gather_plan.c: the statement itself, or a copy with nodes where they gain something. */
extern PlannedStmt *gather_plan(PlannedStmt *statement);

/*
 * gather.c: a node over the child with this target list. calls: of FuncExpr, whose first argument
 * is a column (OUTER_VAR) of the child; most: rows that are wanted at most, 0 if it is unknown.
 */
extern Plan *gather_node(Plan *child, List *target_list, List *calls, int most, int number);
/* Makes the node known, also to parallel workers. */
extern void gather_register(void);

/* embed.c: has the texts computed and remembered; arguments: as of the function itself. */
typedef void (*GatherTexts)(FunctionCallInfo arguments, const TextInputs *inputs);

extern void gather_embed(FunctionCallInfo arguments, const TextInputs *inputs);
extern void gather_embed_query(FunctionCallInfo arguments, const TextInputs *inputs);
extern void gather_embed_document(FunctionCallInfo arguments, const TextInputs *inputs);

/* gather_plan.c: the column that an argument is, NULL if it is none. */
extern Var *gather_column(Node *argument);
/* What gathers for a function; NULL if nothing does. */
extern GatherTexts gather_function(Oid function);

#endif
