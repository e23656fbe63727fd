/*
 * embed_column.c: bert.embed_column.
 *
 * The caller's own process works as the others do. It goes over the table in passes: what a pass
 * had to leave out, because it was locked or changed while the model computed, is for the next one;
 * rows that an update has moved behind the front are found there too. All batches are transactions
 * of their own, so an end by any means loses a batch at most, and another call goes on.
 */
#include "pg/server/compat.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "pg/column/auto_launch.h"
#include "pg/column/call.h"
#include "pg/server/detoast.h"
#include "pg/server/own_lock.h"
#include "pg/server/settings.h"
#include "pg/infer/call.h"
#include "pg/server/shared.h"
#include "pg/server/worker.h"
#include "pg/column/statement.h"

#define WAIT_MS 100
#define LOOK_MS 300 /* between looks for a free worker */
#define MAX_STUCK_PASSES 5
#define DEFAULT_WORKERS 2
#define DEFAULT_BATCH_ROWS 500

PG_FUNCTION_INFO_V1(bert_embed_column);

typedef struct EmbedCall
{
	dsm_segment *segment;
	EmbedShared *shared;
	int slot;   /* in the list of running calls */
	int wanted; /* workers, in this pass */
	TimestampTz looked;
	MemoryContext context;                              /* of the whole call */
	BackgroundWorkerHandle *workers[EMBED_MAX_WORKERS]; /* NULL: none */
} EmbedCall;

static void
begin_batch(EmbedTurn *turn)
{
	/* a new transaction has begun with the last commit */
	if (!FirstSnapshotSet)
		XactIsoLevel = XACT_READ_COMMITTED;
}

static void
commit_batch(EmbedTurn *turn)
{
	SPI_commit();
}

static void
interrupt_workers(EmbedShared *shared)
{
	int pids[EMBED_MAX_WORKERS];

	SpinLockAcquire(&shared->lock);
	shared->stop = true;
	memcpy(pids, shared->worker_pid, sizeof pids);
	SpinLockRelease(&shared->lock);
	for (int i = 0; i < EMBED_MAX_WORKERS; i++)
		if (pids[i] != 0)
			(void) kill(pids[i], SIGINT);
}

/* The caller lets go of the segment: at the end, after an error, or because its process ends. */
static void
caller_gone(dsm_segment *segment, Datum call)
{
	interrupt_workers(dsm_segment_address(segment));
	running_call_end(DatumGetInt32(call));
}

/* One that is there no more makes its place free. */
static bool
has_worker(EmbedCall *call, int i)
{
	pid_t pid;

	if (call->workers[i] == NULL)
		return false;
	if (GetBackgroundWorkerPid(call->workers[i], &pid) != BGWH_STOPPED)
		return true;
	embed_shared_worker_ended(call->shared, i);
	pfree(call->workers[i]);
	call->workers[i] = NULL;
	return false;
}

/* As many as are wanted, if all calls together leave room for them. */
static void
start_workers(EmbedCall *call)
{
	BackgroundWorker worker;
	MemoryContext previous = MemoryContextSwitchTo(call->context);

	worker_describe(&worker, "bert_embed_worker_main", EMBED_WORKER_TYPE);
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(call->segment));
	worker.bgw_notify_pid = MyProcPid;
	snprintf(worker.bgw_name, sizeof worker.bgw_name, EMBED_WORKER_TYPE " for process %d",
			 MyProcPid);
	for (int i = 0; i < call->wanted; i++)
	{
		if (has_worker(call, i))
			continue;
		if (!running_call_take_worker(call->slot, table_workers_limit()))
			break;
		call->shared->counted[i] = true;
		memcpy(worker.bgw_extra, &i, sizeof i);
		/* without a free worker fewer processes do the same work */
		if (!RegisterDynamicBackgroundWorker(&worker, &call->workers[i]))
		{
			call->workers[i] = NULL;
			embed_shared_worker_ended(call->shared, i);
			break;
		}
	}
	call->looked = GetCurrentTimestamp();
	MemoryContextSwitchTo(previous);
}

/* Now and then: others may have ended meanwhile, and left room for a worker. */
static bool
goes_on(EmbedTurn *turn)
{
	EmbedCall *call = turn->context;

	if (call->wanted > 0 && turn->shared->progress.next_block < turn->shared->progress.blocks &&
		TimestampDifferenceExceeds(call->looked, GetCurrentTimestamp(), LOOK_MS))
		start_workers(call);
	return true;
}

static void
await_workers(EmbedCall *call)
{
	running_call_want(call->slot, 0);
	call->wanted = 0;
	for (int i = 0; i < EMBED_MAX_WORKERS; i++)
		while (has_worker(call, i))
		{
			if (!PostmasterIsAlive())
				ereport(FATAL,
						(errcode(ERRCODE_ADMIN_SHUTDOWN), errmsg("the postmaster has died")));
			if (call->shared->failed)
				return;
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, WAIT_MS,
							 WAIT_EVENT("BertTableWorkers"));
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
}

