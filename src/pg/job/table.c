/* table.c: all SQL on the job tables. */
#include "pg/server/compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "pg/job/job.h"
#include "pg/server/detoast.h"
#include "pg/server/own.h"
#include "pg/server/own_statement.h"
#include "pg/server/settings.h"
#include "pg/server/owner.h"
#include "pg/server/values.h"

static char *
result_text(int column)
{
	bool is_null;
	Datum value = own_result(0, column, &is_null);

	return is_null ? NULL : TextDatumGetCString(value);
}

static int64
result_int64(int column, int64 if_null)
{
	bool is_null;
	Datum value = own_result(0, column, &is_null);

	return is_null ? if_null : DatumGetInt64(value);
}

static double
result_float(int column)
{
	bool is_null;
	Datum value = own_result(0, column, &is_null);

	return is_null ? 0 : DatumGetFloat8(value);
}

/* While a row is inserted that is no dump's. */
static bool submitting;

int64
job_insert(const Job *job)
{
	OwnStatement statement;
	int64 number;
	char *owner;

	own_begin(&statement);
	own_add_text(&statement, job->name);
	own_add_text(&statement, job->base);
	own_add_text(&statement, job->task);
	own_add_text(&statement, job->query);
	own_add_text(&statement, job->search_path);
	own_add_jsonb(&statement, job->options);
	own_add(&statement, BOOLOID, BoolGetDatum(job->who.session != job->who.role), false);
	submitting = true;
	PG_TRY();
	{
		own_run(
			&statement,
			"INSERT INTO bert.job (job, name, base, task, query, search_path, options, set_role)"
			" VALUES (pg_catalog.nextval('bert.job_number'), $1, $2, $3, $4, $5, $6, $7)"
			" RETURNING job");
	}
	PG_FINALLY();
	{
		submitting = false;
	}
	PG_END_TRY();
	number = result_int64(1, 0);
	own_end(&statement);
	owner = owned_name(OWNED_JOB, number);
	owner_create(OWNED_JOB, owner, job->who.role);
	if (job->who.session != job->who.role)
		owner_grant(OWNED_JOB, owner, job->who.session);
	return number;
}

/* A restored job goes on when its owner says so. */
PG_FUNCTION_INFO_V1(bert_job_restored);
PGDLLEXPORT Datum
bert_job_restored(PG_FUNCTION_ARGS)
{
	static const char *const said =
		"the job was restored from a dump before it had ended; bert.resume_job goes on with it";
	TriggerData *data = (TriggerData *) fcinfo->context;
	TupleDesc desc;
	int columns[4];
	Datum values[4] = {0};
	bool nulls[4] = {false, true, true, false};
	bool is_null;
	Datum state;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BY_INSERT(data->tg_event) ||
		RelationGetRelid(data->tg_relation) != own_relation("job"))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("bert.job_restored is for the table bert.job")));
	desc = RelationGetDescr(data->tg_relation);
	columns[0] = own_column(desc, "job", "state", TEXTOID);
	columns[1] = own_column(desc, "job", "phase", TEXTOID);
	columns[2] = own_column(desc, "job", "worker_pid", INT4OID);
	columns[3] = own_column(desc, "job", "error", TEXTOID);
	state = heap_getattr(data->tg_trigtuple, columns[0], desc, &is_null);
	if (submitting || is_null ||
		(strcmp(TextDatumGetCString(state), "queued") != 0 &&
		 strcmp(TextDatumGetCString(state), "running") != 0))
		return PointerGetDatum(data->tg_trigtuple);
	values[0] = CStringGetTextDatum("cancelled");
	values[3] = CStringGetTextDatum(said);
	return PointerGetDatum(
		heap_modify_tuple_by_cols(data->tg_trigtuple, desc, 4, columns, values, nulls));
}

#define JOB_SESSION(t)                                                                     \
	"CASE WHEN " t ".set_role THEN bert.job_session_role(" t ".job) ELSE bert.job_role(" t \
	".job) END"

