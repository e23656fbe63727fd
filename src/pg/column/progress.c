/* progress.c: what the view bert.progress shows: running calls of bert.embed_column and other long
 * statements. */
#include "pg/server/compat.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "pg/column/call.h"
#include "pg/infer/call.h"
#include "pg/server/progress.h"
#include "pg/server/shared.h"

#define N_COLUMNS 21

PG_FUNCTION_INFO_V1(bert_list_progress);

/* A copy of the call's counters; false when it has just ended. */
static bool
read_progress(const RunningCall *call, EmbedProgress *progress)
{
	dsm_segment *segment = dsm_find_mapping(call->segment);
	bool ours = segment != NULL; /* a trigger of this very call may be asking */
	EmbedShared *shared;

	if (!ours)
		segment = dsm_attach(call->segment);
	if (segment == NULL)
		return false;
	shared = dsm_segment_address(segment);
	SpinLockAcquire(&shared->lock);
	*progress = shared->progress;
	SpinLockRelease(&shared->lock);
	if (!ours)
		dsm_detach(segment);
	return progress->pid == call->pid;
}

static bool
may_see(Oid role)
{
	return has_privs_of_role(GetUserId(), role) ||
		   has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
}

/*
 * What the first pass has found so far is taken to go on like that; before that, the table's rows;
 * -1: no idea.
 */
static double
estimate_rows(const EmbedProgress *progress)
{
	if (progress->pass > 1)
		return (double) (progress->rows_done + progress->rows_skipped);
	if (progress->blocks_done > 0)
		return (double) progress->rows_seen *
			   ((double) progress->blocks / (double) progress->blocks_done);
	return progress->table_rows;
}

static Datum
seconds_interval(double seconds)
{
	return DirectFunctionCall7(make_interval, Int32GetDatum(0), Int32GetDatum(0), Int32GetDatum(0),
							   Int32GetDatum(0), Int32GetDatum(0), Int32GetDatum(0),
							   Float8GetDatum(seconds));
}

/* A call of bert.embed_column. */
static void
put_progress(FunctionCallInfo fcinfo, const EmbedProgress *progress)
{
	Datum values[N_COLUMNS];
	bool nulls[N_COLUMNS] = {false};
	double seconds = (double) (GetCurrentTimestamp() - progress->started) / USECS_PER_SEC;
	double per_second = seconds > 0 ? (double) progress->rows_done / seconds : 0;
	double total = Max(estimate_rows(progress), (double) progress->rows_done);
	bool known = estimate_rows(progress) >= 0;
	int n = 0;

	values[n++] = Int32GetDatum(progress->pid);
	values[n++] = ObjectIdGetDatum(progress->role);
	values[n++] = CStringGetTextDatum("embed_column");
	values[n++] = CStringGetTextDatum(progress->model);
	values[n++] = CStringGetTextDatum("filling");
	values[n++] = CStringGetTextDatum("rows");
	values[n++] = Int64GetDatum(progress->rows_done);
	nulls[n] = !known;
	values[n++] = Int64GetDatum((int64) total);
	values[n++] = ObjectIdGetDatum(progress->relation);
	values[n++] = CStringGetTextDatum(progress->source);
	values[n++] = CStringGetTextDatum(progress->target);
	values[n++] = Int32GetDatum(progress->workers);
	values[n++] = Int32GetDatum(progress->pass);
	values[n++] = Int64GetDatum((int64) progress->blocks);
	values[n++] = Int64GetDatum((int64) progress->blocks_done);
	nulls[n] = !known;
	values[n++] = Int64GetDatum((int64) total);
	values[n++] = Int64GetDatum(progress->rows_done);
	values[n++] = Int64GetDatum(progress->rows_skipped);
	values[n++] = Float8GetDatum(per_second);
	nulls[n] = !known || per_second <= 0;
	values[n] = nulls[n] ? (Datum) 0
						 : seconds_interval((total - (double) progress->rows_done) / per_second);
	n++;
	values[n++] = TimestampTzGetDatum(progress->started);
	put_row(fcinfo, values, nulls);
}

static void
put_text(const char *text, Datum *value, bool *is_null)
{
	*is_null = text[0] == '\0';
	*value = CStringGetTextDatum(text);
}

/* Another long statement; how long its phase takes follows from what of it is done. */
static void
put_statement(FunctionCallInfo fcinfo, const ProgressRow *row)
{
	Datum values[N_COLUMNS] = {0};
	bool nulls[N_COLUMNS];
	double seconds = (double) (GetCurrentTimestamp() - row->phase_started) / USECS_PER_SEC;
	bool counted = row->unit[0] != '\0';

	memset(nulls, true, sizeof nulls);
	values[0] = Int32GetDatum(row->pid);
	values[1] = ObjectIdGetDatum(row->role);
	nulls[0] = nulls[1] = false;
	put_text(row->function, &values[2], &nulls[2]);
	put_text(row->model, &values[3], &nulls[3]);
	put_text(row->phase, &values[4], &nulls[4]);
	put_text(row->unit, &values[5], &nulls[5]);
	values[6] = Int64GetDatum(row->done);
	nulls[6] = !counted;
	values[7] = Int64GetDatum(row->total);
	nulls[7] = !counted || row->total < 0;
	nulls[19] = nulls[7] || row->done <= 0 || row->done > row->total;
	if (!nulls[19])
		values[19] =
			seconds_interval(seconds * (double) (row->total - row->done) / (double) row->done);
	values[20] = TimestampTzGetDatum(row->started);
	nulls[20] = false;
	put_row(fcinfo, values, nulls);
}

PGDLLEXPORT Datum
bert_list_progress(PG_FUNCTION_ARGS)
{
	List *calls = running_call_list();
	ListCell *cell;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (((ReturnSetInfo *) fcinfo->resultinfo)->setDesc->natts != N_COLUMNS) /* 0.9.0 had fewer */
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("extension \"bert\" of this database is older than its library"),
						errhint("Run ALTER EXTENSION bert UPDATE.")));
	foreach (cell, calls)
	{
		EmbedProgress progress;

		if (read_progress(lfirst(cell), &progress) && may_see(progress.role))
			put_progress(fcinfo, &progress);
	}
	foreach (cell, progress_list())
		if (may_see(((ProgressRow *) lfirst(cell))->role))
			put_statement(fcinfo, lfirst(cell));
	return (Datum) 0;
}
