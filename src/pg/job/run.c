/* run.c: the course of one job. */
#include "pg/server/compat.h"

#include <math.h>

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/pmsignal.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "pg/job/checkpoint.h"
#include "pg/job/few_shot.h"
#include "pg/job/keep.h"
#include "pg/job/run.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"
#include "pg/server/role.h"
#include "pg/server/worker.h"

#define METRIC_POINTS 500 /* of the loss curve */
#define PROGRESS_MS 1000
#define SMOOTHING_SECONDS 30.0
#define EVALUATION_BATCH_TOKENS 8192

static bool
worker_may_go_on(void *context)
{
	return PostmasterIsAlive() && backend_may_continue.ask(backend_may_continue.context);
}

const MayContinue worker_may_continue = {worker_may_go_on, NULL};

/* Leaves the job's context current: a commit leaves TopMemoryContext. */
void
job_run_commit(const JobRun *run)
{
	worker_commit();
	MemoryContextSwitchTo(run->context);
}

static void
show_phase(const JobRun *run, const char *phase)
{
	char activity[256];

	snprintf(activity, sizeof activity, "bert job %lld: %s", (long long) run->job->job, phase);
	pgstat_report_activity(STATE_RUNNING, activity);
}

static void
show_step(const JobRun *run)
{
	char phase[128];

	snprintf(phase, sizeof phase, "training, step %lld of %lld",
			 (long long) trainer_steps(run->trainer), (long long) run->total_steps);
	show_phase(run, phase);
}

void
job_run_set_phase(const JobRun *run, const char *phase)
{
	show_phase(run, phase);
	worker_begin();
	job_set_phase(run->job->job, phase);
	job_run_commit(run);
}

/* The submitter must still be somebody who could do this. */
static void
check_role(const Job *job)
{
	const char *why = role_why_no_worker(&job->who);

	if (why != NULL)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg_internal("%s", why)));
}

/*
 * A base that was replaced since the last attempt may have another tokenizer, other shapes or other
 * frozen weights: what was kept of that attempt does not fit it.
 */
static void
check_base(JobRun *run)
{
	Job *job = run->job;
	const BlockHash *digest = &run->base->digest;

	if (job->base_digest != NULL &&
		(VARSIZE_ANY_EXHDR(job->base_digest) != sizeof digest->bytes ||
		 memcmp(VARDATA_ANY(job->base_digest), digest->bytes, sizeof digest->bytes) != 0))
	{
		ereport(LOG, (errmsg("bert job %lld starts over: model \"%s\" was replaced",
							 (long long) job->job, job->base)));
		job_restart(job->job);
		job->data_digest = NULL;
	}
	job_set_base(job->job, run->base->version, digest->bytes, sizeof digest->bytes);
}

static void
open_data(JobRun *run)
{
	JobDataRequest request = {.job = run->job,
							  .options = &run->options,
							  .task = run->task,
							  .tokenizer = run->tokenizer,
							  .max_length = run->max_length,
							  .model_length = run->model_length,
							  .base = {job_base_head(run->base->table.head, &run->base->config),
									   &run->base->config, NULL},
							  .sentence = &run->base->sentence};
	bool rebuilt;

	show_phase(run, "reading the data");
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactIsoLevel = XACT_REPEATABLE_READ;
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(run->context);
	job_query_limit_begin();
	job_data_open(&request, run->arena, &run->data, &rebuilt);
	job_query_limit_end();
	run->n_train = spill_samples(run->data.train);
	run->n_eval = run->data.eval == NULL ? 0 : spill_samples(run->data.eval);
	job_count_steps(&run->options, run->n_train, &run->steps_per_epoch, &run->total_steps);
	if (rebuilt && run->job->data_digest != NULL &&
		(VARSIZE_ANY_EXHDR(run->job->data_digest) != sizeof run->data.digest ||
		 memcmp(VARDATA_ANY(run->job->data_digest), run->data.digest, sizeof run->data.digest) !=
			 0))
	{
		ereport(
			LOG,
			(errmsg(
				"bert job %lld starts over: its training data changed since the last checkpoint",
				(long long) run->job->job)));
		job_restart(run->job->job);
	}
	if (rebuilt)
	{
		JobDataRecord record = {.samples = (int64) run->n_train,
								.eval_samples = (int64) run->n_eval,
								.total_steps = run->total_steps,
								.truncated = run->data.truncated,
								.digest = run->data.digest,
								.digest_length = sizeof run->data.digest,
								.n_labels = run->data.n_labels,
								.labels = run->data.labels};

		job_set_data(run->job->job, &record);
	}
	job_run_commit(run);
}