#define JOB_COLUMNS                                                                         \
	" job, name, base, task, query, search_path, options, bert.job_role(job), state, "      \
	"worker_pid::pg_catalog.int8,"                                                          \
	" attempts::pg_catalog.int8, step, total_steps, epoch, loss, samples_per_second, CASE " \
	"WHEN pg_catalog.jsonb_typeof(details -> 'seconds_per_step') = 'number' THEN (details " \
	"->> 'seconds_per_step')::pg_catalog.float8 END,"                                       \
	" base_version, data_digest, error, labels, " JOB_SESSION("bert.job") ", base_digest, phase"

static void
read_labels(ArrayType *array, Job *job)
{
	job->labels = array_strings(array, &job->n_labels);
	if (job->labels == NULL)
	{
		job->damage = "its labels are no list of texts";
		return;
	}
	for (int i = 0; i < job->n_labels; i++)
		job->labels[i] = pg_server_to_any(job->labels[i], (int) strlen(job->labels[i]), PG_UTF8);
}

/* Copies the first result row into job, in the caller's context. */
static void
read_job(OwnStatement *statement, Job *job)
{
	MemoryContext spi = MemoryContextSwitchTo(statement->caller);
	bool is_null;
	Datum value;

	memset(job, 0, sizeof *job);
	job->job = result_int64(1, 0);
	job->name = result_text(2);
	job->base = result_text(3);
	job->task = result_text(4);
	job->query = result_text(5);
	job->search_path = result_text(6);
	job->options = (Jsonb *) detoast_copy(own_result(0, 7, &is_null));
	job->who.role = DatumGetObjectId(own_result(0, 8, &is_null));
	job->state = result_text(9);
	job->worker_pid = (int) result_int64(10, 0);
	job->attempts = (int) result_int64(11, 0);
	job->step = result_int64(12, 0);
	job->total_steps = result_int64(13, 0);
	job->epoch = result_float(14);
	job->loss = result_float(15);
	job->samples_per_second = result_float(16);
	job->seconds_per_step = result_float(17);
	job->base_version = result_int64(18, -1);
	value = own_result(0, 19, &is_null);
	job->data_digest = is_null ? NULL : DatumGetByteaPCopy(value);
	job->error = result_text(20);
	value = own_result(0, 21, &is_null);
	if (!is_null)
		read_labels(DatumGetArrayTypePCopy(value), job);
	job->who.session = DatumGetObjectId(own_result(0, 22, &is_null));
	value = own_result(0, 23, &is_null);
	job->base_digest = is_null ? NULL : DatumGetByteaPCopy(value);
	job->phase = result_text(24);
	if (job->step < 0 || job->total_steps < 0 || job->attempts < 0)
		job->damage = "a count is negative";
	MemoryContextSwitchTo(spi);
}

Oid
job_role(int64 number)
{
	OwnStatement statement;
	Oid role = InvalidOid;
	bool is_null;

	PushActiveSnapshot(GetLatestSnapshot());
	own_begin(&statement);
	own_add_int64(&statement, number);
	SPI_execute_with_args("SELECT bert.job_role(job) FROM bert.job WHERE job = $1", statement.n,
						  statement.types, statement.values, statement.nulls, true, 1);
	if (SPI_processed == 1)
		role = DatumGetObjectId(own_result(0, 1, &is_null));
	own_end(&statement);
	PopActiveSnapshot();
	return role;
}

bool
job_load(int64 number, Job *job)
{
	OwnStatement statement;
	bool found;

	PushActiveSnapshot(GetLatestSnapshot());
	own_begin(&statement);
	own_add_int64(&statement, number);
	SPI_execute_with_args("SELECT" JOB_COLUMNS " FROM bert.job WHERE job = $1", statement.n,
						  statement.types, statement.values, statement.nulls, true, 1);
	found = SPI_processed == 1;
	if (found)
		read_job(&statement, job);
	own_end(&statement);
	PopActiveSnapshot();
	return found;
}

