/*
 * launch.c: getting workers to run.
 *
 * A worker is started when the transaction that submitted or resumed a job has committed, by the
 * submitting backend itself; no preload is needed. It serves one role. A worker that finds no free
 * place (lock.c) leaves again, of each role only one looks at a time (server/shared.h), and one
 * that has ended a job looks who waits: it starts workers for those whose turn comes before its
 * own, goes on itself if there is a place left, and else leaves. So roles take turns, and the queue
 * empties as long as any worker lives; other databases that wait for a place are visited. With the
 * library preloaded a launcher visits every database after a start, a crash or a promotion, and
 * then once a minute, to resume interrupted jobs and to start a worker where a queue has none.
 */
#include "pg/server/compat.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "pg/job/job.h"
#include "pg/server/shared.h"
#include "pg/server/worker.h"

#define MAX_REMEMBERED 64

#define MAX_ROLES 16

/* To start a worker for at the transaction's end. */
typedef struct AtEnd
{
	WorkerFor purpose;
	bool at_commit;
	bool at_abort; /* or when a part of the transaction was rolled back: jobs may be queued again */
} AtEnd;

static int n_roles;
static AtEnd roles[MAX_ROLES];
static bool part_aborted;
static int n_submitted;
static int64 submitted_here[MAX_REMEMBERED]; /* the last ones of this transaction */

/* false when no background worker is free */
static bool
start(const WorkerFor *purpose)
{
	const WorkerRole *who = &purpose->who;
	BackgroundWorker worker;

	if (!job_worker_wanted(who->session, who->role))
		return true;
	worker_describe(&worker, "bert_job_worker_main", JOB_WORKER_TYPE);
	snprintf(worker.bgw_name, sizeof worker.bgw_name, JOB_WORKER_TYPE " of database %u",
			 MyDatabaseId);
	worker_set_for(&worker, purpose);
	if (RegisterDynamicBackgroundWorker(&worker, NULL))
		return true;
	job_worker_gone(MyDatabaseId, who->session, who->role);
	return false;
}

bool
job_start_worker(const WorkerRole *who)
{
	WorkerFor purpose = {MyDatabaseId, *who, true};

	return start(&purpose);
}

static bool
same_role(const WorkerRole *a, const WorkerRole *b)
{
	return a->session == b->session && a->role == b->role;
}

/* Whose jobs wait; those that can have no worker fail. */
static List *
list_waiting(MemoryContext context)
{
	List *waiting;
	List *able = NIL;
	ListCell *cell;

	worker_begin();
	MemoryContextSwitchTo(context);
	waiting = job_waiting();
	foreach (cell, waiting)
	{
		JobWaiting *next = lfirst(cell);
		const char *why = role_why_no_worker(&next->who);

		if (why == NULL)
			able = lappend(able, next);
		else
			(void) job_finish(next->number, "queued", "failed", "42501", why);
	}
	worker_commit();
	return able;
}

/* Under the locks as they are: another worker's own look may come between. */
static JobNext
start_waiting(const List *waiting, const WorkerRole *mine)
{
	int n_free;
	ListCell *cell;

	n_free = job_slots_free();
	foreach (cell, waiting)
	{
		const JobWaiting *next = lfirst(cell);

		if (n_free <= 0)
			break;
		if (mine != NULL && same_role(&next->who, mine))
		{
			if (job_slot_acquire(next->who.role))
				return JOB_NEXT_MINE;
			continue;
		}
		if (!job_role_has_place(next->who.role))
			continue;
		if (!job_start_worker(&next->who))
			return JOB_NEXT_NO_WORKER;
		n_free--;
	}
	return JOB_NEXT_DONE;
}

JobNext
job_start_next(const WorkerRole *mine)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "bert waiting jobs", ALLOCSET_DEFAULT_SIZES);
	List *waiting = list_waiting(context);
	JobNext next = JOB_NEXT_DONE;

	if (waiting != NIL)
	{
		/* first: who gives a place back before we look leaves it free, who does it later sees this
		 */
		job_waits_note(MyDatabaseId);
		worker_begin();
		next = start_waiting(waiting, mine);
		worker_commit();
	}
	MemoryContextDelete(context);
	return next;
}

/* More than MAX_ROLES are for the worker that ends its own. */
static void
remember(const WorkerRole *who, bool at_commit)
{
	int i = 0;

	shared_attach();
	while (i < n_roles && !same_role(&roles[i].purpose.who, who))
		i++;
	if (i == MAX_ROLES)
		return;
	if (i == n_roles)
		roles[n_roles++] = (AtEnd){.purpose = {MyDatabaseId, *who, true}};
	roles[i].at_commit = roles[i].at_commit || at_commit;
	roles[i].at_abort = roles[i].at_abort || !at_commit;
}

void
job_start_worker_at_commit(const Job *job)
{
	remember(&job->who, true);
	submitted_here[n_submitted++ % MAX_REMEMBERED] = job->job;
}

void
job_start_worker_at_abort(const Job *job)
{
	remember(&job->who, false);
}

bool
job_submitted_here(int64 number)
{
	for (int i = 0; i < Min(n_submitted, MAX_REMEMBERED); i++)
		if (submitted_here[i] == number)
			return true;
	return false;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
			/* nothing here may raise an error: the commit is done */
			part_aborted = part_aborted || event == XACT_EVENT_ABORT;
			for (int i = 0; i < n_roles; i++)
				if (((roles[i].at_commit && event == XACT_EVENT_COMMIT) ||
					 (roles[i].at_abort && part_aborted)) &&
					!start(&roles[i].purpose))
					ereport(WARNING,
							(errmsg("no background worker is free; the job stays queued"),
							 errhint("A worker that ends a job sees to the next one. To start one "
									 "call bert.resume_job, or raise max_worker_processes.")));
			break;
		case XACT_EVENT_PRE_PREPARE:
			if (n_roles > 0)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that submitted or ended a job")));
			return;
		default:
			return;
	}
	n_roles = 0;
	n_submitted = 0;
	part_aborted = false;
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		part_aborted = true;
}

void
job_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}
