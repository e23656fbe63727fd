/* control.c: bert.wait_job, bert.cancel_job, bert.resume_job and bert.drop_job. */
#include "pg/server/compat.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "pg/job/data.h"
#include "pg/job/job.h"

#define POLL_MS 50
#define NOTICE_MS 2000
#define QUEUED_MS 1000
#define MAX_SECONDS_LEFT 1e9
#define CANCEL_WAIT_MS 10000
#define SIGNAL_MS 200 /* between signals to a worker; a multiple of POLL_MS */
/* how long a running job may be without its lock: it takes it before it commits */
#define LOST_MS 2000

PG_FUNCTION_INFO_V1(bert_wait_job);
PG_FUNCTION_INFO_V1(bert_cancel_job);
PG_FUNCTION_INFO_V1(bert_resume_job);
PG_FUNCTION_INFO_V1(bert_drop_job);

/* The job, if the current user may see it: somebody else's is as absent as one that never was. */
void
job_load_own(int64 number, Job *job)
{
	Oid role = job_role(number); /* rights before contents */

	if (!OidIsValid(role) || !has_privs_of_role(GetUserId(), role) || !job_load(number, job))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("job %lld does not exist", (long long) number),
						errhint("See the view bert.jobs.")));
}

/* A queued job whose role can have no worker, any more, would wait for ever. */
static bool
fail_without_worker(const Job *job)
{
	const char *why = role_why_no_worker(&job->who);

	return why != NULL && job_finish(job->job, "queued", "failed", "42501", why);
}

static bool
has_ended(const Job *job)
{
	return strcmp(job->state, "queued") != 0 && strcmp(job->state, "running") != 0;
}

static void
pause_for(long milliseconds)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
					 WAIT_EVENT("BertWaitJob"));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* What a caller of wait_job has been told. */
typedef struct Watch
{
	char said[256];
	int64 step;
	TimestampTz next_step_at; /* steps are told no more often */
	TimestampTz unlocked_since;
} Watch;

/* A line for each change. */
static void
tell(Watch *watch, const char *line)
{
	if (strcmp(watch->said, line) == 0)
		return;
	strlcpy(watch->said, line, sizeof watch->said);
	ereport(NOTICE, (errmsg_internal("%s", watch->said)));
}

static void
tell_queued(Watch *watch, const Job *job)
{
	const char *why = RecoveryInProgress()    ? "this server is a standby, which runs no jobs"
					  : job_slots_free() == 0 ? "all places of bert.max_jobs are taken"
					  : !job_role_has_place(job->who.role)
						  ? "the jobs of its role that run already take all of the role's places"
						  : "it waits for a background worker";

	tell(watch, psprintf("job %lld is queued: %s", (long long) job->job, why));
}

/* Steps as they come, a line every two seconds at most; before and after them what is being done.
 */
static void
tell_progress(Watch *watch, const Job *job, TimestampTz now)
{
	double seconds = (double) (job->total_steps - job->step) * job->seconds_per_step;
	int left = seconds > 0 && seconds < MAX_SECONDS_LEFT ? (int) seconds : 0;

	if (job->phase != NULL && strcmp(job->phase, "training") != 0)
		tell(watch, psprintf("job %lld: %s", (long long) job->job, job->phase));
	if (job->step == 0 || job->step == watch->step || now < watch->next_step_at)
		return;
	watch->step = job->step;
	watch->next_step_at = TimestampTzPlusMilliseconds(now, NOTICE_MS);
	tell(watch, psprintf("job %lld: step %lld of %lld, epoch %.2f, loss %.4f, %.1f samples/s, "
						 "%02d:%02d:%02d left",
						 (long long) job->job, (long long) job->step, (long long) job->total_steps,
						 job->epoch, job->loss, job->samples_per_second, left / 3600,
						 left / 60 % 60, left % 60));
}

/* A running job without its lock has lost its worker; a queued one may have none yet. */
static void
warn_if_lost(const Job *job)
{
	if (strcmp(job->state, "running") == 0)
		ereport(WARNING,
				(errmsg("job %lld was interrupted: its worker is gone", (long long) job->job),
				 errhint("Call bert.resume_job(%lld) to go on from its last checkpoint.",
						 (long long) job->job)));
}

/* Whether it has been running without its lock for so long that its worker must be gone. */
static bool
is_lost(Watch *watch, const Job *job, TimestampTz now)
{
	if (strcmp(job->state, "running") != 0 || job_lock_held(job->job))
		watch->unlocked_since = 0;
	else if (watch->unlocked_since == 0)
		watch->unlocked_since = now;
	else
		return TimestampDifferenceExceeds(watch->unlocked_since, now, LOST_MS);
	return false;
}

