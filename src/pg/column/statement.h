/*
 * statement.h: a statement of ours on a user's table, as the current user, with rows going in and
 * out.
 *
 * SPI would do, but for two things that are done to the analysed query: rows are named by tableoid
 * and ctid, which a role with privileges on some columns could not read; and reading what is to be
 * written later must obey the policies and privileges of UPDATE already, or work would be done for
 * rows that cannot be written.
 */
#ifndef BERT_PG_COLUMN_STATEMENT_H
#define BERT_PG_COLUMN_STATEMENT_H

#include "executor/tuptable.h"
#include "nodes/parsenodes.h"
#include "utils/tuplestore.h"

/* Rows that a statement finds under the name bert_batch. */
typedef struct InputRows
{
	TupleDesc desc;
	Tuplestorestate *store;
	double n;
	bool by_place; /* the caller's to set: rows are found by ctid, each once */
} InputRows;

/*
 * Starts an empty set of rows whose columns have these names and types, in CurrentMemoryContext.
 */
extern void input_rows_begin(InputRows *rows, int n_columns, const char *const *names,
							 const Oid *types);
extern void input_rows_add(InputRows *rows, Datum *values, bool *nulls);
extern void input_rows_end(InputRows *rows);

/* Takes a result row; false: no more are wanted. */
typedef bool (*RowTake)(void *context, TupleTableSlot *slot);

/*
 * Runs one statement with a snapshot of its own and returns the number of rows it touched.
 * relation: the table whose permissions are eased as said above; as_update: that reading is checked
 * as writing. input and take: NULL for none.
 */
extern uint64 table_statement_run(const char *sql, Oid relation, bool as_update,
								  const InputRows *input, RowTake take, void *context);

/*
 * 42601 unless the text is one expression, whole in itself: it may then stand in parentheses in a
 * statement.
 */
extern void check_expression(const char *text, const char *argument);

#endif
