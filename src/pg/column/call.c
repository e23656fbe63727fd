/* call.c: ranges of blocks, counters and errors that the processes of a call share, and a process's
 * turn at them. */
#include "pg/server/compat.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "pg/column/call.h"
#include "pg/column/statement.h"
#include "pg/server/shared.h"

/*
 * Blocks handed out at once: few, so that a batch's statement is short and all processes end
 * together.
 */
#define MAX_RANGE 128
#define RANGES_PER_WORKER 4
#define FIRST_BATCH_ROWS 32

dsm_segment *
embed_shared_create(const EmbedShared *fixed, const TableColumn *column, const char *model,
					const char *pinned_model, const char *condition)
{
	Size settings_size;
	char *settings = embed_settings_collect(&settings_size);
	Size model_size = strlen(pinned_model) + 1;
	Size condition_size = condition == NULL ? 0 : strlen(condition) + 1;
	const char *prompt = column->form.prompt_name;
	Size prompt_size = prompt == NULL ? 0 : strlen(prompt) + 1;
	const char *template = column->form.template;
	Size template_size = template == NULL ? 0 : strlen(template) + 1;
	dsm_segment *segment = dsm_create(offsetof(EmbedShared, bytes) + model_size + condition_size +
										  settings_size + prompt_size + template_size,
									  0);
	EmbedShared *shared = dsm_segment_address(segment);

	dsm_pin_mapping(segment); /* it outlives the transaction */
	memset(shared, 0, sizeof *shared);
	memcpy(shared, fixed, offsetof(EmbedShared, bytes));
	SpinLockInit(&shared->lock);
	shared->model = offsetof(EmbedShared, bytes);
	shared->condition = condition == NULL ? 0 : shared->model + model_size;
	shared->settings = shared->model + model_size + condition_size;
	memcpy((char *) shared + shared->model, pinned_model, model_size);
	if (condition != NULL)
		memcpy((char *) shared + shared->condition, condition, condition_size);
	memcpy((char *) shared + shared->settings, settings, settings_size);
	shared->prompt = prompt == NULL ? 0 : shared->settings + settings_size;
	if (prompt != NULL)
		memcpy((char *) shared + shared->prompt, prompt, prompt_size);
	shared->template = template == NULL ? 0 : shared->settings + settings_size + prompt_size;
	if (template != NULL)
		memcpy((char *) shared + shared->template, template, template_size);
	shared->texts = column->texts;
	shared->dimensions = column->form.dimensions;
	shared->progress.pid = MyProcPid;
	shared->progress.role = shared->role;
	shared->progress.relation = column->relation;
	strlcpy(shared->progress.source, column->source_name, NAMEDATALEN);
	strlcpy(shared->progress.target, column->target_name, NAMEDATALEN);
	strlcpy(shared->progress.model, model, NAMEDATALEN);
	shared->progress.started = GetCurrentTimestamp();
	shared->progress.workers = 1;
	shared->progress.table_rows = -1;
	return segment;
}

static const char *
carried_text(const EmbedShared *shared, Size offset)
{
	return offset == 0 ? NULL : (const char *) shared + offset;
}

void
embed_shared_open(const EmbedShared *shared, TableColumn *column)
{
	table_column_reopen(shared->progress.relation, shared->source, shared->target, column);
	column->form = (ColumnForm){carried_text(shared, shared->prompt), shared->dimensions,
								carried_text(shared, shared->template)};
	table_column_know_texts(column, &shared->texts);
}

void
embed_shared_begin_pass(EmbedShared *shared, uint32 blocks, double table_rows)
{
	SpinLockAcquire(&shared->lock);
	shared->progress.pass++;
	shared->progress.blocks = blocks;
	shared->progress.next_block = 0;
	shared->progress.blocks_done = 0;
	shared->progress.rows_skipped = 0;
	shared->progress.table_rows = table_rows;
	ItemPointerSetInvalid(&shared->skipped.tid);
	SpinLockRelease(&shared->lock);
}

bool
embed_shared_take(EmbedShared *shared, uint32 *first, uint32 *end)
{
	EmbedProgress *progress = &shared->progress;
	uint32 left;

	SpinLockAcquire(&shared->lock);
	left = shared->stop || shared->failed ? 0 : progress->blocks - progress->next_block;
	*first = progress->next_block;
	*end = *first +
		   Min(left,
			   Max(1, Min(MAX_RANGE, left / (uint32) (RANGES_PER_WORKER * shared->max_workers))));
	progress->next_block = *end;
	SpinLockRelease(&shared->lock);
	return *end > *first;
}

void
embed_shared_count(EmbedShared *shared, int found, int written, const EmbedRow *skipped)
{
	SpinLockAcquire(&shared->lock);
	shared->progress.rows_done += written;
	if (skipped != NULL)
		shared->skipped = *skipped;
	shared->progress.rows_skipped += found - written;
	SpinLockRelease(&shared->lock);
}

void
embed_shared_count_range(EmbedShared *shared, uint32 blocks, int64 found)
{
	SpinLockAcquire(&shared->lock);
	shared->progress.blocks_done += blocks;
	if (shared->progress.pass == 1)
		shared->progress.rows_seen += found;
	SpinLockRelease(&shared->lock);
}

bool
embed_shared_stopping(EmbedShared *shared)
{
	bool stopping;

	SpinLockAcquire(&shared->lock);
	stopping = shared->stop || shared->failed;
	SpinLockRelease(&shared->lock);
	return stopping;
}

