/*
 * worker.c: the process that runs jobs.
 *
 * A worker takes one of bert.max_jobs slots and runs queued jobs until there is none. It connects
 * as the bootstrap superuser; what belongs to the submitter runs as the submitter (role.h). SIGINT
 * cancels the job, SIGTERM ends the process and leaves the job to be resumed.
 */
#include "pg/server/compat.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pg/server/settings.h"
#include "pg/job/run.h"
#include "pg/server/worker.h"

static bool
claim(Job **job)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "bert claimed job", ALLOCSET_DEFAULT_SIZES);
	bool found;

	worker_begin();
	MemoryContextSwitchTo(context);
	*job = palloc(sizeof **job);
	found = job_claim(*job);
	if (found)
		/* before "running" is committed: who sees the one finds the other */
		job_lock_acquire((*job)->job);
	worker_commit();
	if (!found)
		MemoryContextDelete(context);
	return found;
}

/* Commits why the job ended. Another end may have been written meanwhile; then that stands. */
static void
conclude(const Job *job, const ErrorData *error)
{
	bool cancelled = error->sqlerrcode == ERRCODE_QUERY_CANCELED;
	char *message = worker_error_text(error);

	ereport(LOG, (errmsg("bert job %lld %s: %s", (long long) job->job,
						 cancelled ? "cancelled" : "failed", error->message)));
	worker_begin();
	(void) job_finish(job->job, "running", cancelled ? "cancelled" : "failed",
					  unpack_sql_state(error->sqlerrcode), message);
	worker_commit();
}

static void
run_claimed(Job *job, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "bert job", ALLOCSET_DEFAULT_SIZES);

	ereport(LOG, (errmsg("bert job %lld %s", (long long) job->job,
						 job->attempts > 1 ? "resumed" : "started")));
	PG_TRY();
	{
		job_run(job, context);
		ereport(LOG, (errmsg("bert job %lld succeeded", (long long) job->job)));
	}
	PG_CATCH();
	{
		ErrorData *error = worker_take_error(TopMemoryContext);

		job_trainer_destroy();
		/* closes files, and removes unfinished ones, before the end is announced */
		MemoryContextDelete(context);
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
	bool empty;

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
	Job *job;

	worker_take_signals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid, 0);
	worker_yields_in_deadlocks();
	before_shmem_exit(destroy_trainer_at_exit, (Datum) 0);
	MemoryContextSwitchTo(TopMemoryContext);

	/*
	 * after a slot is given back the queue is looked at once more: a worker that found no slot
	 * meanwhile has left
	 */
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
