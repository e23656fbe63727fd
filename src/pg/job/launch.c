/*
 * launch.c: getting workers to run.
 *
 * A worker is started when the transaction that submitted or resumed a job has committed, by the
 * submitting backend itself; no preload is needed. A worker that finds no free slot (bert.max_jobs)
 * leaves again, and one that has ended a job looks for the next, so the queue empties as long as
 * any worker lives. With the library preloaded a launcher visits every database after a start, a
 * crash or a promotion, and then once a minute, to resume interrupted jobs and to start a worker
 * where a queue has none.
 */
#include "pg/server/compat.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "pg/job/job.h"
#include "pg/server/worker.h"

#define MAX_REMEMBERED 64

static bool start_at_commit;
static int n_submitted;
static int64 submitted_here[MAX_REMEMBERED]; /* the last ones of this transaction */

bool
job_start_worker(void)
{
	BackgroundWorker worker;

	worker_describe(&worker, "bert_job_worker_main", JOB_WORKER_TYPE);
	snprintf(worker.bgw_name, sizeof worker.bgw_name, JOB_WORKER_TYPE " of database %u",
			 MyDatabaseId);
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}

void
job_start_worker_at_commit(int64 submitted)
{
	start_at_commit = true;
	if (submitted != 0)
		submitted_here[n_submitted++ % MAX_REMEMBERED] = submitted;
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
			/* nothing here may raise an error: the commit is done */
			if (start_at_commit && !job_start_worker())
				ereport(WARNING,
						(errmsg("no background worker is free; the job stays queued"),
						 errhint("A worker that ends a job takes the next one. To start one call "
								 "bert.resume_job, or raise max_worker_processes.")));
			break;
		case XACT_EVENT_PRE_PREPARE:
			if (start_at_commit)
				ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
								errmsg("cannot PREPARE a transaction that submitted a job")));
			return;
		case XACT_EVENT_ABORT:
			break;
		default:
			return;
	}
	start_at_commit = false;
	n_submitted = 0;
}

void
job_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
}
