/*
 * auto_queue.h: rows that wait for their embedding. The functions run as the owner of
 * bert.auto_queue and need a transaction.
 */
#ifndef BERT_PG_COLUMN_AUTO_QUEUE_H
#define BERT_PG_COLUMN_AUTO_QUEUE_H

#include "pg/column/auto_column.h"

typedef struct QueuedRow
{
	int64 id;
	int attempts;
	bool stale; /* it has an embedding, of another text */
	int n;
	char **names; /* (n) of key columns */
	char **key;   /* (n) their values, as text */
} QueuedRow;

/* (n) texts; part: the table that holds the row */
extern void auto_queue_insert(int64 number, Oid part, bool stale, int n, Datum *names, Datum *key);
/* of QueuedRow *, locked; what another worker holds is left out */
extern List *auto_queue_take(const AutoColumn *column, int limit);
extern void auto_queue_forget(const AutoColumn *column); /* the rows of its part */
extern void auto_queue_delete(const int64 *ids, int n);
/* for a second: somebody uses the rows */
extern void auto_queue_delay(const int64 *ids, int n);
/* longer each time, at last for ever */
extern void auto_queue_fail(int64 id, const char *sqlstate, const char *error);
/* seconds until the next row that this role embeds is due; -1: none */
extern double auto_queue_next(Oid acting);

#endif
