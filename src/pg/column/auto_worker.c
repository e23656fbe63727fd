/*
 * auto_worker.c: the process that embeds queued rows.
 *
 * It serves one role of one database and never another, so nothing that one user's code leaves
 * behind in a process meets another's. It is a session of that role's from its connection on, and
 * becomes the tables' owner only for statements on the queue (own_statement.h). From the begin of
 * each transaction to its very end, deferred triggers included, it is the role as inside a SECURITY
 * DEFINER function, so that no code of a user becomes another one.
 *
 * A batch is one transaction: queue rows locked, embedded, written, deleted. When it fails its rows
 * are tried one by one, so that one bad row does not hold up the rest; the error is kept with the
 * row, and the row is tried again, each time later. What concerns the whole column (a dropped
 * model, a revoked privilege) is kept with the column, which is paused for a while.
 */
#include "pg/server/compat.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "pg/column/auto_key.h"
#include "pg/column/auto_queue.h"
#include "pg/column/auto_work.h"
#include "pg/server/shared.h"
#include "pg/server/worker.h"

#define BATCH_ROWS 200
#define IDLE_MS 1000         /* how long it stays when there is nothing to do */
#define BUSY_MS 200          /* between looks at rows that others hold */
#define PATIENCE_SECONDS 5.0 /* it waits for rows that are due again so soon */

static Oid my_role;

static const char *
auto_function(const AutoColumn *column)
{
	return column->cuts ? "auto_chunk" : "auto_embed";
}

/* How far a batch has come, for whoever catches its error. */
typedef struct AutoBatch
{
	const AutoColumn *column;
	int limit;
	bool marked; /* that this process has begun with it is noted */
	bool opened; /* from here on an error is one of the rows */
	int n;       /* queue rows taken */
	int64 first_id;
	int64 last_id;
} AutoBatch;

/* --- One batch --- */

/*
 * How long a batch waits for a lock. DROP EXTENSION may begin to wait for the batch when the worker
 * has looked for a deadlock already, and would then be the one to fail, after the second that
 * deadlock_timeout is by default.
 */
#define LOCK_TIMEOUT_OF_BATCHES "500ms"

/* One transaction. Returns whether it found anything queued. */
static bool
run_batch(AutoBatch *batch)
{
	const AutoColumn *automatic = batch->column;
	AutoWork work;
	List *taken;
	AutoOpened opened;

	worker_begin();
	SetUserIdAndSecContext(my_role, SECURITY_LOCAL_USERID_CHANGE);
	(void) set_config_option("search_path", automatic->search_path, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, WARNING, false);
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT_OF_BATCHES, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, WARNING, false);
	opened = auto_work_open(automatic, my_role, &work);
	if (opened == AUTO_OPENED)
	{
		taken = auto_queue_take(automatic, batch->limit);
		batch->n = list_length(taken);
		batch->opened = true;
		if (batch->n > 0)
		{
			batch->first_id = ((QueuedRow *) linitial(taken))->id;
			batch->last_id = ((QueuedRow *) llast(taken))->id;
			auto_work_run(&work, taken);
		}
		auto_column_fail(automatic, NULL, NULL);
		if (batch->marked)
			auto_attempt_end(automatic->number, my_role);
	}
	else if (opened == AUTO_GONE && OidIsValid(automatic->part) &&
			 automatic->part != automatic->relation)
		auto_queue_forget(automatic);
	else if (opened == AUTO_GONE)
		auto_column_delete(automatic->number);
	worker_commit();
	SetUserIdAndSecContext(my_role, 0);
	return batch->n > 0;
}

/* A deadlock or the like is no fault of the row or the column. */
static bool
is_passing(int sqlstate)
{
	return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TRANSACTION_ROLLBACK ||
		   sqlstate == ERRCODE_LOCK_NOT_AVAILABLE;
}

/* In a transaction of its own: what failed and why. */
static void
note_failure(const AutoBatch *batch, const ErrorData *error)
{
	const char *sqlstate = unpack_sql_state(error->sqlerrcode);
	char *message = worker_error_text(error);

	if (!batch->opened && is_passing(error->sqlerrcode))
		return; /* the rows stay due */
	worker_begin();
	if (!batch->opened)
	{
		ereport(LOG, (errmsg("bert.%s of table %u is paused: %s", auto_function(batch->column),
							 batch->column->relation, error->message)));
		auto_column_fail(batch->column, sqlstate, message);
	}
	else if (batch->n == 1 && !is_passing(error->sqlerrcode))
		auto_queue_fail(batch->first_id, sqlstate, message);
	else if (batch->n == 1)
		auto_queue_delay(&batch->first_id, 1);
	worker_commit();
}

/* The columns that this process has begun with. */
#define MAX_ATTEMPTS 256
static struct
{
	int64 number;
	bool open; /* it is noted, for no batch is through yet */
} attempts[MAX_ATTEMPTS];
static int n_attempts;

/*
 * Notes, once for each process, that it begins with the column. Should it crash before its first
 * batch is through that is what is left; the second time is the last. Returns the column's place
 * above; -1: it is paused; more columns than have a place go without.
 */
