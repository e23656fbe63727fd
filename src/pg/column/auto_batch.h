/* auto_batch.h: rows of the queue that one statement can see to, and how their rows are found. */
#ifndef BERT_PG_COLUMN_AUTO_BATCH_H
#define BERT_PG_COLUMN_AUTO_BATCH_H

#include "pg/column/auto_key.h"
#include "pg/column/auto_queue.h"
#include "pg/column/statement.h"

/* Rows chosen from the queue, and what is to become of their places there. */
typedef struct AutoBatchRows
{
	QueuedRow **rows; /* (n) each key once */
	int n;
	int64 *ids; /* (n_ids) theirs, and those of the same keys */
	int n_ids;
} AutoBatchRows;

/* Of QueuedRow *: those of the first one's kind, with its key columns. Others wait. */
extern void auto_batch_choose(List *taken, AutoBatchRows *chosen);

/* The keys of chosen rows, as values. */
typedef struct AutoBatchKeys
{
	int n;
	int n_key;
	AutoKeyColumn columns[AUTO_MAX_KEY];
	Datum *values;         /* (n, n_key) */
	const char *condition; /* " AND l.key = k.k0 ..." */
} AutoBatchKeys;

extern void auto_batch_keys(Relation relation, const AutoBatchRows *chosen, AutoBatchKeys *keys);

/*
 * An input whose columns are n, the row's number, k0 ... its key, and so many more of these names
 * and types.
 */
extern void auto_batch_input(const AutoBatchKeys *keys, int n_more, const char *const *names,
							 const Oid *types, InputRows *input);
/* more, nulls (n_more) */
extern void auto_batch_add(const AutoBatchKeys *keys, int row, int n_more, const Datum *more,
						   const bool *more_nulls, InputRows *input);
/* One with just the keys. */
extern void auto_batch_key_input(const AutoBatchKeys *keys, InputRows *input);

/* These rows (n_rows of chosen's numbers) are in use: they stay in the queue for a second. */
extern void auto_batch_delay(AutoBatchRows *chosen, const int *rows, int n_rows);

#endif
