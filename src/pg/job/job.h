/*
 * job.h: fine-tuning jobs: the table, the queue, the worker.
 *
 * A job is a row of bert.job. Its states:
 *
 *     queued --claim--> running --> succeeded | failed | cancelled
 *       ^                  |                        |         |
 *       +---- no worker ---+      <---- bert.resume_job ------+
 *
 * "running" is committed before the work begins and the outcome after it, so a crash is deduced: a
 * running job whose lock nobody holds has lost its worker. bert.resume_job, or the launcher where
 * the library is preloaded, puts it back into the queue, and the next worker goes on from the last
 * checkpoint.
 *
 * Every write to the table is a short transaction of its own in the worker, so progress is visible
 * while the job runs and no snapshot is held during training. The functions below need a
 * transaction and act as the tables' owner.
 */
#ifndef BERT_PG_JOB_JOB_H
#define BERT_PG_JOB_JOB_H

#include "utils/jsonb.h"

#include "pg/server/role.h"

#define JOB_WORKER_TYPE "bert job worker"

typedef struct Job
{
	int64 job;
	char *name;
	char *base;
	char *task;
	char *query;
	char *search_path; /* of the submitter, for the query */
	Jsonb *options;
	WorkerRole who; /* who submitted it: role, in a session of session */
	char *state;
	int worker_pid;
	int attempts;
	int64 step;
	int64 total_steps; /* 0 before it is known */
	double epoch;
	double loss;
	double samples_per_second;
	double seconds_per_step;
	int64 base_version; /* 0 for a bundled base, -1 before it is known */
	bytea *data_digest; /* of the data's files; NULL before they were made */
	int n_labels;
	char **labels; /* (n_labels) classes in the order of their ids */
	char *error;
} Job;

/* What a worker reports while it trains. */
typedef struct JobProgress
{
	int64 step;
	double epoch;
	double loss; /* mean since the last report; NaN, stored as NULL: no step had a label */
	double learning_rate;
	double grad_norm; /* of the last step; NaN, stored as NULL: it was skipped */
	double samples_per_second;
	double tokens_per_second;
	double seconds_per_step;
} JobProgress;

/* job/table.c */
extern int64 job_insert(const Job *job);
/* by the latest snapshot; false if there is none */
extern bool job_load(int64 number, Job *job);
/* the oldest queued job becomes running, if it is one of these; else false */
extern bool job_claim(const WorkerRole *who, Job *job);
/* the oldest queued job that nobody else is at; false if there is none */
extern bool job_next(int64 *number, WorkerRole *who);
extern void job_set_phase(int64 number, const char *phase);
extern void job_set_data(int64 number, int64 samples, int64 eval_samples, int64 total_steps,
						 uint64 truncated, const void *digest, Size digest_length, int n_labels,
						 const char *const *labels);
extern void job_set_base(int64 number, int64 base_version);
extern void job_set_progress(int64 number, const JobProgress *progress, bool add_metric);
extern void job_add_evaluation(int64 number, int64 step, double epoch, Jsonb *eval);
extern void job_set_result(int64 number, int64 version, Jsonb *metrics, Jsonb *details);
/* false if not in state from */
extern bool job_finish(int64 number, const char *from, const char *state, const char *sqlstate,
					   const char *error);
extern void job_requeue(int64 number);
/* all running jobs that have lost their worker */
extern void job_requeue_interrupted(void);
extern void job_restart(int64 number); /* forgets checkpoints, metrics and progress */

/*
 * A checkpoint is a byte stream in chunks; saving replaces the one before in the same transaction.
 */
extern void job_checkpoint_begin(int64 number, const char *kind);
extern void job_checkpoint_append(int64 number, const char *kind, int chunk, int64 step,
								  const void *bytes, Size length);
extern int64 job_checkpoint_step(int64 number, const char *kind); /* -1 if there is none */
/* NULL after the last */
extern bytea *job_checkpoint_chunk(int64 number, const char *kind, int chunk);
extern void job_checkpoint_drop(int64 number);

#define JOB_CHECKPOINT_CHUNK ((Size) 1024 * 1024)

/* job/lock.c: advisory locks in a space of the extension's own */
/* one of max_jobs slots of this database, held until released */
extern bool job_slot_acquire(int max_jobs);
extern void job_slot_release(void);
extern void job_lock_acquire(int64 number); /* the worker holds it while it runs the job */
extern void job_lock_release(int64 number);
extern bool job_lock_held(int64 number); /* by anybody */

/* job/launch.c */
extern void job_init(void);
extern void job_start_worker_at_commit(const Job *job);
extern bool job_submitted_here(int64 number); /* in this, still open, transaction */
/* false when no background worker is free */
extern bool job_start_worker(const WorkerRole *who);

typedef enum JobNext
{
	JOB_NEXT_DONE, /* a worker was started, or nothing is queued */
	JOB_NEXT_MINE,
	JOB_NEXT_NO_WORKER /* no background worker is free */
} JobNext;

/*
 * Sees that there is a worker for the oldest queued job; jobs that can have none fail. In
 * transactions of its own. mine: the calling worker's, or NULL; it starts no other one for itself.
 */
extern JobNext job_start_next(const WorkerRole *mine);

/* job/worker.c */
extern PGDLLEXPORT void bert_job_worker_main(Datum unused);

#endif
