/*
 * worker.c: the process that runs jobs.
 *
 * A worker serves one role: it is a session of that role's, as if it had logged in, and becomes the
 * tables' owner only for statements of our own (own_statement.h). It runs one job of its
 * role's after another as long as it is that role's turn and there is a place (lock.c). What reads
 * the submitter's data runs as a security-restricted operation besides (role.h): whatever code of a
 * user is called there leaves nothing behind. SIGINT cancels the job, SIGTERM ends the process and
 * leaves the job to be resumed.
 */
#include "pg/server/compat.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "pg/server/settings.h"
#include "pg/job/data.h"
#include "pg/job/run.h"
#include "pg/server/shared.h"
#include "pg/server/worker.h"

#define START_TRIES 30 /* one a second */
#define MAX_MISSES 3
#define LOCK_TIMEOUT_OF_OURS "5min" /* then the job fails, and may be resumed */

static bool
claim(const WorkerRole *who, Job **job)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "bert claimed job", ALLOCSET_DEFAULT_SIZES);
	bool found;

	worker_begin();
	MemoryContextSwitchTo(context);
	*job = palloc(sizeof **job);
	found = job_claim(who, *job);
	if (found)
	{
		job_interrupts_expect();
		/* before "running" is committed: who sees the one finds the other */
		job_lock_acquire((*job)->job);
	}
	worker_commit();
	if (!found)
		MemoryContextDelete(context);
	return found;
}

/* Commits why the job ended. Another end may have been written meanwhile; then that stands. */
static void
conclude(const Job *job, const ErrorData *error)
{
	const char *message;
	const char *state = job_outcome(error->sqlerrcode, &message);

	ereport(LOG, (errmsg("bert job %lld %s: %s", (long long) job->job, state,
						 message != NULL ? message : error->message)));
	worker_begin();
	(void) job_conclude(job->job, state, unpack_sql_state(error->sqlerrcode),
						message != NULL ? message : worker_error_text(error));
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
		job_interrupts_begin(job->job);
		job_run(job, context);
		job_interrupts_end();
		ereport(LOG, (errmsg("bert job %lld succeeded", (long long) job->job)));
	}
	PG_CATCH();
	{
		ErrorData *error;

		job_interrupts_end();
		error = worker_take_error(TopMemoryContext);
		/* the rollback has given it back; if somebody has taken the job since, the outcome is his
		 */
		(void) job_lock_try(job->job);
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

/*
 * Whether there is a place for a job of this worker's role; others whose turn comes first have a
 * worker when this returns, unless no process is free for very long.
 */
static bool
next_is_mine(const WorkerRole *who)
{
	for (int tries = 0; tries < START_TRIES && worker_extension_present(); tries++)
	{
		JobNext next = job_start_next(who);

		if (next != JOB_NEXT_NO_WORKER)
			return next == JOB_NEXT_MINE;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1000,
						 WAIT_EVENT("BertJobPlace"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	return false;
}

/* It looks at the queue no longer; who wanted it to look again gets another one, or it does so. */
static bool
stop_looking(const WorkerRole *who, bool start_other)
{
	if (job_worker_leave(who->session, who->role))
		return true;
	if (start_other)
	{
		job_worker_gone(MyDatabaseId, who->session, who->role);
		(void) job_start_worker(who);
	}
	return false;
}

static void
stop_looking_at_exit(int code, Datum unused)
{
	WorkerFor purpose = worker_get_for();

	job_worker_gone(purpose.database, purpose.who.session, purpose.who.role);
}

static void
destroy_trainer_at_exit(int code, Datum unused)
{
	job_trainer_destroy();
}

/* One job of the role after another, as long as it is the role's turn. */
static void
work_for(const WorkerRole *who)
{
	int misses = 0;

	while (misses < MAX_MISSES && next_is_mine(who))
	{
		Job *job;
		/* somebody may have been quicker, or holds the row */
		bool found = claim(who, &job);

		if (found)
		{
			MemoryContext context = GetMemoryChunkContext(job);

			(void) stop_looking(who, true);
			run_claimed(job, context);
			MemoryContextSwitchTo(TopMemoryContext);
			MemoryContextDelete(context);
		}
		misses = found ? 0 : misses + 1;
		job_slot_release();
		worker_reload_settings();
	}
}

void
bert_job_worker_main(Datum unused)
{
	WorkerFor purpose = worker_get_for();

	worker_take_signals();
	before_shmem_exit(stop_looking_at_exit, (Datum) 0);
	worker_connect(&purpose);
	job_worker_arrive(purpose.who.session, purpose.who.role);
	worker_yields_in_deadlocks();
	SetConfigOption("lock_timeout", LOCK_TIMEOUT_OF_OURS, PGC_USERSET, PGC_S_SESSION);
	job_interrupts_init();
	before_shmem_exit(destroy_trainer_at_exit, (Datum) 0);
	MemoryContextSwitchTo(TopMemoryContext);

	do
	{
		work_for(&purpose.who);
		if (worker_extension_present())
		{
			worker_begin();
			job_expire();
			job_data_sweep();
			worker_commit();
		}
	} while (!stop_looking(&purpose.who, false));
}