bool
job_claim(const WorkerRole *who, Job *job)
{
	OwnStatement statement;
	bool found;

	own_begin(&statement);
	own_add_int64(&statement, MyProcPid);
	own_add(&statement, OIDOID, ObjectIdGetDatum(who->role), false);
	own_add(&statement, OIDOID, ObjectIdGetDatum(who->session), false);
	found = own_run(&statement,
					"UPDATE bert.job SET state = 'running', phase = 'starting', "
					"worker_pid = $1::pg_catalog.int4, attempts = attempts + 1,"
					" attempt_started = pg_catalog.clock_timestamp(),"
					" started = coalesce(started, pg_catalog.clock_timestamp()), "
					"finished = NULL, error = NULL, sqlstate = NULL"
					" WHERE job = (SELECT j.job FROM bert.job AS j WHERE j.state = "
					"'queued' AND bert.job_role(j.job) = $2"
					" AND " JOB_SESSION("j") " = $3"
											 " ORDER BY j.job LIMIT 1 FOR UPDATE SKIP LOCKED)"
											 " RETURNING" JOB_COLUMNS) == 1;
	if (found)
		read_job(&statement, job);
	own_end(&statement);
	return found;
}

/*
 * A role waits since its oldest queued job came, or since its last job began or ended: roles take
 * turns, however many jobs one of them has.
 */
List *
job_waiting(void)
{
	OwnStatement statement;
	List *all = NIL;
	uint64 n;

	own_begin(&statement);
	n = own_run(
		&statement,
		"SELECT min(q.job), q.session, q.role FROM (SELECT j.job, j.submitted,"
		" bert.job_role(j.job)::pg_catalog.oid AS role, (" JOB_SESSION(
			"j") ")::pg_catalog.oid AS session FROM bert.job AS j WHERE j.state = 'queued') AS q"
				 " LEFT JOIN (SELECT bert.job_role(o.job)::pg_catalog.oid AS role,"
				 " max(greatest(o.started, o.finished)) AS latest FROM bert.job AS o"
				 " WHERE o.started IS NOT NULL GROUP BY 1) AS l USING (role)"
				 " GROUP BY q.role, q.session, l.latest"
				 " ORDER BY greatest(min(q.submitted), l.latest), min(q.job)");
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(statement.caller);
		JobWaiting *waiting = palloc(sizeof *waiting);
		bool is_null;

		waiting->number = DatumGetInt64(own_result(i, 1, &is_null));
		waiting->who.session = DatumGetObjectId(own_result(i, 2, &is_null));
		waiting->who.role = DatumGetObjectId(own_result(i, 3, &is_null));
		all = lappend(all, waiting);
		MemoryContextSwitchTo(spi);
	}
	own_end(&statement);
	return all;
}

void
job_set_phase(int64 number, const char *phase)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, number);
	own_add_text(&statement, phase);
	own_run_alone(&statement, "UPDATE bert.job SET phase = $2 WHERE job = $1");
}

void
job_set_kept(int64 number)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, number);
	own_run_alone(&statement, "UPDATE bert.job SET crashes = 0 WHERE job = $1 AND crashes > 0");
}

void
job_set_base(int64 number, int64 base_version, const void *digest, Size digest_length)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, number);
	own_add_int64(&statement, base_version);
	own_add_bytes(&statement, digest, digest_length);
	own_run_alone(&statement,
				  "UPDATE bert.job SET base_version = $2, base_digest = $3 WHERE job = $1");
}

void
job_set_data(int64 number, const JobDataRecord *data)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, number);
	own_add_int64(&statement, data->samples);
	own_add_int64(&statement, data->eval_samples);
	own_add_int64(&statement, data->total_steps);
	own_add_bytes(&statement, data->digest, data->digest_length);
	own_add_texts(&statement, data->n_labels, data->labels);
	own_add_int64(&statement, (int64) data->truncated);
	own_run_alone(&statement, "UPDATE bert.job SET samples = $2, eval_samples = $3, total_steps = "
							  "$4, data_digest = $5, labels = $6,"
							  " details = pg_catalog.jsonb_set(coalesce(details, '{}'), "
							  "'{truncated}', pg_catalog.to_jsonb($7)) WHERE job = $1");
}

