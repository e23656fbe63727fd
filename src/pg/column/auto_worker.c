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
#include "pg/column/auto_trigger.h"
#include "pg/column/rows.h"
#include "pg/server/shared.h"
#include "pg/column/statement.h"
#include "pg/server/worker.h"

#define BATCH_ROWS 200
#define IDLE_MS 1000         /* how long it stays when there is nothing to do */
#define BUSY_MS 200          /* between looks at rows that others hold */
#define PATIENCE_SECONDS 5.0 /* it waits for rows that are due again so soon */

static Oid my_role;

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

/* --- Statements --- */

static bool
same_texts(char *const *a, char *const *b, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

/*
 * Rows of the first one's kind, with its key columns; a key that appears twice only once. Others
 * wait for the next batch.
 */
static int
choose_rows(List *taken, QueuedRow **rows, int64 *ids, int *n_ids)
{
	QueuedRow *first = linitial(taken);
	int n = 0;
	ListCell *cell;

	*n_ids = 0;
	foreach (cell, taken)
	{
		QueuedRow *row = lfirst(cell);
		bool known = false;

		if (row->stale != first->stale || row->n != first->n ||
			!same_texts(row->names, first->names, row->n))
			continue;
		ids[(*n_ids)++] = row->id;
		for (int i = 0; i < n && !known; i++)
			known = same_texts(row->key, rows[i]->key, row->n);
		if (!known)
			rows[n++] = row;
	}
	return n;
}

/* The keys as an input, and the condition that finds their rows. */
static const char *
key_condition(Relation relation, QueuedRow *const *rows, int n, InputRows *input)
{
	int n_key = rows[0]->n;
	const char *names[AUTO_MAX_KEY + 1] = {"n"};
	Oid types[AUTO_MAX_KEY + 1] = {INT4OID};
	Oid functions[AUTO_MAX_KEY];
	Oid parameters[AUTO_MAX_KEY];
	AutoKey key;
	bool has_key = auto_key(relation, &key) == NULL;
	StringInfoData sql;
	int level;

	initStringInfo(&sql);
	for (int i = 0; i < n_key; i++)
	{
		AutoKeyColumn column;

		auto_key_column(relation, rows[0]->names[i], has_key ? &key : NULL, &column);
		types[i + 1] = column.type;
		names[i + 1] = psprintf("k%d", i);
		getTypeInputInfo(column.type, &functions[i], &parameters[i]);
		auto_key_condition(&sql, &column, i);
	}
	input_rows_begin(input, n_key + 1, names, types);
	level = auto_key_begin_text();
	for (int r = 0; r < n; r++)
	{
		Datum values[AUTO_MAX_KEY + 1] = {Int32GetDatum(r)};
		bool nulls[AUTO_MAX_KEY + 1] = {false};

		for (int i = 0; i < n_key; i++)
			values[i + 1] = OidInputFunctionCall(functions[i], rows[r]->key[i], parameters[i], -1);
		input_rows_add(input, values, nulls);
	}
	auto_key_end_text(level);
	return sql.data;
}

/* --- One batch --- */

/* The very table that the batch is about, and not what inherits from it: that has another owner. */
static void
name_table(TableColumn *column)
{
	if (get_rel_relkind(column->relation) == RELKIND_PARTITIONED_TABLE)
		return;
	column->table_sql = psprintf("ONLY %s", column->table_sql);
	column->has_children = false;
}

typedef enum Opened
{
	OPENED,
	GONE,    /* its trigger is, and with it the reason to be here */
	NOT_MINE /* another role acts by now */
} Opened;

static Opened
open_column(const AutoColumn *automatic, TableColumn *column, ModelHandle **model)
{
	Oid table = OidIsValid(automatic->part) ? automatic->part : automatic->relation;
	Relation relation = try_relation_open(table, AccessShareLock);
	AttrNumber source = 0;
	AttrNumber target = 0;
	bool present = relation != NULL &&
				   auto_trigger_columns(relation, automatic->number, &source, &target) &&
				   auto_belongs(automatic, relation);

	if (relation != NULL)
		relation_close(relation, NoLock);
	if (!present)
		return GONE;
	table_column_reopen(table, source, target, column);
	/* the table's lock is held now: its owner stays */
	if (OidIsValid(automatic->part) != auto_owners_act(automatic) ||
		auto_acting_role(automatic, table) != my_role)
		return NOT_MINE;
	name_table(column);
	table_column_check_rights(column, my_role);
	*model = model_handle_get(NULL, cstring_to_text(automatic->model), TASK_EMBED);
	column->form = automatic->form;
	table_column_check_form(column, *model);
	return OPENED;
}

/* Rows chosen from the queue, and what is to become of their places there. */
typedef struct Chosen
{
	QueuedRow **rows;
	int n;
	int64 *ids;
	int n_ids;
} Chosen;

static Chosen
choose(List *taken)
{
	Chosen chosen = {palloc((Size) list_length(taken) * sizeof *chosen.rows), 0,
					 palloc((Size) list_length(taken) * sizeof *chosen.ids), 0};

	chosen.n = choose_rows(taken, chosen.rows, chosen.ids, &chosen.n_ids);
	return chosen;
}

/*
 * A trigger that fires after ours has changed the text, and the old embedding stands. It goes; the
 * row is then queued as any other.
 */
static void
clear_chosen(Chosen *chosen, const TableColumn *column, const char *condition, InputRows *input)
{
	(void) set_config_option("lock_timeout", "1s", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
							 true, WARNING, false);
	(void) table_statement_run(psprintf("UPDATE %s AS l SET %s = NULL FROM bert_batch AS k"
										" WHERE l.%s IS NOT NULL%s",
										column->table_sql, column->target_sql, column->target_sql,
										condition),
							   column->relation, false, input, NULL, NULL);
	input_rows_end(input);
	auto_queue_delete(chosen->ids, chosen->n_ids);
}

/* Writes what is queued, and takes from the queue what needs no more. */
static void
embed_chosen(Chosen *chosen, const TableColumn *column, const char *condition, InputRows *input,
			 ModelHandle *model)
{
	int64 *busy = palloc((Size) chosen->n * sizeof *busy);
	int n_busy = 0;
	EmbedRows found;
	const char *sql = psprintf(
		"SELECT k.n, l.tableoid, l.ctid, l.%s::pg_catalog.text FROM bert_batch AS k, "
		"%s AS l WHERE l.%s IS NULL AND l.%s IS NOT NULL%s",
		column->source_sql, column->table_sql, column->target_sql, column->source_sql, condition);

	embed_rows_begin(&found, chosen->n, model);
	found.function = "auto_embed";
	embed_rows_read(&found, column, sql, input);
	input_rows_end(input);
	(void) embed_rows_write(&found, column, model);
	if (found.cut) /* large texts: what was not read stays */
	{
		chosen->n_ids = 0;
		for (int i = 0; i < found.n; i++)
			if (found.rows[i].written)
				chosen->ids[chosen->n_ids++] = chosen->rows[found.rows[i].number]->id;
	}
	for (int i = 0; i < found.n; i++)
		if (!found.rows[i].written && n_busy < chosen->n)
			busy[n_busy++] = chosen->rows[found.rows[i].number]->id;
	for (int i = 0; i < n_busy; i++)
		for (int j = 0; j < chosen->n_ids; j++)
			if (chosen->ids[j] == busy[i])
				chosen->ids[j] = chosen->ids[--chosen->n_ids];
	auto_queue_delete(chosen->ids, chosen->n_ids);
	auto_queue_delay(busy, n_busy);
}

static void
work_on_taken(List *taken, const TableColumn *column, ModelHandle *model)
{
	Chosen chosen = choose(taken);
	Relation relation = relation_open(column->relation, NoLock);
	InputRows input;
	const char *condition = key_condition(relation, chosen.rows, chosen.n, &input);

	relation_close(relation, NoLock);
	if (chosen.rows[0]->stale)
		clear_chosen(&chosen, column, condition, &input);
	else
		embed_chosen(&chosen, column, condition, &input, model);
}

/* One transaction. Returns whether it found anything queued. */
static bool
run_batch(AutoBatch *batch)
{
	const AutoColumn *automatic = batch->column;
	TableColumn column;
	ModelHandle *model;
	List *taken;
	Opened opened;

	worker_begin();
	SetUserIdAndSecContext(my_role, SECURITY_LOCAL_USERID_CHANGE);
	(void) set_config_option("search_path", automatic->search_path, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, WARNING, false);
	opened = open_column(automatic, &column, &model);
	if (opened == OPENED)
	{
		taken = auto_queue_take(automatic, batch->limit);
		batch->n = list_length(taken);
		batch->opened = true;
		if (batch->n > 0)
		{
			batch->first_id = ((QueuedRow *) linitial(taken))->id;
			batch->last_id = ((QueuedRow *) llast(taken))->id;
			work_on_taken(taken, &column, model);
		}
		auto_column_fail(automatic, NULL, NULL);
		if (batch->marked)
			auto_attempt_end(automatic->number, my_role);
	}
	else if (opened == GONE && OidIsValid(automatic->part) &&
			 automatic->part != automatic->relation)
		auto_queue_forget(automatic);
	else if (opened == GONE)
		auto_column_delete(automatic->number);
	worker_commit();
	SetUserIdAndSecContext(my_role, 0);
	return batch->n > 0;
}

/* A deadlock or the like is no fault of the row. */
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

	worker_begin();
	if (!batch->opened)
	{
		ereport(LOG, (errmsg("bert.auto_embed of table %u is paused: %s", batch->column->relation,
							 error->message)));
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
	ereport(LOG, (errmsg("bert.auto_embed of table %u is paused: its worker has crashed twice",
						 automatic->relation)));
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
		pgstat_report_activity(STATE_RUNNING, "bert.auto_embed");
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
