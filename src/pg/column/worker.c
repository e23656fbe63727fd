/*
 * worker.c: a process that helps with one embed_column call.
 *
 * It is to the table what a second session of the caller would be: it connects as the caller's
 * session user, takes the session's settings, and where the caller has changed its role becomes
 * that role in a way that no code of a user can undo: the switch lasts from a transaction's begin
 * to its very end, so that deferred triggers are under it as well.
 */
#include "pg/server/compat.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "pg/column/call.h"
#include "pg/server/settings.h"
#include "pg/server/shared.h"
#include "pg/server/worker.h"

static void
begin_batch(EmbedTurn *turn)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactIsoLevel = XACT_READ_COMMITTED;
	if (turn->shared->role != turn->shared->session_role)
		SetUserIdAndSecContext(turn->shared->role, SECURITY_LOCAL_USERID_CHANGE);
}

static void
commit_batch(EmbedTurn *turn)
{
	CommitTransactionCommand();
	if (turn->shared->role != turn->shared->session_role)
		SetUserIdAndSecContext(turn->shared->role, 0);
}

/* As SET ROLE does, so that is_superuser says what it says to the caller. */
static void
become_role(const EmbedShared *shared)
{
	bool is_superuser;

	if (shared->role == shared->session_role)
		return;
	StartTransactionCommand();
	is_superuser = superuser_arg(shared->role);
	CommitTransactionCommand();
	SetCurrentRoleId(shared->role, is_superuser);
}

static void
arrive(EmbedShared *shared, int slot, int pid)
{
	SpinLockAcquire(&shared->lock);
	shared->worker_pid[slot] = pid;
	shared->progress.workers += pid != 0 ? 1 : -1;
	SpinLockRelease(&shared->lock);
}

static void
leave(dsm_segment *segment, Datum slot)
{
	arrive(dsm_segment_address(segment), DatumGetInt32(slot), 0);
	embed_shared_worker_ended(dsm_segment_address(segment), DatumGetInt32(slot));
}

/* Another role's call waits for a worker, and this one has more than its share. */
static bool
goes_on(EmbedTurn *turn)
{
	worker_reload_settings();
	return !running_call_has_too_many(turn->shared->call, table_workers_limit());
}

/* The very model that the caller uses, whatever its name stands for by now. */
static ModelHandle *
open_model(EmbedTurn *turn)
{
	MemoryContext context = CurrentMemoryContext;
	ModelHandle *model;

	turn->begin(turn);
	embed_settings_apply((char *) turn->shared + turn->shared->settings);
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(context);
	model = model_handle_get(NULL, cstring_to_text((char *) turn->shared + turn->shared->model),
							 TASK_EMBED);
	PopActiveSnapshot();
	turn->commit(turn);
	MemoryContextSwitchTo(context);
	return model;
}

static void
work(EmbedTurn *turn, MemoryContext context)
{
	MemoryContextSwitchTo(context);
	turn->model = open_model(turn);
	pgstat_report_activity(STATE_RUNNING, "bert.embed_column");
	embed_turn_run(turn);
}

void
bert_embed_worker_main(Datum handle)
{
	dsm_segment *segment;
	EmbedTurn turn = {.begin = begin_batch, .commit = commit_batch, .goes_on = goes_on};
	MemoryContext context;
	int slot;

	worker_take_signals();
	segment = dsm_attach(DatumGetUInt32(handle));
	if (segment == NULL)
		return; /* the caller has gone */
	memcpy(&slot, MyBgworkerEntry->bgw_extra, sizeof slot);
	turn.shared = dsm_segment_address(segment);
	arrive(turn.shared, slot, MyProcPid);
	on_dsm_detach(segment, leave, Int32GetDatum(slot));
	if (embed_shared_stopping(turn.shared))
		return;
	BackgroundWorkerInitializeConnectionByOid(turn.shared->database, turn.shared->session_role, 0);
	become_role(turn.shared);
	context = AllocSetContextCreate(TopMemoryContext, "bert embed worker", ALLOCSET_DEFAULT_SIZES);
	PG_TRY();
	{
		work(&turn, context);
	}
	PG_CATCH();
	{
		ErrorData *error = worker_take_error(context);

		/* who was told to stop has nothing to report */
		if (!embed_shared_stopping(turn.shared))
			embed_shared_fail(turn.shared, error);
	}
	PG_END_TRY();
}
