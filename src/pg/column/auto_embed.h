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

/* Ends the work on a column whose role is gone, triggers included; none: nothing happens. */
extern void auto_forget(int64 number);

#endif