/* After an error: none of them may outlive the statement. */
static void
end_workers(EmbedCall *call)
{
	if (call->shared == NULL)
		return;
	HOLD_INTERRUPTS();
	running_call_want(call->slot, 0);
	interrupt_workers(call->shared);
	for (int i = 0; i < EMBED_MAX_WORKERS; i++)
	{
		pid_t pid;

		if (!has_worker(call, i))
			continue;
		if (GetBackgroundWorkerPid(call->workers[i], &pid) == BGWH_NOT_YET_STARTED)
			TerminateBackgroundWorker(call->workers[i]);
		(void) WaitForBackgroundWorkerShutdown(call->workers[i]);
		(void) has_worker(call, i);
	}
	RESUME_INTERRUPTS();
}

static void
raise_worker_error(const EmbedShared *shared)
{
	const EmbedError *error = &shared->error;

	ereport(ERROR, (errcode(error->sqlstate), errmsg_internal("%s", error->message),
					error->detail[0] == '\0' ? 0 : errdetail_internal("%s", error->detail),
					error->hint[0] == '\0' ? 0 : errhint("%s", error->hint),
					errcontext("%s%sa worker of bert.embed_column", error->context,
							   error->context[0] == '\0' ? "" : "\n")));
}

/* What an error, or a cancel, leaves behind. */
static void
tell_committed(void *context)
{
	const EmbedShared *shared = context;
	long long done = shared->progress.rows_done;

	errcontext(
		"bert.embed_column into column \"%s\": %lld rows are embedded and committed, the next "
		"call goes on with the rest",
		shared->progress.target, done);
}

/* Over the whole table once. */
static void
run_pass(EmbedCall *call, EmbedTurn *turn, int workers)
{
	EmbedShared *shared = call->shared;
	TableColumn column;
	uint32 blocks;

	turn->begin(turn);
	PushActiveSnapshot(GetTransactionSnapshot());
	embed_shared_open(shared, &column);
	blocks = table_column_blocks(&column);
	embed_shared_begin_pass(shared, blocks, table_column_rows(&column));
	PopActiveSnapshot();
	turn->commit(turn);
	call->wanted =
		column.temporary ? 0 : Max(Min(workers, (int) Min(blocks, EMBED_MAX_WORKERS)) - 1, 0);
	running_call_want(call->slot, call->wanted);
	start_workers(call);
	embed_turn_run(turn);
	await_workers(call);
	if (shared->failed)
		raise_worker_error(shared);
}

static void
wait_for_row(EmbedTurn *turn, const EmbedRow *row)
{
	TableColumn column;

	turn->begin(turn);
	embed_shared_open(turn->shared, &column);
	embed_rows_wait(row, &column);
	turn->commit(turn);
}

/* Passes until one leaves nothing; returns how many rows are left. */
static int64
run_passes(EmbedCall *call, EmbedTurn *turn)
{
	EmbedShared *shared = call->shared;
	int64 done = 0;
	int64 skipped = 0;
	int stuck = 0;

	for (int pass = 1; stuck < MAX_STUCK_PASSES; pass++)
	{
		int64 written;
		bool complete;

		/* leftovers of a few batches are not worth the start of a process */
		run_pass(call, turn,
				 pass == 1 || skipped > 2 * shared->batch_rows ? shared->max_workers : 1);
		written = shared->progress.rows_done - done;
		done = shared->progress.rows_done;
		skipped = shared->progress.rows_skipped;
		/* unless somebody has ended a worker */
		complete = shared->progress.blocks_done >= shared->progress.blocks;
		stuck = written > 0 || !complete ? 0 : stuck + 1;
		if (!complete)
			continue;
		if (skipped == 0 && (written == 0 || pass >= 3))
			break;
		if (skipped > 0 && !ItemPointerIsValid(&shared->skipped.tid))
			break; /* a trigger wants it so */
		if (skipped > 0 && (pass > 1 || written == 0))
			wait_for_row(turn, &shared->skipped);
	}
	return skipped;
}

static void
report(const EmbedShared *shared, const char *table, const char *target, int64 left)
{
	long long done = shared->progress.rows_done;

	ereport(NOTICE, (errmsg_plural("%lld row embedded into column \"%s\" of table \"%s\"",
								   "%lld rows embedded into column \"%s\" of table \"%s\"", done,
								   done, target, table)));
	if (left > 0)
		ereport(WARNING,
				(errmsg_plural("%lld row was left without embedding",
							   "%lld rows were left without embedding", left, (long long) left),
				 errdetail("Others kept using what is left, or a trigger refused the update."),
				 errhint("Call bert.embed_column again.")));
}

