/* auto_launch.h: getting workers to run for queued rows. */
#ifndef BERT_PG_COLUMN_AUTO_LAUNCH_H
#define BERT_PG_COLUMN_AUTO_LAUNCH_H

#define AUTO_WORKER_TYPE "bert auto worker"

extern void auto_init(void);
extern void auto_start_at_commit(Oid role, bool may_connect);
extern void auto_start_due(void); /* workers for all that is due; needs a transaction */

#endif
