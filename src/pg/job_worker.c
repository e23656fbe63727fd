/*
 * job_worker.c: the background processes.
 *
 * A worker takes one of bert.max_jobs slots and runs queued jobs until there is none. It connects as the bootstrap
 * superuser; what belongs to the submitter runs as the submitter (role.h). SIGINT cancels the job, SIGTERM ends the
 * process and leaves the job to be resumed. The launcher, with the library preloaded, visits every database in turn.
 */
#include "pg/compat.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "pg/auto_embed.h"
#include "pg/guc.h"
#include "pg/job_run.h"
#include "pg/worker.h"

#define LAUNCHER_INTERVAL_MS 60000

static bool
claim(Job **job)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "bert claimed job", ALLOCSET_DEFAULT_SIZES);
	bool		found;

	worker_begin();
	MemoryContextSwitchTo(context);
	*job = palloc(sizeof **job);
	found = job_claim(*job);
	if (found)
		job_lock_acquire((*job)->job);	/* before "running" is committed: who sees the one finds the other */
	worker_commit();
	if (!found)
		MemoryContextDelete(context);
	return found;
}

/* Commits why the job ended. Another end may have been written meanwhile; then that stands. */
static void
conclude(const Job *job, const ErrorData *error)
{
	bool		cancelled = error->sqlerrcode == ERRCODE_QUERY_CANCELED;
	char	   *message = worker_error_text(error);

	ereport(LOG,
			(errmsg("bert job %lld %s: %s", (long long) job->job, cancelled ? "cancelled" : "failed", error->message)));
	worker_begin();
	(void) job_finish(job->job, "running", cancelled ? "cancelled" : "failed", unpack_sql_state(error->sqlerrcode), message);
	worker_commit();
}

static void
run_claimed(Job *job, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "bert job", ALLOCSET_DEFAULT_SIZES);

	ereport(LOG, (errmsg("bert job %lld %s", (long long) job->job, job->attempts > 1 ? "resumed" : "started")));
	PG_TRY();
	{
		job_run(job, context);
		ereport(LOG, (errmsg("bert job %lld succeeded", (long long) job->job)));
	}
	PG_CATCH();
	{
		ErrorData  *error = worker_take_error(TopMemoryContext);

		job_trainer_destroy();
		MemoryContextDelete(context);	/* closes files, and removes unfinished ones, before the end is announced */
		if (worker_extension_present())
			conclude(job, error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	job_lock_release(job->job);
	pgstat_report_activity(STATE_IDLE, NULL);
}

static bool
queue_is_empty(void)
{
	bool		empty;

	worker_begin();
	empty = job_queue_empty();
	worker_commit();
	return empty;
}

static void
destroy_trainer_at_exit(int code, Datum unused)
{
	job_trainer_destroy();
}

void
bert_job_worker_main(Datum database)
{
	Job		   *job;

	worker_take_signals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid, 0);
	worker_yields_in_deadlocks();
	before_shmem_exit(destroy_trainer_at_exit, (Datum) 0);
	MemoryContextSwitchTo(TopMemoryContext);

	/* after a slot is given back the queue is looked at once more: a worker that found no slot meanwhile has left */
	while (worker_extension_present() && !queue_is_empty() && job_slot_acquire(guc_max_jobs))
	{
		while (worker_extension_present() && claim(&job))
		{
			MemoryContext context = GetMemoryChunkContext(job);

			run_claimed(job, context);
			MemoryContextSwitchTo(TopMemoryContext);
			MemoryContextDelete(context);
		}
		job_slot_release();
	}
}

/* Databases that can be connected to. */
static List *
list_databases(MemoryContext context)
{
	List	   *databases = NIL;
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	worker_begin();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (form->datallowconn && !form->datistemplate)
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			databases = lappend_oid(databases, form->oid);
			MemoryContextSwitchTo(old);
		}
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	worker_commit();
	return databases;
}

/* Starts a visitor in the database and waits until it has gone. */
static void
visit(Oid database)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "bert", sizeof worker.bgw_library_name);
	strlcpy(worker.bgw_function_name, "bert_visitor_main", sizeof worker.bgw_function_name);
	strlcpy(worker.bgw_type, "bert visitor", sizeof worker.bgw_type);
	snprintf(worker.bgw_name, sizeof worker.bgw_name, "bert visitor of database %u", database);
	if (RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		(void) WaitForBackgroundWorkerShutdown(handle);
		pfree(handle);
	}
}

void
bert_visitor_main(Datum database)
{
	worker_take_signals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid, 0);
	worker_yields_in_deadlocks();
	if (!worker_extension_present())
		return;
	worker_begin();
	job_requeue_interrupted();
	auto_columns_sweep();
	auto_start_due();
	worker_commit();
	if (!queue_is_empty())
		(void) job_start_worker();
}

void
bert_launcher_main(Datum unused)
{
	MemoryContext round;

	worker_take_signals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	round = AllocSetContextCreate(TopMemoryContext, "bert launcher", ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		ListCell   *cell;

		MemoryContextReset(round);
		MemoryContextSwitchTo(round);
		foreach(cell, list_databases(round))
		{
			visit(lfirst_oid(cell));
			CHECK_FOR_INTERRUPTS();
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LAUNCHER_INTERVAL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		worker_reload_settings();
	}
}