/* n samples from `first` on, or those of a step. */
static TrainSample *
read_batch(SpillReader *reader, const SamplerStep *step, uint64 first, uint64 n, Arena *arena)
{
	TrainSample *samples = arena_alloc_array(arena, n, sizeof *samples);
	Sample *bodies = arena_alloc_array(arena, n, sizeof *bodies);
	Status status;

	if (samples == NULL || bodies == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	for (uint64 i = 0; i < n; i++)
	{
		uint64 index = step == NULL ? first + i : step->indices[i];

		REPORT_UNLESS(spill_read(reader, index, arena, &bodies[i], &status), &status);
		samples[i].sample = &bodies[i];
		samples[i].id = index;
		samples[i].batch = step == NULL ? 0 : step->batches[i];
	}
	return samples;
}

/* Averages between two reports. */
typedef struct Meter
{
	double loss; /* sum over the steps that were not skipped */
	int64 learned;
	int64 steps;
	uint64 samples;
	uint64 tokens;
	double compute_seconds; /* in steps alone */
	TimestampTz since;
	TimestampTz reported;
} Meter;

static void
meter_reset(Meter *meter)
{
	TimestampTz reported = meter->reported;

	memset(meter, 0, sizeof *meter);
	meter->since = GetCurrentTimestamp();
	meter->reported = reported;
}

static double
seconds_between(TimestampTz from, TimestampTz to)
{
	return (double) (to - from) / USECS_PER_SEC;
}

/*
 * Seconds of a step, to tell how long the rest takes: an average that looks back about half a
 * minute, so that it follows the load of the machine and not every step.
 */
static double
smoothed_seconds(JobRun *run, double seconds, int64 steps)
{
	double now = seconds / (double) steps;
	double weight = 1 - exp(-seconds / SMOOTHING_SECONDS);

	if (run->seconds_per_step == 0)
		run->seconds_per_step = now;
	else
		run->seconds_per_step += weight * (now - run->seconds_per_step);
	return run->seconds_per_step;
}

static void
report_progress(JobRun *run, Meter *meter, const StepResult *step, bool metric)
{
	TimestampTz now = GetCurrentTimestamp();
	double seconds = Max(seconds_between(meter->since, now), 1e-6);
	JobProgress progress = {
		.step = trainer_steps(run->trainer),
		.epoch = (double) trainer_steps(run->trainer) / (double) run->steps_per_epoch,
		.loss = meter->learned == 0 ? NAN : meter->loss / (double) meter->learned,
		.learning_rate = step->learning_rate,
		.grad_norm = step->grad_norm,
		.samples_per_second = (double) meter->samples / seconds,
		.tokens_per_second = (double) meter->tokens / seconds,
		.seconds_per_step = smoothed_seconds(run, seconds, meter->steps),
	};

	show_step(run);
	worker_begin();
	job_set_progress(run->job->job, &progress, metric);
	job_run_commit(run);
	meter->reported = now;
	meter_reset(meter);
}

static JobScore *
evaluate(JobRun *run)
{
	MemoryContext context =
		AllocSetContextCreate(run->context, "bert job evaluation", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Arena *arena = arena_in_context(context, 0);
	JobScore *score = job_score_create(run->context, run->task, &run->config, run->tokenizer);
	Status status;

	job_score_compare_by(score, &(EmbeddingCompare){run->base->sentence.similarity, 0, false});
	job_score_threshold(score, run->options.threshold);

	show_phase(run, "evaluating");
	for (uint64 first = 0; first < run->n_eval;)
	{
		ArenaMark mark = arena_mark(arena);
		uint64 n = Min(run->n_eval - first, Max(1, EVALUATION_BATCH_TOKENS / run->max_length));
		TrainSample *samples = read_batch(run->data.eval, NULL, first, n, arena);
		Evaluation evaluation;

		REPORT_UNLESS(trainer_evaluate(run->trainer, samples, n, arena, &evaluation,
									   &worker_may_continue, &status),
					  &status);
		job_score_add(score, samples, n, &evaluation);
		arena_rewind(arena, mark);
		first += n;
	}
	job_score_finish(score, &worker_may_continue);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return score;
}

static void
evaluate_and_report(JobRun *run)
{
	int64 step = trainer_steps(run->trainer);

	if (run->last_score != NULL)
		job_score_free(run->last_score);
	run->last_score = evaluate(run);
	worker_begin();
	job_add_evaluation(run->job->job, step, (double) step / (double) run->steps_per_epoch,
					   job_score_json(run->last_score));
	job_run_commit(run);
	MemoryContextSwitchTo(run->context);
}

/* Evaluates, reports, and keeps the weights when they are the best so far. */
static void
evaluate_and_keep(JobRun *run)
{
	int64 step = trainer_steps(run->trainer);
	double score;
	double loss;

	evaluate_and_report(run);
	score = scores_main(run->last_score->scores);
	loss = scores_loss(run->last_score->scores);
	if (score > run->best_score || (score == run->best_score && loss < run->best_loss))
	{
		run->best_score = score;
		run->best_loss = loss;
		run->best_step = step;
		run->evaluations_since_best = 0;
		job_keep_best(run);
	}
	else
		run->evaluations_since_best++;
	MemoryContextSwitchTo(run->context);
	show_step(run);
}

static void
one_step(JobRun *run, Arena *arena, Meter *meter, StepResult *result)
{
	ArenaMark mark = arena_mark(arena);
	SamplerStep step;
	TrainSample *samples;
	Status status;

	sampler_step(run->sampler, trainer_steps(run->trainer), &step);
	samples = read_batch(run->data.train, &step, 0, step.n, arena);
	REPORT_UNLESS(
		trainer_step(run->trainer, samples, step.n, result, &worker_may_continue, &status),
		&status);
	arena_rewind(arena, mark);
	if (!result->skipped)
	{
		meter->loss += result->loss;
		meter->learned++;
	}
	meter->steps++;
	meter->samples += step.n;
	meter->tokens += result->tokens;
}

static void
open_sampler(JobRun *run)
{
	SamplerOptions options = {run->task, (uint64_t) run->options.seed,
							  (size_t) run->options.batch_size,
							  (size_t) run->options.gradient_accumulation};
	Status status;

	run->sampler = sampler_create(arena_in_context(run->context, 0), run->data.train, &options,
								  &worker_may_continue, &status);
	REPORT_UNLESS(run->sampler != NULL, &status);
}

static void
train(JobRun *run)
{
	Arena *arena = arena_in_context(run->context, 0);
	int64 metric_every = Max(1, run->total_steps / METRIC_POINTS);
	int64 eval_every = run->options.eval_steps > 0 ? run->options.eval_steps : run->steps_per_epoch;
	Meter meter = {0};
	TimestampTz checkpointed = GetCurrentTimestamp();
	double pause = job_keep_pause(run, 0);

	open_sampler(run);
	job_run_set_phase(run, "training");
	/* what the base is worth, to compare with: an embedding needs no head to be of use */
	if (run->task == TRAIN_EMBEDDING && run->n_eval > 0 && trainer_steps(run->trainer) == 0)
		evaluate_and_report(run);
	meter_reset(&meter);
	job_keep_begin(run);
	while (trainer_steps(run->trainer) < run->total_steps)
	{
		StepResult result;
		int64 step;
		bool last;
		bool metric;
		TimestampTz now;

		one_step(run, arena, &meter, &result);
		CHECK_FOR_INTERRUPTS();
		step = trainer_steps(run->trainer);
		last = step == run->total_steps;
		metric = step % metric_every == 0 || last || step == 1;
		now = GetCurrentTimestamp();
		if (metric || TimestampDifferenceExceeds(meter.reported, now, PROGRESS_MS))
			report_progress(run, &meter, &result, metric);
		if (run->n_eval > 0 && (step % eval_every == 0 || last))
		{
			evaluate_and_keep(run);
			meter_reset(&meter);
			if (run->options.early_stopping > 0 &&
				run->evaluations_since_best >= run->options.early_stopping)
				break;
		}
		now = GetCurrentTimestamp();
		if (!last &&
			(run->options.checkpoint_steps > 0 ? step % run->options.checkpoint_steps == 0
											   : seconds_between(checkpointed, now) > pause))
		{
			job_keep_state(run);
			show_step(run);
			checkpointed = GetCurrentTimestamp();
			pause = job_keep_pause(run, seconds_between(now, checkpointed));
			meter_reset(&meter);
		}
	}
}

/* A model that has learned nothing is not stored as a trained one. */
static void
check_learned(const JobRun *run)
{
	if (trainer_updates(run->trainer) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA),
				 errmsg("the job had nothing to learn: no step had a label that counts"),
				 run->task == TRAIN_MASKED_LM
					 ? errhint("The texts are so few or short that no token was masked. Give "
							   "more text, more epochs or a larger mask_probability.")
					 : errhint("No token of a labelled word is left in the rows, for "
							   "instance because the words are blank.")));
}

