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

#include "pg/column/auto_column.h"
#include "pg/column/auto_key.h"

/* Ends the work on a column whose role is gone, triggers included; none: nothing happens. */
extern void auto_forget(int64 number);

/*
 * What bert.auto_embed does with a column that was opened, as the current user: checks rights,
 * table and model, and makes the triggers. automatic: zeros.
 */
extern void auto_embed_begin(TableColumn *column, const ColumnForm *form, const text *model,
							 AutoColumn *automatic);

/* Its parts that bert.auto_chunk shares. Who acts, and under which path: */
extern void auto_acts(const TableColumn *column, AutoColumn *automatic);
/* 42501 unless the current user may make triggers on the table. */
extern void auto_check_trigger(const TableColumn *column);
/* 0A000 a temporary table, 55000 without a key; else the key. */
extern void auto_check_table(const TableColumn *column, AutoKey *key);
/* Of Oid: the tables that hold rows: the partitions, or the table itself. */
extern List *auto_parts(const TableColumn *column);
/* The current user owns the table, or has the rights of who acts. */
extern bool auto_may_stop(const AutoColumn *automatic);

#endif
