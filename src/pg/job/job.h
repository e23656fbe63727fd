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
 * checkpoint. The launcher does so once: a job that loses its worker twice, in a server that was
 * not stopped meanwhile, without a checkpoint in between, fails.
 *
 * Every write to the table is a short transaction of its own in the worker, so progress is visible
 * while the job runs and no snapshot is held during training. The functions below need a
 * transaction and act as the tables' owner.
 */
#ifndef BERT_PG_JOB_JOB_H
#define BERT_PG_JOB_JOB_H

#include "nodes/pg_list.h"
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
	char *phase; /* what a running job is doing, or NULL */
	int worker_pid;
	int attempts;
	int64 step;
	int64 total_steps; /* 0 before it is known */
	double epoch;
	double loss;
	double samples_per_second;
	double seconds_per_step;
	int64 base_version; /* 0 for a bundled base, -1 before it is known */
	bytea *base_digest; /* of the base model, tokenizer included; NULL before it is known */
	bytea *data_digest; /* of the data's files; NULL before they were made */
	int n_labels;
	char **labels; /* (n_labels) classes in the order of their ids */
	char *error;
	const char
		*damage; /* what is wrong with the row: then no job can be made of it; NULL: nothing */
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
/* whose it is, by the latest snapshot; InvalidOid if there is none */
extern Oid job_role(int64 number);
/* by the latest snapshot; false if there is none */
extern bool job_load(int64 number, Job *job);
/* the oldest queued job of these becomes running; false if there is none */
extern bool job_claim(const WorkerRole *who, Job *job);

/* Whose jobs are queued, and the oldest of each; who has waited longest for a turn comes first. */
typedef struct JobWaiting
{
	int64 number;
	WorkerRole who;
} JobWaiting;

extern List *job_waiting(void); /* of JobWaiting * */
extern void job_set_phase(int64 number, const char *phase);
extern void job_set_kept(int64 number); /* it has a new checkpoint to go on from */

/* What is noted of a job's data once its files are made. */
typedef struct JobDataRecord
{
	int64 samples;
	int64 eval_samples;
	int64 total_steps;
	uint64 truncated;   /* rows that lost tokens */
	const void *digest; /* of the files */
	Size digest_length;
	int n_labels;
	const char *const *labels; /* (n_labels) UTF-8, in the order of ids */
} JobDataRecord;

extern void job_set_data(int64 number, const JobDataRecord *data);
extern void job_set_base(int64 number, int64 base_version, const void *digest, Size digest_length);
extern void job_set_progress(int64 number, const JobProgress *progress, bool add_metric);
extern void job_add_evaluation(int64 number, int64 step, double epoch, Jsonb *eval);
extern void job_set_result(int64 number, int64 version, Jsonb *metrics, Jsonb *details);
/* the running job of this worker; false if it is not that any more */
extern bool job_conclude(int64 number, const char *state, const char *sqlstate, const char *error);
/* a job that has no worker; false if not in state from */
extern bool job_finish(int64 number, const char *from, const char *state, const char *sqlstate,
					   const char *error);
extern bool job_requeue(int64 number, const char *from);
/*
 * All running jobs that have lost their worker; one that loses it again and again, and never comes
 * to a checkpoint, fails.
 */
extern void job_requeue_interrupted(void);
/* with all that is kept for it; false if not in this state */
extern bool job_delete(int64 number, const char *state);
/* forgets checkpoints of jobs that ended longer ago than bert.job_retention */
extern void job_expire(void);
/* whether its spill files may be of use still */
extern bool job_needs_files(int64 number);
extern void job_restart(int64 number); /* forgets checkpoints, metrics and progress */

/*
 * job/lock.c. A slot is one of bert.max_jobs of the server, and one of the role's. The worker holds
 * the job's lock while it runs the job; an error gives it back, and the slot. Whoever gives a slot
 * back has other databases looked at that have noted (job_waits_note) that they wait.
 */
extern bool job_slot_acquire(Oid role);
extern void job_slot_release(void);
extern int job_slots_free(void);
extern bool job_role_has_place(Oid role);
extern bool job_lock_try(int64 number);
extern void job_lock_acquire(int64 number);
/* When it returns nobody is about to send this process a signal for the job. */
extern void job_lock_release(int64 number);
extern bool job_lock_held(int64 number); /* by anybody */
/* SIGINT to the worker while it has this very job; false: none has it. */
extern bool job_interrupt(int64 number);

/*
 * job/interrupt.c: what may stop a job, in its worker. A job's queries run code of its submitter,
 * which may catch a cancel: who insists, or a time limit that is passed for long, ends the process,
 * and the outcome is written on the way out.
 */
extern void job_interrupts_init(void);
extern void job_interrupts_expect(void);        /* before the job's lock is taken */
extern void job_interrupts_begin(int64 number); /* from here on the job may be interrupted */
extern void job_interrupts_end(void);           /* and no longer */
/* around what runs the job's queries: bert.job_query_timeout */
extern void job_query_limit_begin(void);
extern void job_query_limit_end(void);
/* Why the job ended, by its error; *message replaces the error's unless NULL. */
extern const char *job_outcome(int sqlstate, const char **message);

/* job/control.c: the job, if the current user may see it; else it does not exist (42704) */
extern void job_load_own(int64 number, Job *job);

/* job/launch.c */
extern void job_init(void);
extern void job_start_worker_at_commit(const Job *job);
/* a queued job that this transaction ends: for the case that it, or a part of it, is rolled back */
extern void job_start_worker_at_abort(const Job *job);
extern bool job_submitted_here(int64 number); /* in this, still open, transaction */
/* false when no background worker is free */
extern bool job_start_worker(const WorkerRole *who);

typedef enum JobNext
{
	JOB_NEXT_DONE,     /* workers were started, or nothing can be */
	JOB_NEXT_MINE,     /* it has a slot */
	JOB_NEXT_NO_WORKER /* no background worker is free */
} JobNext;

/*
 * Sees that there are workers for the jobs whose turn it is, as far as there are places; jobs that
 * can have none fail. In transactions of its own. mine: the calling worker's, or NULL; for it a
 * slot is taken instead.
 */
extern JobNext job_start_next(const WorkerRole *mine);

/* job/worker.c */
extern PGDLLEXPORT void bert_job_worker_main(Datum unused);

#endif