static pg_noinline int
begin_attempt(const AutoColumn *automatic)
{
	bool goes_on;

	for (int i = 0; i < n_attempts; i++)
		if (attempts[i].number == automatic->number)
			return i;
	if (n_attempts == MAX_ATTEMPTS - 1)
		return n_attempts;
	worker_begin();
	goes_on = auto_attempt_begin(automatic, my_role);
	worker_commit();
	if (goes_on)
	{
		attempts[n_attempts].number = automatic->number;
		attempts[n_attempts].open = true;
		return n_attempts++;
	}
	ereport(LOG, (errmsg("bert.%s of table %u is paused: its worker has crashed twice",
						 auto_function(automatic), automatic->relation)));
	return -1;
}

/* A column's queue until nothing is due. */
static void
run_column(const AutoColumn *automatic, MemoryContext context)
{
	volatile int64 alone_until = 0; /* rows up to this one are tried one by one */
	int attempt = begin_attempt(automatic);
	volatile bool more = attempt >= 0;

	while (more)
	{
		AutoBatch batch = {.column = automatic,
						   .limit = alone_until > 0 ? 1 : BATCH_ROWS,
						   .marked = attempts[attempt].open};

		CHECK_FOR_INTERRUPTS();
		if (!PostmasterIsAlive())
			proc_exit(1); /* nothing may be written any more */
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		PG_TRY();
		{
			more = run_batch(&batch);
			attempts[attempt].open = false;
			if (batch.n > 0 && batch.last_id >= alone_until)
				alone_until = 0;
		}
		PG_CATCH();
		{
			ErrorData *error = worker_take_error(context);

			more = worker_extension_present();
			MemoryContextSwitchTo(context);
			if (more)
				note_failure(&batch, error);
			more = more && batch.opened;
			if (batch.n > 1)
				alone_until = Max(alone_until, batch.last_id);
			else if (batch.n == 1 && batch.last_id >= alone_until)
				alone_until = 0;
		}
		PG_END_TRY();
	}
}

/* All that is due for this role. */
static void
run_due(MemoryContext round, MemoryContext batch)
{
	List *columns;
	List *mine = NIL;
	ListCell *cell;

	MemoryContextReset(round);
	worker_begin();
	MemoryContextSwitchTo(round);
	columns = auto_columns_due();
	foreach (cell, columns)
	{
		AutoColumn *column = lfirst(cell);
		AutoColumn *last = mine == NIL ? NULL : llast(mine);

		if (auto_acting_role(column, column->part) != my_role)
			continue;
		if (!auto_owners_act(column))
			column->part = InvalidOid; /* all of them, through the table itself */
		if (last == NULL || last->number != column->number || last->part != column->part)
			mine = lappend(mine, column);
	}
	worker_commit();
	foreach (cell, mine)
	{
		pgstat_report_activity(STATE_RUNNING, psprintf("bert.%s", auto_function(lfirst(cell))));
		run_column(lfirst(cell), batch);
	}
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Seconds until something is due; -1: nothing will be by itself. */
static double
next_due(void)
{
	double seconds;

	worker_begin();
	seconds = auto_queue_next(my_role);
	worker_commit();
	return seconds;
}

static void
wait_for(long milliseconds)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
					 WAIT_EVENT("BertAutoWorkerPause"));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	worker_reload_settings();
}

static void
forget_attempts(int code, Datum unused)
{
	if (!PostmasterIsAlive())
		return;
	/* who was ended has not crashed */
	AbortOutOfAnyTransaction();
	worker_begin();
	if (OidIsValid(get_extension_oid("bert", true)))
		auto_attempt_end(0, my_role);
	worker_commit();
}

static void
leave_at_exit(int code, Datum database)
{
	auto_worker_gone(DatumGetObjectId(database), my_role);
}

extern PGDLLEXPORT void bert_auto_worker_main(Datum unused);

void
bert_auto_worker_main(Datum unused)
{
	WorkerFor purpose = worker_get_for();
	MemoryContext round;
	MemoryContext batch;
	bool idle = false;

	worker_take_signals();
	my_role = purpose.who.role;
	before_shmem_exit(leave_at_exit, ObjectIdGetDatum(purpose.database));
	worker_connect(&purpose);
	before_shmem_exit(forget_attempts, (Datum) 0);
	auto_worker_arrive(my_role);
	worker_yields_in_deadlocks();
	round = AllocSetContextCreate(TopMemoryContext, "bert auto round", ALLOCSET_DEFAULT_SIZES);
	batch = AllocSetContextCreate(TopMemoryContext, "bert auto batch", ALLOCSET_DEFAULT_SIZES);
	while (worker_extension_present())
	{
		double due;

		run_due(round, batch);
		if (!worker_extension_present())
			break;
		due = next_due();
		if (due >= 0 && due <= PATIENCE_SECONDS)
		{
			wait_for(Max((long) (due * 1000) + 10, BUSY_MS));
			idle = false;
		}
		else if (!idle)
		{
			wait_for(IDLE_MS);
			/* it looks once more, then leaves, unless somebody has told it to stay */
			idle = true;
		}
		else if (auto_worker_leave(my_role))
			break;
		else
			idle = false;
	}
}