/* One call at a time fills a column: the second one waits, and then finds less to do. */
static void
lock_column(const OwnLock *lock, const TableColumn *column)
{
	if (own_lock_try(lock))
		return;
	ereport(
		NOTICE,
		(errmsg(
			"column \"%s\" of table \"%s\" is being filled by another call: waiting for its end",
			column->target_name, column->name)));
	own_lock_wait(lock);
}

static void
check_context(FunctionCallInfo fcinfo)
{
	CallContext *context = (CallContext *) fcinfo->context;

	if (context == NULL || !IsA(context, CallContext) || context->atomic)
		ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
						errmsg("bert.embed_column cannot run inside a transaction block"),
						errdetail("It commits after each batch."),
						errhint("Call it by itself: not after BEGIN, not in a function, not in a "
								"block with EXCEPTION.")));
	PreventCommandDuringRecovery("CALL bert.embed_column()");
	PreventCommandIfReadOnly("CALL bert.embed_column()");
}

/* The condition's columns, types and privileges are looked at before anything is done. */
static void
check_condition(const TableColumn *column, const char *condition)
{
	check_expression(condition, "filter");
	(void) table_statement_run(
		psprintf("SELECT FROM %s WHERE (\n%s\n) LIMIT 0", column->table_sql, condition),
		column->relation, true, NULL, NULL, NULL);
}

/* Who calls, and how; the table's part is still empty. */
static EmbedShared
describe_call(FunctionCallInfo fcinfo)
{
	EmbedShared fixed = {0};

	fixed.max_workers =
		Min(int_argument(fcinfo, 4, "workers", 1, EMBED_MAX_WORKERS, DEFAULT_WORKERS),
			guc_max_table_workers);
	fixed.batch_rows = int_argument(fcinfo, 5, "batch_rows", 1, 100000, DEFAULT_BATCH_ROWS);
	fixed.caller_pid = MyProcPid;
	fixed.database = MyDatabaseId;
	fixed.session_role = GetSessionUserId();
	fixed.role = GetUserId();
	return fixed;
}

/* What is embedded, as the caller may. */
static void
check_column(FunctionCallInfo fcinfo, EmbedShared *fixed, TableColumn *column)
{
	column->form = column_form_arguments(fcinfo, 7, 8, 9);
	table_column_find_texts(column);
	table_column_check_rights(column, fixed->role);
	fixed->source = column->source;
	fixed->target = column->target;
}

/*
 * (relation, source, target, model, workers, batch_rows, filter, prompt_name, dimensions, template)
 */
PGDLLEXPORT Datum
bert_embed_column(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	EmbedShared fixed;
	EmbedCall call = {0};
	EmbedTurn turn = {
		.begin = begin_batch, .commit = commit_batch, .goes_on = goes_on, .context = &call};
	char *source = name_argument(fcinfo, 1, "source");
	char *target = name_argument(fcinfo, 2, "target");
	char *condition = PG_ARGISNULL(6) ? NULL : text_to_cstring(ARGUMENT_TEXT(6));
	TableColumn column;
	ErrorContextCallback tell = {error_context_stack, tell_committed, NULL};
	OwnLock lock;
	int64 left;

	check_context(fcinfo);
	require_argument(fcinfo, 0, "relation");
	fixed = describe_call(fcinfo);
	table_column_open(PG_GETARG_OID(0), source, target, &column);
	check_column(fcinfo, &fixed, &column);
	if (condition != NULL)
		check_condition(&column, condition);

	context = AllocSetContextCreate(PortalContext, "bert embed_column", ALLOCSET_DEFAULT_SIZES);
	call.context = context;
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	MemoryContextSwitchTo(context);
	turn.model = model_handle_get(NULL, PG_ARGISNULL(3) ? NULL : ARGUMENT_TEXT(3), TASK_EMBED);
	table_column_check_form(&column, turn.model);
	lock = (OwnLock){OWN_LOCK_COLUMN, MyDatabaseId, column.relation, (uint32) column.target};
	SPI_commit(); /* who waits shall hold up nobody */
	lock_column(&lock, &column);
	PG_TRY();
	{
		call.segment = embed_shared_create(&fixed, &column, turn.model->name,
										   model_handle_pinned_name(turn.model), condition);
		turn.shared = call.shared = dsm_segment_address(call.segment);
		call.slot = running_call_begin(dsm_segment_handle(call.segment), fixed.session_role);
		call.shared->call = call.slot;
		on_dsm_detach(call.segment, caller_gone, Int32GetDatum(call.slot));
		tell.arg = call.shared;
		error_context_stack = &tell;
		left = run_passes(&call, &turn);
		error_context_stack = tell.previous;
		report(call.shared, column.name, column.target_name, left);
		auto_start_due(); /* rows that nobody has come for, after a restart */
	}
	PG_FINALLY();
	{
		end_workers(&call);
		if (call.segment != NULL)
			dsm_detach(call.segment);
	}
	PG_END_TRY();
	own_lock_release(&lock); /* after an error the rollback does it */
	SPI_finish();
	PG_RETURN_VOID();
}
