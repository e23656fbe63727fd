/*
 * auto_launch.c: getting workers to run for queued rows: by the backend whose transaction has
 * queued them, when it commits; by the launcher; by bert.embed_column. Nothing here may raise an
 * error, for it would be the user's own statement that fails.
 */
#include "pg/server/compat.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"

#include "pg/column/auto_column.h"
#include "pg/column/auto_launch.h"
#include "pg/server/shared.h"
#include "pg/server/worker.h"

/* whose rows one transaction queues; for others the next commit starts a worker */
#define MAX_ROLES 16

static int n_roles;
static WorkerFor roles[MAX_ROLES];

static void
start(const WorkerFor *purpose)
{
	Oid role = purpose->who.role;
	BackgroundWorker worker;
	int pid;

	if (!auto_worker_wanted(role, &pid))
	{
		PGPROC *process = pid == 0 ? NULL : BackendPidGetProc(pid);

		if (process != NULL)
			SetLatch(&process->procLatch);
		return;
	}
	worker_describe(&worker, "bert_auto_worker_main", AUTO_WORKER_TYPE);
	worker_set_for(&worker, purpose);
	snprintf(worker.bgw_name, sizeof worker.bgw_name, AUTO_WORKER_TYPE " of database %u",
			 MyDatabaseId);
	/* when none is free the rows stay queued, and the next commit tries again */
	if (!RegisterDynamicBackgroundWorker(&worker, NULL))
		auto_worker_gone(MyDatabaseId, role);
}

void
auto_start_at_commit(Oid role, bool may_connect)
{
	for (int i = 0; i < n_roles; i++)
		if (roles[i].who.role == role)
			return;
	if (n_roles < MAX_ROLES)
		roles[n_roles++] = (WorkerFor){MyDatabaseId, {role, role}, may_connect};
}

void
auto_start_due(void)
{
	List *columns = auto_columns_due();
	ListCell *cell;

	foreach (cell, columns)
	{
		const AutoColumn *column = lfirst(cell);
		Oid role = auto_acting_role(column, column->part);
		WorkerFor purpose = {MyDatabaseId, {role, role}, role_may_connect(role)};

		start(&purpose);
	}
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			for (int i = 0; i < n_roles; i++)
				start(&roles[i]);
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE: /* a later commit, or the launcher, sees to the rows */
			break;
		default:
			return;
	}
	n_roles = 0;
}

void
auto_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
}