static char *
wait_for_end(int64 number, TimestampTz deadline)
{
	Watch watch = {.step = -1};
	MemoryContext round =
		AllocSetContextCreate(CurrentMemoryContext, "bert wait_job", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(round);
	TimestampTz queued_since = GetCurrentTimestamp();

	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		bool queued;
		bool lost;
		Job job;

		MemoryContextReset(round);
		job_load_own(number, &job);
		queued = strcmp(job.state, "queued") == 0;
		if (queued && !RecoveryInProgress() && fail_without_worker(&job))
			continue;
		lost = is_lost(&watch, &job, now);
		if (lost)
			warn_if_lost(&job);
		if (lost || has_ended(&job) || now >= deadline)
		{
			MemoryContextSwitchTo(caller);
			return pstrdup(job.state);
		}
		/* most jobs start at once */
		if (!queued)
			tell_progress(&watch, &job, now);
		else if (TimestampDifferenceExceeds(queued_since, now, QUEUED_MS))
			tell_queued(&watch, &job);
		pause_for(POLL_MS);
	}
}

Datum
bert_wait_job(PG_FUNCTION_ARGS)
{
	int64 number;
	TimestampTz deadline = DT_NOEND;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	number = PG_GETARG_INT64(0);
	if (!PG_ARGISNULL(1))
	{
		TimestampTz now = GetCurrentTimestamp();

		deadline = DatumGetTimestampTz(DirectFunctionCall2(
			timestamptz_pl_interval, TimestampTzGetDatum(now), PG_GETARG_DATUM(1)));
	}
	if (job_submitted_here(number))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job %lld was submitted in this transaction and starts when it commits",
						(long long) number),
				 errhint("Commit first, then wait.")));
	PG_RETURN_TEXT_P(cstring_to_text(wait_for_end(number, deadline)));
}

/*
 * The worker ends a running job itself: it is the one who writes to the row. It is told again and
 * again: code of the job may catch a cancel once. False when it has lost its worker instead.
 */
static bool
end_by_worker(int64 number, Job *job)
{
	for (int waited = 0; waited < CANCEL_WAIT_MS && !has_ended(job); waited += POLL_MS)
	{
		if (waited % SIGNAL_MS == 0 && !job_interrupt(number))
		{
			job_load_own(number, job);
			return has_ended(job);
		}
		pause_for(POLL_MS);
		job_load_own(number, job);
	}
	return true;
}

Datum
bert_cancel_job(PG_FUNCTION_ARGS)
{
	int64 number = PG_GETARG_INT64(0);
	Job job;

	for (;;)
	{
		job_load_own(number, &job);
		if (has_ended(&job))
			PG_RETURN_TEXT_P(cstring_to_text(job.state));
		if (strcmp(job.state, "running") == 0 && end_by_worker(number, &job))
			PG_RETURN_TEXT_P(cstring_to_text(job.state));
		/* fails, and we look again, when a worker has taken the job meanwhile */
		if (!job_lock_held(number) && job_finish(number, job.state, "cancelled", NULL, NULL))
		{
			job_start_worker_at_abort(&job);
			PG_RETURN_TEXT_P(cstring_to_text("cancelled"));
		}
		CHECK_FOR_INTERRUPTS();
	}
}

static void
refuse_running(int64 number)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE), errmsg("job %lld is running", (long long) number),
			 errhint("Wait for it with bert.wait_job, or stop it with bert.cancel_job.")));
}

Datum
bert_resume_job(PG_FUNCTION_ARGS)
{
	int64 number = PG_GETARG_INT64(0);
	Job job;

	do
	{
		CHECK_FOR_INTERRUPTS();
		job_load_own(number, &job);
		if (strcmp(job.state, "succeeded") == 0)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("job %lld has succeeded; there is nothing to resume",
								   (long long) number)));
		if (strcmp(job.state, "running") == 0 && job_lock_held(number))
			refuse_running(number);
	} while (strcmp(job.state, "queued") != 0 && !job_requeue(number, job.state));
	if (fail_without_worker(&job))
		PG_RETURN_TEXT_P(cstring_to_text("failed"));
	job_start_worker_at_commit(&job);
	PG_RETURN_TEXT_P(cstring_to_text("queued"));
}

Datum
bert_drop_job(PG_FUNCTION_ARGS)
{
	int64 number = PG_GETARG_INT64(0);
	Job job;

	PreventCommandIfReadOnly("bert.drop_job()");
	do
	{
		CHECK_FOR_INTERRUPTS();
		job_load_own(number, &job);
		if (strcmp(job.state, "running") == 0 && job_lock_held(number))
			refuse_running(number);
	} while (!job_delete(number, job.state));
	if (strcmp(job.state, "queued") == 0)
		job_start_worker_at_abort(&job);
	job_data_remove_at_commit(number);
	PG_RETURN_VOID();
}
