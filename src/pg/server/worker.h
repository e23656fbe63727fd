/*
 * worker.h: what the background processes have in common. None of it runs code of a user.
 */
#ifndef BERT_PG_SERVER_WORKER_H
#define BERT_PG_SERVER_WORKER_H

#include "postmaster/bgworker.h"

#include "pg/server/role.h"

/*
 * A background worker of ours that starts after recovery, is connected to a database by its
 * function and is not restarted. The caller adds name, argument and whom to notify.
 */
extern void worker_describe(BackgroundWorker *worker, const char *function, const char *type);

/* The database and the role of a worker that works for somebody; the worker gets them back. */
typedef struct WorkerFor
{
	Oid database;
	WorkerRole who;
	bool may_connect; /* false: the session's role cannot log in here by itself */
} WorkerFor;

extern void worker_set_for(BackgroundWorker *worker, const WorkerFor *purpose);
extern WorkerFor worker_get_for(void);

/*
 * Connects as the session's role, as if that role had logged in: session_user is that role,
 * is_superuser is its own. A role that cannot log in (the owner of a table, often) becomes the
 * session's user by SET SESSION AUTHORIZATION instead; whoever uses that must run no code of a user
 * but under SECURITY_LOCAL_USERID_CHANGE, which bars the way back.
 */
extern void worker_connect(const WorkerFor *purpose);

/*
 * Has a process look at a database: start what waits there, clear away what is left. handle: NULL,
 * or to wait for it. false when no background worker is free.
 */
extern bool worker_start_visitor(Oid database, BackgroundWorkerHandle **handle);

/* SIGTERM ends the process, SIGINT cancels what it is at, SIGHUP sets ConfigReloadPending. */
extern void worker_take_signals(void);
/* Settings as they are now, after a SIGHUP. */
extern void worker_reload_settings(void);

/*
 * DROP EXTENSION locks the tables one by one, in another order than a worker's transactions. Who
 * notices a deadlock first gives way: a worker that looks early, not the user's statement.
 */
extern void worker_yields_in_deadlocks(void);

/*
 * A transaction at READ COMMITTED that may write, whatever the database's or the role's defaults
 * are, with a snapshot. After the commit TopMemoryContext is current.
 */
extern void worker_begin(void);
extern void worker_commit(void);

/*
 * The extension may be dropped at any time; then there is nothing to do here. In a transaction of
 * its own.
 */
extern bool worker_extension_present(void);

/*
 * In a PG_CATCH: the error, in this context, which is then current; the transaction is rolled back,
 * a pending cancel forgotten. Without a postmaster nothing may be written any more: then the
 * process ends.
 */
extern ErrorData *worker_take_error(MemoryContext context);
/* Its message, with the hint in parentheses. */
extern char *worker_error_text(const ErrorData *error);

#endif