void
job_set_progress(int64 number, const JobProgress *progress, bool add_metric)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, number);
	own_add_int64(&statement, progress->step);
	own_add_float(&statement, progress->epoch);
	own_add_float(&statement, progress->loss);
	own_add_float(&statement, progress->learning_rate);
	own_add_float(&statement, progress->samples_per_second);
	own_add_float(&statement, progress->tokens_per_second);
	own_add_float(&statement, progress->seconds_per_step);
	if (own_run(&statement, "UPDATE bert.job SET step = $2, epoch = $3, loss = coalesce($4, loss), "
							"learning_rate = $5, "
							"samples_per_second = $6, tokens_per_second = $7,"
							" details = pg_catalog.jsonb_set(coalesce(details, '{}'), "
							"'{seconds_per_step}', pg_catalog.to_jsonb($8)) WHERE job = $1") == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("job %lld was removed while it ran", (long long) number)));
	if (add_metric)
	{
		statement.n = 6;
		own_add_float(&statement, progress->grad_norm);
		own_run(&statement, "INSERT INTO bert.job_metric (job, step, epoch, loss, learning_rate, "
							"samples_per_second, grad_norm)"
							" VALUES ($1, $2, $3, $4, $5, $6, $7)"
							" ON CONFLICT (job, step) DO UPDATE SET epoch = EXCLUDED.epoch, loss = "
							"EXCLUDED.loss, learning_rate = EXCLUDED.learning_rate,"
							" samples_per_second = EXCLUDED.samples_per_second, grad_norm = "
							"EXCLUDED.grad_norm, at = EXCLUDED.at");
	}
	own_end(&statement);
}

void
job_add_evaluation(int64 number, int64 step, double epoch, Jsonb *eval)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, number);
	own_add_int64(&statement, step);
	own_add_float(&statement, epoch);
	own_add_jsonb(&statement, eval);
	own_run_alone(&statement,
				  "INSERT INTO bert.job_metric (job, step, epoch, eval) VALUES ($1, $2, $3, $4)"
				  " ON CONFLICT (job, step) DO UPDATE SET eval = EXCLUDED.eval");
}

void
job_set_result(int64 number, int64 version, Jsonb *metrics, Jsonb *details)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, number);
	own_add_int64(&statement, version);
	own_add_jsonb(&statement, metrics);
	own_add_jsonb(&statement, details);
	own_run_alone(&statement, "UPDATE bert.job SET version = $2, metrics = $3, details = "
							  "coalesce(details, '{}') || coalesce($4, '{}') WHERE job = $1");
}

/* One that is in state from, and this worker's or nobody's (0). */
static bool
end_job(int64 number, const char *from, int64 worker, const char *state, const char *sqlstate,
		const char *error)
{
	OwnStatement statement;
	bool done;

	own_begin(&statement);
	own_add_int64(&statement, number);
	own_add_text(&statement, from);
	own_add_int64(&statement, worker);
	own_add_text(&statement, state);
	own_add_text(&statement, sqlstate);
	own_add_text(&statement, error);
	done = own_run(&statement,
				   "UPDATE bert.job SET state = $4, sqlstate = $5, error = $6, phase = NULL, "
				   "worker_pid = NULL, finished = pg_catalog.clock_timestamp() "
				   "WHERE job = $1 AND state = $2 AND ($3 = 0 OR worker_pid = $3)") == 1;
	own_end(&statement);
	return done;
}

bool
job_conclude(int64 number, const char *state, const char *sqlstate, const char *error)
{
	return end_job(number, "running", MyProcPid, state, sqlstate, error);
}

bool
job_finish(int64 number, const char *from, const char *state, const char *sqlstate,
		   const char *error)
{
	return end_job(number, from, 0, state, sqlstate, error);
}

bool
job_requeue(int64 number, const char *from)
{
	OwnStatement statement;
	bool done;

	own_begin(&statement);
	own_add_int64(&statement, number);
	own_add_text(&statement, from);
	done = own_run(&statement, "UPDATE bert.job SET state = 'queued', phase = NULL, worker_pid = "
							   "NULL, finished = NULL, error = NULL, sqlstate = NULL, crashes = 0"
							   " WHERE job = $1 AND state = $2") == 1;
	own_end(&statement);
	return done;
}

