/*
 * options.h: the options of bert.finetune, from jsonb to a struct and back.
 *
 * Defaults are the reference library's fine-tuning defaults (TrainingArguments) with a linear
 * schedule and 10 % warm-up. Unknown keys, wrong types and absurd values are errors that name the
 * option.
 */
#ifndef BERT_PG_JOB_OPTIONS_H
#define BERT_PG_JOB_OPTIONS_H

#include "train/options.h"
#include "train/samples.h"
#include "utils/jsonb.h"

typedef struct JobDims
{
	int n;
	int values[EMBEDDING_MAX_DIMS];
} JobDims;

typedef struct JobOptions
{
	double epochs;             /* may be fractional */
	int batch_size;            /* samples computed at once */
	int gradient_accumulation; /* so many times batch_size make a step */
	int max_length;            /* tokens; 0: the model's */
	double learning_rate;
	char *schedule;
	int64 warmup_steps;  /* -1: warmup_ratio counts */
	double warmup_ratio; /* of all steps */
	double num_cycles;   /* negative: the schedule's default */
	double power;
	double weight_decay;
	double beta1;
	double beta2;
	double epsilon;
	double max_grad_norm; /* 0: no clipping */
	bool correct_bias;
	double dropout; /* negative: the model's own */
	int64 seed;
	char *train; /* all, head, top:N */
	bool freeze_embeddings;
	bool frozen_dropout;
	char *eval_query;       /* NULL: none */
	double eval_fraction;   /* 0: none */
	int64 eval_steps;       /* 0: once an epoch */
	int early_stopping;     /* evaluations without improvement; 0: never */
	int64 checkpoint_steps; /* 0: chosen by time */
	double mask_probability;
	bool whole_word_mask;
	char *loss;     /* embedding; NULL: the one for its columns */
	double scale;   /* negative: the loss's default, or none */
	double margin;  /* likewise */
	char *distance; /* NULL: likewise */
	JobDims matryoshka_dims;
	double label_smoothing;
	char *class_weights; /* NULL: none; see class_weights.h */
	bool few_shot;
	int few_shot_pairs; /* of each kind, for each row; 0: the default */
	char *teacher;      /* model whose probabilities are learned; NULL: none */
	double temperature; /* of these; negative: the default */
	double threshold;   /* several labels: of what counts as predicted in evaluations */
	int threads;        /* 0: half the cores */
	char *precision;
} JobOptions;

/* All values set; strings are palloc'd. */
extern void job_options_parse(Jsonb *options, JobOptions *out);

/* An error for an option that is given and that the schedule or the task has no use for. */
extern void job_options_check_use(Jsonb *given, const JobOptions *options, TrainTask task);

/* Every option with its value, defaults included: what a job row keeps. */
extern Jsonb *job_options_write(const JobOptions *options);

/* What the trainer is told; total_steps: job_count_steps'. */
extern void job_options_train(const JobOptions *options, int64 total_steps, TrainOptions *out);

/*
 * Tokens of a training sequence: max_length, or what the model reads; for question_answering at
 * most what bert.answer reads at once, the reference's 384.
 */
extern int job_training_length(const JobOptions *options, TrainTask task, int model_length);

/* Steps of one epoch and in all, as the reference's Trainer counts them. */
extern void job_count_steps(const JobOptions *options, uint64 samples, int64 *steps_per_epoch,
							int64 *total_steps);

#endif