/* With evaluations the best weights win over the last. */
static void
take_best(JobRun *run)
{
	if (run->n_eval == 0 || run->best_step == trainer_steps(run->trainer))
		return;
	job_keep_take_best(run);
	if (run->last_score != NULL)
		job_score_free(run->last_score);
	run->last_score = evaluate(run);
}

/* Settings and origin of the model, for bert.models and the report. */
static Jsonb *
make_lineage(const JobRun *run)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "{\"job\": %lld, \"base\": ", (long long) run->job->job);
	escape_json(&text, run->base->name);
	appendStringInfo(&text, ", \"base_version\": %lld, \"task\": ", (long long) run->base->version);
	escape_json(&text, run->job->task);
	appendStringInfoString(&text, ", \"query\": ");
	escape_json(&text, run->job->query);
	appendStringInfo(&text, ", \"options\": %s, \"samples\": %llu, \"steps\": %lld",
					 JsonbToCString(NULL, &run->job->options->root, VARSIZE(run->job->options)),
					 (unsigned long long) run->n_train,
					 (long long) (run->n_eval > 0 ? run->best_step : trainer_steps(run->trainer)));
	if (run->last_score != NULL)
	{
		Jsonb *metrics = job_score_json(run->last_score);

		appendStringInfo(&text, ", \"metrics\": %s",
						 JsonbToCString(NULL, &metrics->root, VARSIZE(metrics)));
	}
	appendStringInfoChar(&text, '}');
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text.data)));
}