#define MAX_CRASHES "2"
/* an attempt that was under way when the server was stopped has done no harm */
#define JOB_CRASHES \
	"crashes + (attempt_started > pg_catalog.pg_postmaster_start_time())::pg_catalog.int4"
#define JOB_CRASHED "coalesce(" JOB_CRASHES ", 0) >= " MAX_CRASHES

static void
requeue_or_fail(int64 number)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, number);
	own_run_alone(
		&statement,
		"UPDATE bert.job SET phase = NULL, worker_pid = NULL, crashes = coalesce(" JOB_CRASHES
		", 0),"
		" state = CASE WHEN " JOB_CRASHED " THEN 'failed' ELSE 'queued' END,"
		" finished = CASE WHEN " JOB_CRASHED " THEN pg_catalog.clock_timestamp() END,"
		" sqlstate = CASE WHEN " JOB_CRASHED " THEN '58000' END,"
		" error = CASE WHEN " JOB_CRASHED " THEN 'the process that ran it has ended twice in a row "
		"before a checkpoint (See the server''s log, mend the cause, then call bert.resume_job.)' "
		"END WHERE job = $1 AND state = 'running'");
}

void
job_requeue_interrupted(void)
{
	OwnStatement statement;
	uint64 n;
	int64 *numbers;

	own_begin(&statement);
	n = own_run(&statement, "SELECT job FROM bert.job WHERE state = 'running'");
	numbers = MemoryContextAlloc(statement.caller, Max(n, 1) * sizeof *numbers);
	for (uint64 i = 0; i < n; i++)
	{
		bool is_null;

		numbers[i] = DatumGetInt64(own_result(i, 1, &is_null));
	}
	own_end(&statement);
	for (uint64 i = 0; i < n; i++)
		if (!job_lock_held(numbers[i]))
			requeue_or_fail(numbers[i]);
}

bool
job_delete(int64 number, const char *state)
{
	OwnStatement statement;
	bool done;

	own_begin(&statement);
	own_add_int64(&statement, number);
	own_add_text(&statement, state);
	done = own_run(&statement, "DELETE FROM bert.job WHERE job = $1 AND state = $2") == 1;
	statement.n = 1;
	if (done)
	{
		own_run(&statement, "DELETE FROM bert.job_metric WHERE job = $1");
		own_run(&statement, "DELETE FROM bert.job_checkpoint WHERE job = $1");
	}
	own_end(&statement);
	return done;
}

#define JOB_EXPIRED                                                                         \
	"j.state IN ('succeeded', 'failed', 'cancelled') AND $1 >= 0 AND coalesce(j.finished, " \
	"j.submitted) <= pg_catalog.clock_timestamp() - pg_catalog.make_interval(mins => "      \
	"$1::pg_catalog.int4)"

void
job_expire(void)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, guc_job_retention);
	own_run(&statement,
			"DELETE FROM bert.job_checkpoint WHERE job = ANY (ARRAY(SELECT j.job FROM bert.job AS j"
			" WHERE " JOB_EXPIRED " AND EXISTS (SELECT FROM bert.job_checkpoint AS c WHERE c.job = "
			"j.job) FOR UPDATE SKIP LOCKED))");
	statement.n = 0;
	own_run_alone(&statement, "DELETE FROM bert.job_checkpoint AS c WHERE NOT EXISTS (SELECT FROM "
							  "bert.job AS j WHERE j.job = c.job)");
}

bool
job_needs_files(int64 number)
{
	OwnStatement statement;
	bool needs;

	own_begin(&statement);
	own_add_int64(&statement, guc_job_retention);
	own_add_int64(&statement, number);
	needs = own_run(&statement, "SELECT FROM bert.job AS j WHERE j.job = $2 AND j.state <> "
								"'succeeded' AND NOT (" JOB_EXPIRED ")") == 1;
	own_end(&statement);
	return needs;
}

void
job_restart(int64 number)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, number);
	own_run(&statement, "DELETE FROM bert.job_checkpoint WHERE job = $1");
	own_run(&statement, "DELETE FROM bert.job_metric WHERE job = $1");
	own_run_alone(&statement,
				  "UPDATE bert.job SET step = 0, epoch = 0, loss = NULL WHERE job = $1");
}
