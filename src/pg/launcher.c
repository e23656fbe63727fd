/*
 * launcher.c: the process that visits every database in turn, where the library is preloaded.
 *
 * A visit is a process of its own, for a process can connect to one database only. It puts back
 * into the queue what a crash has interrupted, and starts the workers that have something to do.
 * What it does are short steps, each a transaction of its own: one that fails, or waits for a lock
 * for too long, does not keep the others from being done, nor a database the ones after it.
 */
#include "pg/server/compat.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "pg/column/auto_column.h"
#include "pg/column/auto_launch.h"
#include "pg/job/data.h"
#include "pg/job/job.h"
#include "pg/launcher.h"
#include "pg/model/store.h"
#include "pg/server/worker.h"

#define LAUNCHER_INTERVAL_MS 60000
#define LAUNCHER_RESTART_SECONDS 5
#define VISIT_MS 10000
#define LOCK_TIMEOUT "1s"

/* Databases that can be connected to. */
static List *
list_databases(MemoryContext context)
{
	List *databases = NIL;
	Relation relation;
	TableScanDesc scan;
	HeapTuple tuple;

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

/* Nothing here is worth waiting for: what is left out is done by the next visit. */
static void
wait_little(void)
{
	SetConfigOption("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);
}

/* Starts a visitor in the database and waits until it has gone, but not for ever. */
static void
visit(Oid database)
{
	BackgroundWorkerHandle *handle;
	TimestampTz started = GetCurrentTimestamp();
	pid_t pid;
	BgwHandleStatus status;

	if (!worker_start_visitor(database, &handle))
		return;
	while ((status = GetBackgroundWorkerPid(handle, &pid)) != BGWH_STOPPED &&
		   status != BGWH_POSTMASTER_DIED)
	{
		if (TimestampDifferenceExceeds(started, GetCurrentTimestamp(), VISIT_MS))
		{
			ereport(LOG, (errmsg("bert launcher ends its visit of database %u: it takes too long",
								 database)));
			TerminateBackgroundWorker(handle);
			break;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, VISIT_MS / 10,
						 WAIT_EVENT("BertLauncherVisit"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	pfree(handle);
}

static void
start_next_job(void)
{
	(void) job_start_next(NULL);
}

/* in_transaction: the step needs one, else it makes its own */
static void
take_step(const char *name, void (*step)(void), bool in_transaction)
{
	MemoryContext context = TopMemoryContext;

	PG_TRY();
	{
		if (in_transaction)
			worker_begin();
		step();
		if (in_transaction)
			worker_commit();
	}
	PG_CATCH();
	{
		ErrorData *error = worker_take_error(context);

		ereport(LOG, (errmsg("bert visitor of database %u could not %s: %s", MyDatabaseId, name,
							 error->message)));
		FreeErrorData(error);
	}
	PG_END_TRY();
}

void
bert_visitor_main(Datum database)
{
	worker_take_signals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid, 0);
	worker_yields_in_deadlocks();
	wait_little();
	if (!worker_extension_present())
		return;
	take_step("put interrupted jobs back into the queue", job_requeue_interrupted, true);
	take_step("start the workers of queued rows", auto_start_due, true);
	take_step("start the next job", start_next_job, false);
	take_step("forget columns that are gone", auto_columns_sweep, true);
	take_step("remove unused blocks", store_collect_garbage, true);
	take_step("forget checkpoints that have expired", job_expire, true);
	take_step("remove data files of jobs", job_data_sweep, true);
}

void
bert_launcher_main(Datum unused)
{
	MemoryContext round;

	worker_take_signals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	wait_little();
	round = AllocSetContextCreate(TopMemoryContext, "bert launcher", ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		ListCell *cell;

		MemoryContextReset(round);
		MemoryContextSwitchTo(round);
		foreach (cell, list_databases(round))
		{
			visit(lfirst_oid(cell));
			CHECK_FOR_INTERRUPTS();
		}
		/* A visit may have taken the latch of a reload that asks for another look. */
		if (!ConfigReloadPending)
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 LAUNCHER_INTERVAL_MS, WAIT_EVENT("BertLauncherMain"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		worker_reload_settings();
	}
}

void
launcher_init(void)
{
	BackgroundWorker worker;

	if (!process_shared_preload_libraries_in_progress)
		return;
	worker_describe(&worker, "bert_launcher_main", "bert launcher");
	strlcpy(worker.bgw_name, "bert launcher", sizeof worker.bgw_name);
	worker.bgw_restart_time = LAUNCHER_RESTART_SECONDS;
	RegisterBackgroundWorker(&worker);
}
