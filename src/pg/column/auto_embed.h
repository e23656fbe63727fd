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
 * The worker acts as the role of the row of bert.auto_column. When a superuser has asked for it the
 * owner acts of the very table (a partition, say) that holds the row, as in logical replication:
 * all that is defined on a table, triggers, policies, constraints, expressions, runs as its owner
 * then, never as a superuser on somebody else's behalf.
 */
#ifndef BERT_PG_COLUMN_AUTO_EMBED_H
#define BERT_PG_COLUMN_AUTO_EMBED_H

#include "lib/stringinfo.h"
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
	bool by_owner; /* the owner of each row's table acts, not role */
	Oid part;      /* that table, of rows that are due; InvalidOid: all of them */
} AutoColumn;

typedef struct AutoKeyColumn
{
	char *name;
	Oid type;   /* of values as text */
	bool plain; /* reads back as the same whatever the settings */
	char *equality;
	char *cast; /* to the operator's type */
	char *collate;
} AutoKeyColumn;

typedef struct AutoKey
{
	int n;
	AutoKeyColumn columns[AUTO_MAX_KEY];
} AutoKey;

/* auto_embed.c */
/* false: no such trigger */
extern bool auto_trigger_columns(Relation relation, int64 number, AttrNumber *source,
								 AttrNumber *target);
/* The column was made for this table, or for one that it is a partition of. */
extern bool auto_belongs(const AutoColumn *column, Relation relation);
/* Whether the owner of each row's table acts for it. */
extern bool auto_owners_act(const AutoColumn *column);
/* who acts for rows of this table */
extern Oid auto_acting_role(const AutoColumn *column, Oid relation);

/* auto_key.c */
/*
 * NULL, and the primary key, or another unique key whose columns are NOT NULL; a deferrable one is
 * as good, for the worker sees what is committed. Else why there is none: a sentence, or "".
 */
extern const char *auto_key(Relation relation, AutoKey *key);
/* One of the key's columns, or another one that was of the key once; an error if it is none. */
extern void auto_key_column(Relation relation, const char *name, const AutoKey *key,
							AutoKeyColumn *out);
/* Appends " AND l.column = k.kn". */
extern void auto_key_condition(StringInfo sql, const AutoKeyColumn *column, int n);
/* Between the two, values become text, and text values, the same way for everybody. */
extern int auto_key_begin_text(void);
extern void auto_key_end_text(int level);

/* auto_queue.c: all SQL on the two tables, as their owner; needs a transaction */
extern int64 auto_column_insert(const AutoColumn *column);
extern bool auto_column_load(int64 number, AutoColumn *column);
/* of AutoColumn *: those with rows to embed now, oldest first */
extern List *auto_columns_due(void);
extern void auto_column_delete(int64 number); /* with its queue */
/* it, or the rows of its part, is paused for a while; NULL: it is well again */
extern void auto_column_fail(const AutoColumn *column, const char *sqlstate, const char *error);
/*
 * Notes that a worker of this role begins with it; false, and it is paused until it is begun anew,
 * if workers have crashed there twice. To be committed before anything else is done.
 */
extern bool auto_attempt_begin(const AutoColumn *column, Oid role);
extern void auto_attempt_end(int64 number, Oid role); /* number 0: with all */
extern List *auto_columns_of(Oid relation);           /* of AutoColumn * */
extern void auto_columns_sweep(void);                 /* forgets tables that are gone */
/* Ends the work on a column whose role is gone, triggers included; none: nothing happens. */
extern void auto_forget(int64 number);

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

/* auto_launch.c */
extern void auto_init(void);
extern void auto_start_at_commit(Oid role, bool may_connect);
extern void auto_start_due(void); /* workers for all that is due; needs a transaction */

/* auto_worker.c */
extern PGDLLEXPORT void bert_auto_worker_main(Datum unused);

#endif