void
embed_shared_worker_ended(EmbedShared *shared, int worker)
{
	bool counted;

	SpinLockAcquire(&shared->lock);
	counted = shared->counted[worker];
	shared->counted[worker] = false;
	SpinLockRelease(&shared->lock);
	if (counted)
		running_call_return_worker(shared->call, shared->caller_pid);
}

static void
copy_text(char *to, Size size, const char *from)
{
	strlcpy(to, from == NULL ? "" : from, size);
}

void
embed_shared_fail(EmbedShared *shared, const ErrorData *error)
{
	EmbedError copy;

	copy.sqlstate = error->sqlerrcode;
	copy_text(copy.message, sizeof copy.message, error->message);
	copy_text(copy.detail, sizeof copy.detail, error->detail);
	copy_text(copy.hint, sizeof copy.hint, error->hint);
	copy_text(copy.context, sizeof copy.context, error->context);
	SpinLockAcquire(&shared->lock);
	if (!shared->failed)
		shared->error = copy;
	shared->failed = true;
	SpinLockRelease(&shared->lock);
}

/*
 * Candidates in the range behind the position (the last row read, or NULL), in an order that the
 * next batch can go on from.
 */
static char *
batch_sql(const TableColumn *column, const char *condition, uint32 first, uint32 end,
		  const EmbedRow *after, int limit)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "SELECT 0, tableoid, ctid, %s FROM %s WHERE ctid "
					 "OPERATOR(pg_catalog.<) '(%u,0)'::pg_catalog.tid",
					 table_column_texts_sql(column, ""), column->table_sql, end);
	if (after != NULL && !column->has_children)
		appendStringInfo(&sql, " AND ctid OPERATOR(pg_catalog.>) '(%u,%u)'::pg_catalog.tid",
						 ItemPointerGetBlockNumberNoCheck(&after->tid),
						 ItemPointerGetOffsetNumberNoCheck(&after->tid));
	else
		appendStringInfo(&sql, " AND ctid OPERATOR(pg_catalog.>=) '(%u,0)'::pg_catalog.tid", first);
	if (after != NULL && column->has_children)
		appendStringInfo(&sql,
						 " AND (tableoid OPERATOR(pg_catalog.>) %u::pg_catalog.oid OR tableoid "
						 "OPERATOR(pg_catalog.=) %u::pg_catalog.oid"
						 " AND ctid OPERATOR(pg_catalog.>) '(%u,%u)'::pg_catalog.tid)",
						 after->table, after->table, ItemPointerGetBlockNumberNoCheck(&after->tid),
						 ItemPointerGetOffsetNumberNoCheck(&after->tid));
	appendStringInfo(&sql, " AND %s IS NULL AND %s IS NOT NULL", column->target_sql,
					 column->source_sql);
	if (condition != NULL)
		appendStringInfo(&sql, " AND (\n%s\n)", condition);
	appendStringInfo(&sql, " ORDER BY 2, 3 LIMIT %d", limit);
	return sql.data;
}

/*
 * One transaction: the next batch of a range. Leaves the last row in *after; false when the range
 * has no more.
 */
static bool
run_batch(EmbedTurn *turn, MemoryContext context, uint32 first, uint32 end, EmbedRow *after,
		  bool *has_after)
{
	EmbedShared *shared = turn->shared;
	MemoryContext previous;
	TableColumn column;
	EmbedRows rows;
	int written;
	const EmbedRow *skipped = NULL;

	turn->batch = Min(turn->batch == 0 ? FIRST_BATCH_ROWS : 2 * turn->batch, shared->batch_rows);
	turn->begin(turn);
	previous = MemoryContextSwitchTo(context);
	embed_shared_open(shared, &column);
	embed_rows_begin(&rows, turn->batch, &column, turn->model);
	embed_rows_read(&rows, &column,
					batch_sql(&column, carried_text(shared, shared->condition), first, end,
							  *has_after ? after : NULL, turn->batch),
					NULL);
	if (rows.n > 0)
	{
		*after = rows.rows[rows.n - 1];
		*has_after = true;
	}
	for (int i = 0; i < rows.n; i++)
		rows.rows[i].number = i;
	written = embed_rows_write(&rows, &column, turn->model);
	for (int i = 0; i < rows.n && skipped == NULL; i++)
		if (!rows.rows[i].written)
			skipped = &rows.rows[i];
	MemoryContextSwitchTo(previous);
	turn->commit(turn);
	embed_shared_count(shared, rows.n, written, skipped);
	turn->found += rows.n;
	return rows.cut || rows.n == turn->batch;
}

void
embed_turn_run(EmbedTurn *turn)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "bert embed batch", ALLOCSET_DEFAULT_SIZES);
	uint32 first;
	uint32 end;

	while (turn->goes_on(turn) && embed_shared_take(turn->shared, &first, &end))
	{
		EmbedRow after;
		bool has_after = false;
		bool more = true;

		turn->found = 0;
		while (more && !embed_shared_stopping(turn->shared))
		{
			CHECK_FOR_INTERRUPTS();
			if (!PostmasterIsAlive())
				proc_exit(1); /* nothing may be written any more */
			MemoryContextReset(context);
			(void) turn->goes_on(turn);
			more = run_batch(turn, context, first, end, &after, &has_after);
		}
		embed_shared_count_range(turn->shared, end - first, turn->found);
	}
	MemoryContextDelete(context);
}
