/* worker.c: what the background processes have in common. */
#include "pg/server/compat.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "pg/server/worker.h"

void
worker_describe(BackgroundWorker *worker, const char *function, const char *type)
{
	memset(worker, 0, sizeof *worker);
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker->bgw_library_name, "bert", sizeof worker->bgw_library_name);
	strlcpy(worker->bgw_function_name, function, sizeof worker->bgw_function_name);
	strlcpy(worker->bgw_type, type, sizeof worker->bgw_type);
}

bool
worker_start_visitor(Oid database, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;

	worker_describe(&worker, "bert_visitor_main", "bert visitor");
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	worker.bgw_notify_pid = handle != NULL ? MyProcPid : 0;
	snprintf(worker.bgw_name, sizeof worker.bgw_name, "bert visitor of database %u", database);
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

void
worker_set_for(BackgroundWorker *worker, const WorkerFor *purpose)
{
	StaticAssertStmt(sizeof *purpose <= BGW_EXTRALEN, "no room for it");
	memcpy(worker->bgw_extra, purpose, sizeof *purpose);
}

WorkerFor
worker_get_for(void)
{
	WorkerFor purpose;

	memcpy(&purpose, MyBgworkerEntry->bgw_extra, sizeof purpose);
	return purpose;
}

void
worker_connect(const WorkerFor *purpose)
{
	BackgroundWorkerInitializeConnectionByOid(
		purpose->database, purpose->may_connect ? purpose->who.session : InvalidOid, 0);
	if (!purpose->may_connect)
	{
		bool is_superuser;

		StartTransactionCommand();
		is_superuser = superuser_arg(purpose->who.session);
		CommitTransactionCommand();
		SetSessionAuthorization(purpose->who.session, is_superuser);
	}
}

void
worker_take_signals(void)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, StatementCancelHandler);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
}

void
worker_reload_settings(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
}

void
worker_yields_in_deadlocks(void)
{
	SetConfigOption("deadlock_timeout", "100ms", PGC_SUSET, PGC_S_OVERRIDE);
}

void
worker_begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactIsoLevel = XACT_READ_COMMITTED;
	XactReadOnly = false; /* a default of the role's is for its own sessions */
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
worker_commit(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
}

bool
worker_extension_present(void)
{
	bool present;

	worker_begin();
	present = OidIsValid(get_extension_oid("bert", true));
	worker_commit();
	return present;
}

ErrorData *
worker_take_error(MemoryContext context)
{
	ErrorData *error;

	if (!PostmasterIsAlive())
		proc_exit(1);
	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	AbortOutOfAnyTransaction();
	QueryCancelPending = false;
	RESUME_INTERRUPTS();
	MemoryContextSwitchTo(context);
	return error;
}

char *
worker_error_text(const ErrorData *error)
{
	return error->hint == NULL ? pstrdup(error->message)
							   : psprintf("%s (%s)", error->message, error->hint);
}
