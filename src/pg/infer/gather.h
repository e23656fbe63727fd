/*
 * gather.h: texts of a scan, computed together.
 *
 * A plan calls bert.embed, or bert.label, with one text at a time, and a short text keeps the
 * processor waiting for the model's weights. So a node in the plan ("BertGather" in EXPLAIN) reads
 * some rows ahead of the call and has their short texts computed as one batch, which leaves the
 * results where the call finds them (memo.h). The rows, their order and the expressions stay as
 * they were: a plan without the node computes the same.
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

/* What a node does with its child's rows; its expressions are over them (OUTER_VAR). */
typedef struct GatherNode
{
	List *target_list;
	List *quals; /* evaluated for each row, in this order */
	List *calls; /* of FuncExpr: whose texts are computed ahead */
	int most;    /* rows that are wanted at most, 0: that is not known */
	int number;  /* in its plan */
} GatherNode;

/* gather.c */
extern Plan *gather_node(Plan *child, const GatherNode *node);
/* Makes the node known, also to parallel workers. */
extern void gather_register(void);

/* Has texts computed and remembered; arguments: as of the function itself. */
typedef void (*GatherTexts)(FunctionCallInfo arguments, const TextInputs *inputs);

/* embed.c */
extern void gather_embed(FunctionCallInfo arguments, const TextInputs *inputs);
extern void gather_embed_query(FunctionCallInfo arguments, const TextInputs *inputs);
extern void gather_embed_document(FunctionCallInfo arguments, const TextInputs *inputs);

extern void gather_embed_pinned(FunctionCallInfo arguments, const TextInputs *inputs);
extern void gather_similarity(FunctionCallInfo arguments, const TextInputs *inputs);
/* classify.c */
extern void gather_classify(FunctionCallInfo arguments, const TextInputs *inputs);
extern void gather_classify_pinned(FunctionCallInfo arguments, const TextInputs *inputs);
extern void gather_label(FunctionCallInfo arguments, const TextInputs *inputs);
extern void gather_label_pinned(FunctionCallInfo arguments, const TextInputs *inputs);
extern void gather_labels(FunctionCallInfo arguments, const TextInputs *inputs);
extern void gather_regress(FunctionCallInfo arguments, const TextInputs *inputs);
extern void gather_regress_pinned(FunctionCallInfo arguments, const TextInputs *inputs);
/* fill.c */
extern void gather_next_sentence(FunctionCallInfo arguments, const TextInputs *inputs);

/* gather_call.c: how a function's texts are gathered. */
typedef struct GatherFunction
{
	const char *symbol;
	GatherTexts gather;
	int pair;  /* the argument that is a second text; 0: none */
	bool both; /* without one of them there is nothing to compute */
} GatherFunction;

/* NULL: they are not. */
extern const GatherFunction *gather_function(Oid function);

/* Collects calls that are made for every row: not those of a branch that may not be taken. */
extern bool gather_find_calls(Node *node, List **calls);

#endif
