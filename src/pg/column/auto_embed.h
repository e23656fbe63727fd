/*
 * auto_embed.h: columns that fill themselves.
 *
 * A row of bert.auto_column says who acts for a table, with which model. Its two triggers are on
 * the table: one empties the target when the text changes, one puts the row's key into
 * bert.auto_queue. The triggers' conditions name the columns, so the server keeps them right when
 * something is renamed or restored. When a transaction that has queued rows commits, its backend
 * makes sure that a worker runs (one for each database and role), which embeds what is queued,
 * stays a moment and leaves.
 *
 * The worker acts as the role of the row; where that is a superuser and the table is not a
 * superuser's, as the table's owner, who could otherwise have his own code run as superuser.
 */
#ifndef BERT_PG_COLUMN_AUTO_EMBED_H
#define BERT_PG_COLUMN_AUTO_EMBED_H

#include "utils/rel.h"
#include "pg/column/column.h"

#define AUTO_WORKER_TYPE "bert auto worker"
#define AUTO_MAX_KEY 32

typedef struct AutoColumn
{
	int64 number;
	Oid relation;
	Oid role; /* as stored */
	char *model;
	char *search_path;
} AutoColumn;

typedef struct AutoKey
{
	int n;
	char *names[AUTO_MAX_KEY];
} AutoKey;

/* auto_embed.c */
/* false: no such trigger */
extern bool auto_trigger_columns(Relation relation, int64 number, AttrNumber *source,
								 AttrNumber *target);
/* the primary key's columns, or another unique key's; false: it has none */
extern bool auto_key(Relation relation, AutoKey *key);
extern Oid auto_acting_role(Oid role, Oid relation);

/* auto_queue.c: all SQL on the two tables, as their owner; needs a transaction */
extern int64 auto_column_insert(const AutoColumn *column);
extern bool auto_column_load(int64 number, AutoColumn *column);
/* of AutoColumn *: those with rows to embed now, oldest first */
extern List *auto_columns_due(void);
extern void auto_column_delete(int64 number); /* with its queue */
/* it rests for a while; NULL: it is well again */
extern void auto_column_fail(int64 number, const char *sqlstate, const char *error);
extern List *auto_columns_of(Oid relation); /* of AutoColumn * */
extern void auto_columns_sweep(void);       /* forgets tables that are gone */
/* Ends the work on a column whose role is gone, triggers included; none: nothing happens. */
extern void auto_forget(int64 number);

typedef struct QueuedRow
{
	int64 id;
	int attempts;
	int n;
	char **names; /* (n) of key columns */
	char **key;   /* (n) their values, as text */
} QueuedRow;

/* (n) texts */
extern void auto_queue_insert(int64 number, int n, Datum *names, Datum *key);
/* of QueuedRow *, locked; what another worker holds is left out */
extern List *auto_queue_take(int64 number, int limit);
extern void auto_queue_delete(const int64 *ids, int n);
/* for a second: somebody uses the rows */
extern void auto_queue_delay(const int64 *ids, int n);
/* longer each time, at last for ever */
extern void auto_queue_fail(int64 id, const char *sqlstate, const char *error);
/* seconds until the next row that this role embeds is due; -1: none */
extern double auto_queue_next(Oid acting);

/* auto_launch.c */
extern void auto_init(void);
extern void auto_start_at_commit(Oid role, bool may_connect);
extern void auto_start_due(void); /* workers for all that is due; needs a transaction */

/* auto_worker.c */
extern PGDLLEXPORT void bert_auto_worker_main(Datum unused);

#endif
