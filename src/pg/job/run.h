/*
 * run.h: one job from its base model to the finished one. The worker (job/worker.c) calls job_run
 * outside any transaction; errors are raised and say why the job failed.
 *
 * Order of things, each a transaction of its own: open the base model and make the trainer; make or
 * find the data's files; restore the last checkpoint; then steps without a transaction, with short
 * ones for progress, evaluations and checkpoints; at the end the model and the state "succeeded"
 * together.
 */
#ifndef BERT_PG_JOB_RUN_H
#define BERT_PG_JOB_RUN_H

#include "pg/model/definition.h"
#include "pg/job/data.h"
#include "pg/job/score.h"
#include "train/sampler.h"
#include "train/trainer.h"

/* job/keep.h's own */
typedef struct JobKeep
{
	unsigned char identity[SHA256_BYTES];
	TimestampTz since;  /* the training's beginning in this attempt */
	int64 checkpoints;  /* made since */
	uint64 logged;      /* bytes of write-ahead log that these have taken */
	uint64 last_logged; /* the last one that was copied to the table; 0: none yet */
	bool copied;        /* the table has a copy, which the next one replaces */
} JobKeep;

/* What the head of a job of few rows reads. */
typedef enum FewShotHead
{
	FEW_SHOT_PLAIN, /* as any job's; it is not fitted */
	FEW_SHOT_FIRST, /* the first token's state */
	FEW_SHOT_MEAN   /* the mean of all states, which one more layer makes */
} FewShotHead;

typedef struct JobRun
{
	Job *job;
	JobOptions options;
	TrainTask task;
	MemoryContext context; /* of everything below */
	Arena *arena;          /* config, table, options */
	BertConfig config;     /* of the model to be */
	FewShotHead few_shot_head;
	TensorTable table;
	Tokenizer *tokenizer;
	int max_length;   /* tokens of a training sequence */
	int model_length; /* tokens that the model reads */
	ModelDefinition *base;
	TokenizerSettings settings; /* with the vocabulary */
	TrainOptions train_options;
	Trainer *trainer;
	JobData data;
	uint64 n_train; /* samples */
	uint64 n_eval;
	int64 steps_per_epoch;
	int64 total_steps;
	Sampler *sampler;        /* of the training samples */
	double seconds_per_step; /* smoothed; 0: none yet */
	double best_score;       /* of evaluations so far, higher is better; -inf: none */
	double best_loss;        /* of the same evaluation */
	int64 best_step;
	int evaluations_since_best;
	JobScore *last_score; /* of the last evaluation, or NULL */
	JobKeep keep;
} JobRun;

/* context: of everything that the run holds; the caller deletes it, after an error too. */
extern void job_run(Job *job, MemoryContext context);

/* Ends the transaction, with the job's context current. */
extern void job_run_commit(const JobRun *run);

/* What it does now, for bert.jobs and for who waits; a transaction of its own. */
extern void job_run_set_phase(const JobRun *run, const char *phase);

/* job/model.c */
/* base, config, table, tokenizer; needs a transaction */
extern void job_model_open(JobRun *run);
/* the trainer with its weights; labels are known by now; needs a transaction */
extern void job_model_train(JobRun *run);
/* the finished model; needs a transaction; returns its version */
extern int64 job_model_store(JobRun *run, Jsonb *lineage);
/* a second trainer, for a phase before; job_trainer_destroy ends it, too */
extern void job_trainer_begin_second(Trainer *trainer);
extern void job_trainer_end_second(void);
/* joins the threads of the process's trainer, if any */
extern void job_trainer_destroy(void);

/* The worker's question: interrupts, and whether the postmaster lives. */
extern const MayContinue worker_may_continue;

#endif