/* Model and success become visible together. */
static void
finish(JobRun *run)
{
	int64 version;
	RoleSwitch role;

	show_phase(run, "storing the model");
	worker_begin();
	check_role(run->job);
	role_become(&role, run->job->who.role, run->job->search_path);
	version = job_model_store(run, make_lineage(run));
	role_restore(&role);
	job_set_result(run->job->job, version,
				   run->last_score == NULL ? NULL : job_score_json(run->last_score),
				   run->last_score == NULL ? NULL : job_score_details(run->last_score));
	job_checkpoint_drop(run->job->job);
	if (!job_conclude(run->job->job, "succeeded", NULL, NULL))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("job %lld is no longer running", (long long) run->job->job)));
	job_run_commit(run);
	job_data_remove(run->job->job);
	checkpoint_files_remove(run->job->job);
}

/* The files are closed however the job ends. */
static void
close_data(void *run)
{
	job_data_close(&((JobRun *) run)->data);
}

static void
learn_few(JobRun *run)
{
	job_run_set_phase(run, "learning to tell classes apart");
	few_shot_run(run);
}

void
job_run(Job *job, MemoryContext context)
{
	MemoryContextCallback *callback;
	JobRun *run;
	bool few_frozen; /* checkpoints have not all that few rows taught */
	Status status;

	MemoryContextSwitchTo(context);
	run = palloc0(sizeof *run);
	callback = palloc0(sizeof *callback);
	callback->func = close_data;
	callback->arg = run;
	MemoryContextRegisterResetCallback(context, callback);
	run->job = job;
	run->context = context;
	run->arena = arena_in_context(context, 0);
	if (job->damage != NULL)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("the row of job %lld in bert.job is damaged: %s",
							   (long long) job->job, job->damage)));
	job_options_parse(job->options, &run->options);
	REPORT_UNLESS(train_task_parse(job->task, &run->task, &status), &status);
	show_phase(run, "opening the base model");
	worker_begin();
	MemoryContextSwitchTo(context);
	check_role(job);
	job_model_open(run);
	check_base(run);
	job_run_commit(run);
	open_data(run);
	show_phase(run, "loading the weights");
	worker_begin();
	MemoryContextSwitchTo(context);
	job_model_train(run);
	job_run_commit(run);
	few_frozen = run->options.few_shot && trainer_first_trained_block(run->trainer) > 0;
	if (few_frozen)
		learn_few(run);
	show_phase(run, "restoring the checkpoint");
	job_keep_identify(run);
	job_keep_restore(run);
	MemoryContextSwitchTo(context);
	if (run->options.few_shot && !few_frozen && trainer_steps(run->trainer) == 0)
		learn_few(run);
	train(run);
	check_learned(run);
	take_best(run);
	finish(run);
	job_trainer_destroy();
}
