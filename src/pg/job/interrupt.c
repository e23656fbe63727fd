/* interrupt.c: cancels and time limits of the job that a worker runs. */
#include "pg/server/compat.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "pg/job/data.h"
#include "pg/job/job.h"
#include "pg/server/own_lock.h"
#include "pg/server/settings.h"
#include "pg/server/worker.h"

#define INSIST_MS 2000 /* for so long a cancel may be caught by the job's own code */

static int64 number;                      /* of the job that runs */
static volatile sig_atomic_t running;     /* it may be interrupted */
static volatile sig_atomic_t early;       /* a cancel came between its lock and its begin */
static volatile sig_atomic_t cancelled;   /* somebody wants its end */
static volatile sig_atomic_t limited;     /* its queries run */
static volatile sig_atomic_t overtime;    /* and have run for too long */
static volatile sig_atomic_t too_long;    /* the whole job has run for too long */
static volatile sig_atomic_t forced;      /* the process ends for one of these reasons */
static volatile TimestampTz cancelled_at; /* written and read in the handler alone */
static TimeoutId limit;                   /* of its queries */
static TimeoutId job_limit;               /* of the whole job */

static void
end_process(void)
{
	forced = true;
	die(SIGTERM);
}

static void
handle_cancel(SIGNAL_ARGS)
{
	int saved_errno = errno;

	if (!running)
		early = true;
	else if (!cancelled)
	{
		cancelled = true;
		cancelled_at = GetCurrentTimestamp();
		StatementCancelHandler(postgres_signal_arg);
	}
	else if (TimestampDifferenceExceeds(cancelled_at, GetCurrentTimestamp(), INSIST_MS))
		end_process();
	errno = saved_errno;
}

/* Once when the time is up, then again and again. */
static void
time_is_up(volatile sig_atomic_t *reason)
{
	if (*reason)
	{
		end_process();
		return;
	}
	*reason = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

static void
handle_limit(void)
{
	if (running && limited)
		time_is_up(&overtime);
}

static void
handle_job_limit(void)
{
	if (running)
		time_is_up(&too_long);
}

static void
start_limit(TimeoutId id, int seconds)
{
	if (seconds > 0)
		enable_timeout_every(
			id, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), seconds * INT64CONST(1000)),
			INSIST_MS);
}

const char *
job_outcome(int sqlstate, const char **message)
{
	*message = NULL;
	if (overtime)
	{
		*message = psprintf("the queries of the job ran for more than %d s, which "
							"bert.job_query_timeout allows",
							guc_job_query_timeout);
		return "failed";
	}
	if (too_long && !cancelled)
	{
		*message = psprintf("the job ran for more than %d s, which bert.job_timeout allows "
							"(bert.resume_job goes on from its last checkpoint)",
							guc_job_timeout);
		return "failed";
	}
	return cancelled || sqlstate == ERRCODE_QUERY_CANCELED ? "cancelled" : "failed";
}

/* The job's own code would not end: its outcome is written now, and somebody else goes on. */
static void
conclude_at_exit(int code, Datum unused)
{
	const char *state;
	const char *message;

	if (!forced)
		return;
	forced = false;
	AbortOutOfAnyTransaction();
	job_data_remove(number);
	worker_begin();
	state = job_outcome(ERRCODE_QUERY_CANCELED, &message);
	(void) job_conclude(number, state, unpack_sql_state(ERRCODE_QUERY_CANCELED),
						message != NULL ? message : "its code went on after a cancel");
	worker_commit();
	ereport(LOG, (errmsg("bert job %lld %s: %s", (long long) number, state,
						 message != NULL ? message : "its code went on after a cancel")));
	(void) worker_start_visitor(MyDatabaseId, NULL);
}

void
job_interrupts_init(void)
{
	pqsignal(SIGINT, handle_cancel);
	limit = RegisterTimeout(USER_TIMEOUT, handle_limit);
	job_limit = RegisterTimeout(USER_TIMEOUT, handle_job_limit);
	own_lock_init();
	before_shmem_exit(conclude_at_exit, (Datum) 0);
}

void
job_interrupts_expect(void)
{
	early = false;
}

void
job_interrupts_begin(int64 job)
{
	number = job;
	cancelled = limited = overtime = too_long = false;
	running = true;
	start_limit(job_limit, guc_job_timeout);
	if (early)
		handle_cancel(SIGINT);
}

void
job_interrupts_end(void)
{
	running = limited = false;
	disable_timeout(limit, false);
	disable_timeout(job_limit, false);
	HOLD_INTERRUPTS();
	QueryCancelPending = false;
	RESUME_INTERRUPTS();
}

void
job_query_limit_begin(void)
{
	limited = true;
	start_limit(limit, guc_job_query_timeout);
}

void
job_query_limit_end(void)
{
	limited = false;
	disable_timeout(limit, false);
	CHECK_FOR_INTERRUPTS();
	/* code of the job may have caught it */
	if (cancelled || overtime || too_long)
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED),
						errmsg("canceling statement due to user request")));
}
