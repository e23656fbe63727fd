/*
 * launcher.c: the process that visits every database in turn, where the library is preloaded.
 *
 * A visit is a process of its own, for a process can connect to one database only. It puts back
 * into the queue what a crash has interrupted, and starts the workers that have something to do.
 */
#include "pg/server/compat.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "pg/column/auto_embed.h"
#include "pg/job/job.h"
#include "pg/launcher.h"
#include "pg/server/worker.h"

#define LAUNCHER_INTERVAL_MS 60000
#define LAUNCHER_RESTART_SECONDS 5

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

/* Starts a visitor in the database and waits until it has gone. */
static void
visit(Oid database)
{
	BackgroundWorkerHandle *handle;

	if (worker_start_visitor(database, &handle))
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
	(void) job_start_next(NULL);
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
		ListCell *cell;

		MemoryContextReset(round);
		MemoryContextSwitchTo(round);
		foreach (cell, list_databases(round))
		{
			visit(lfirst_oid(cell));
			CHECK_FOR_INTERRUPTS();
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LAUNCHER_INTERVAL_MS, PG_WAIT_EXTENSION);
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
