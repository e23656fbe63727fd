/* progress.c: what the view bert.progress shows. */
#include "pg/server/compat.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "pg/column/call.h"
#include "pg/infer/call.h"
#include "pg/server/shared.h"

#define N_COLUMNS 16

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
may_see(const EmbedProgress *progress)
{
	return has_privs_of_role(GetUserId(), progress->role) ||
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
	values[n++] = ObjectIdGetDatum(progress->relation);
	values[n++] = CStringGetTextDatum(progress->source);
	values[n++] = CStringGetTextDatum(progress->target);
	values[n++] = CStringGetTextDatum(progress->model);
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
						 : DirectFunctionCall7(
							   make_interval, Int32GetDatum(0), Int32GetDatum(0), Int32GetDatum(0),
							   Int32GetDatum(0), Int32GetDatum(0), Int32GetDatum(0),
							   Float8GetDatum((total - (double) progress->rows_done) / per_second));
	n++;
	values[n++] = TimestampTzGetDatum(progress->started);
	put_row(fcinfo, values, nulls);
}

PGDLLEXPORT Datum
bert_list_progress(PG_FUNCTION_ARGS)
{
	List *calls = running_call_list();
	ListCell *cell;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	foreach (cell, calls)
	{
		EmbedProgress progress;

		if (read_progress(lfirst(cell), &progress) && may_see(&progress))
			put_progress(fcinfo, &progress);
	}
	return (Datum) 0;
}
