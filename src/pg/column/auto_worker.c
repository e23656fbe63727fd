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
 * model, a revoked privilege) is kept with the column, which rests for a while.
 */
#include "pg/server/compat.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
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
#include "utils/typcache.h"
#include "utils/wait_event.h"

#include "pg/column/auto_embed.h"
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
 * Rows with the key columns of the first one; a key that appears twice only once. Others wait for
 * the next batch.
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

		if (row->n != first->n || !same_texts(row->names, first->names, row->n))
			continue;
		ids[(*n_ids)++] = row->id;
		for (int i = 0; i < n && !known; i++)
			known = same_texts(row->key, rows[i]->key, row->n);
		if (!known)
			rows[n++] = row;
	}
	return n;
}

static const char *
qualified_operator(Oid operator)
{
	Oid schema = get_func_namespace(get_opcode(operator));

	return psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(schema)),
					get_opname(operator));
}

/* The keys as an input, and the SELECT that finds their rows. */
static const char *
find_sql(const TableColumn *column, QueuedRow *const *rows, int n, InputRows *input)
{
	int n_key = rows[0]->n;
	const char *names[AUTO_MAX_KEY + 1] = {"n"};
	Oid types[AUTO_MAX_KEY + 1] = {INT4OID};
	int32 typmods[AUTO_MAX_KEY + 1];
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "SELECT k.n, l.tableoid, l.ctid, l.%s::pg_catalog.text FROM bert_batch AS k, "
					 "%s AS l WHERE l.%s IS NULL AND l.%s IS NOT NULL",
					 column->source_sql, column->table_sql, column->target_sql, column->source_sql);
	for (int i = 0; i < n_key; i++)
	{
		AttrNumber number = get_attnum(column->relation, rows[0]->names[i]);
		Oid collation;
		TypeCacheEntry *entry;

		if (number <= 0)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
							errmsg("column \"%s\" of table \"%s\" does not exist",
								   rows[0]->names[i], column->name)));
		get_atttypetypmodcoll(column->relation, number, &types[i + 1], &typmods[i + 1], &collation);
		entry = lookup_type_cache(getBaseType(types[i + 1]), TYPECACHE_EQ_OPR);
		names[i + 1] = psprintf("k%d", i);
		appendStringInfo(&sql, " AND l.%s %s k.k%d", quote_identifier(rows[0]->names[i]),
						 qualified_operator(entry->eq_opr), i);
	}
	input_rows_begin(input, n_key + 1, names, types);
	for (int r = 0; r < n; r++)
	{
		Datum values[AUTO_MAX_KEY + 1] = {Int32GetDatum(r)};
		bool nulls[AUTO_MAX_KEY + 1] = {false};

		for (int i = 0; i < n_key; i++)
		{
			Oid function;
			Oid parameter;

			getTypeInputInfo(types[i + 1], &function, &parameter);
			values[i + 1] =
				OidInputFunctionCall(function, rows[r]->key[i], parameter, typmods[i + 1]);
		}
		input_rows_add(input, values, nulls);
	}
	return sql.data;
}

/* --- One batch --- */

/* false: its trigger is gone, and with it the column's reason to be here */
static bool
open_column(const AutoColumn *automatic, TableColumn *column, ModelHandle **model)
{
	Relation relation = try_relation_open(automatic->relation, AccessShareLock);
	AttrNumber source = 0;
	AttrNumber target = 0;
	bool present =
		relation != NULL && auto_trigger_columns(relation, automatic->number, &source, &target);

	if (relation != NULL)
		relation_close(relation, NoLock);
	if (!present)
		return false;
	table_column_reopen(automatic->relation, source, target, column);
	table_column_check_rights(column, my_role);
	*model = model_handle_get(NULL, cstring_to_text(automatic->model), TASK_EMBED);
	table_column_check_size(column, *model);
	return true;
}

/* Writes what is queued, and takes from the queue what needs no more. */
static void
embed_taken(List *taken, const TableColumn *column, ModelHandle *model)
{
	int n_taken = list_length(taken);
	QueuedRow **rows = palloc((Size) n_taken * sizeof *rows);
	int64 *ids = palloc((Size) n_taken * sizeof *ids);
	int64 *busy = palloc((Size) n_taken * sizeof *busy);
	int n_ids;
	int n = choose_rows(taken, rows, ids, &n_ids);
	int n_busy = 0;
	InputRows input;
	EmbedRows found;
	const char *sql = find_sql(column, rows, n, &input);

	embed_rows_begin(&found, n, model);
	embed_rows_read(&found, column, sql, &input);
	input_rows_end(&input);
	(void) embed_rows_write(&found, column, model);
	if (found.cut) /* large texts: what was not read stays */
	{
		n_ids = 0;
		for (int i = 0; i < found.n; i++)
			if (found.rows[i].written)
				ids[n_ids++] = rows[found.rows[i].number]->id;
	}
	for (int i = 0; i < found.n; i++)
		if (!found.rows[i].written)
			busy[n_busy++] = rows[found.rows[i].number]->id;
	for (int i = 0; i < n_busy; i++)
		for (int j = 0; j < n_ids; j++)
			if (ids[j] == busy[i])
				ids[j] = ids[--n_ids];
	auto_queue_delete(ids, n_ids);
	auto_queue_delay(busy, n_busy);
}

/* One transaction. Returns whether it found anything queued. */
static bool
run_batch(AutoBatch *batch)
{
	const AutoColumn *automatic = batch->column;
	TableColumn column;
	ModelHandle *model;
	List *taken;

	worker_begin();
	SetUserIdAndSecContext(my_role, SECURITY_LOCAL_USERID_CHANGE);
	(void) set_config_option("search_path", automatic->search_path, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, WARNING, false);
	if (open_column(automatic, &column, &model))
	{
		taken = auto_queue_take(automatic->number, batch->limit);
		batch->n = list_length(taken);
		batch->opened = true;
		if (batch->n > 0)
		{
			batch->first_id = ((QueuedRow *) linitial(taken))->id;
			batch->last_id = ((QueuedRow *) llast(taken))->id;
			embed_taken(taken, &column, model);
		}
		auto_column_fail(automatic->number, NULL, NULL);
	}
	else
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
		ereport(LOG, (errmsg("bert.auto_embed of table %u rests: %s", batch->column->relation,
							 error->message)));
		auto_column_fail(batch->column->number, sqlstate, message);
	}
	else if (batch->n == 1 && !is_passing(error->sqlerrcode))
		auto_queue_fail(batch->first_id, sqlstate, message);
	else if (batch->n == 1)
		auto_queue_delay(&batch->first_id, 1);
	worker_commit();
}

/* A column's queue until nothing is due. */
static void
run_column(const AutoColumn *automatic, MemoryContext context)
{
	volatile int64 alone_until = 0; /* rows up to this one are tried one by one */
	volatile bool more = true;

	while (more)
	{
		AutoBatch batch = {.column = automatic, .limit = alone_until > 0 ? 1 : BATCH_ROWS};

		CHECK_FOR_INTERRUPTS();
		if (!PostmasterIsAlive())
			proc_exit(1); /* nothing may be written any more */
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		PG_TRY();
		{
			more = run_batch(&batch);
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

		if (auto_acting_role(column->role, column->relation) == my_role)
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
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	worker_reload_settings();
}

static void
leave_at_exit(int code, Datum database)
{
	auto_worker_gone(DatumGetObjectId(database), my_role);
}

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
