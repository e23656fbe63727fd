/*
 * data.h: a job's training and evaluation sets as spill files.
 *
 * The query is read through a cursor as the submitter; rows are tokenized in the order they come
 * and appended to a file beside the model cache, so memory is bounded by one row and the index.
 * Tasks with classes read it once more before, through the same snapshot, to find the labels. With
 * eval_fraction the rows drawn for evaluation (by seed and row number) go to the second file.
 */
#ifndef BERT_PG_JOB_DATA_H
#define BERT_PG_JOB_DATA_H

#include "files/sentence.h"
#include "pg/job/job.h"
#include "pg/job/options.h"
#include "pg/job/task_query.h"

typedef struct JobData
{
	TrainTask task;
	SpillReader *train;
	SpillReader *eval;                      /* NULL: no evaluation */
	int n_labels;                           /* classes; 0 for tasks without */
	const char *const *labels;              /* (n_labels) in the order of ids */
	bool several;                           /* a row has any number of them */
	uint64 truncated;                       /* training and evaluation rows that lost tokens */
	unsigned char digest[2 * SHA256_BYTES]; /* of both files */
} JobData;

/* What a caller of job_data_check learns about a query before a job is accepted. */
typedef struct DataSummary
{
	uint64 rows;
	LabelSet *labels; /* NULL for rows without classes */
	bool numeric;     /* labels are integers */
	EmbeddingShape shape;
	uint64 without_negatives; /* embedding: the number of the first such row, from 1; 0: none */
	bool several;             /* a row has any number of labels */
} DataSummary;

/*
 * How a task's rows are encoded: to train on, or to be evaluated. Contexts of questions are
 * evaluated in the windows in which bert.answer reads them. max_length: tokens that the model
 * reads, or that the job is told to.
 */
typedef enum EncodePurpose
{
	ENCODE_TO_TRAIN,
	ENCODE_TO_EVALUATE
} EncodePurpose;

extern void job_encoder(SampleEncoder *encoder, TrainTask task, const Tokenizer *tokenizer,
						int max_length, EncodePurpose purpose);

/* Reads the whole query as the current user and checks every row; nothing is kept. */
extern void job_data_check(const SampleEncoder *encoder, const char *query, const char *name,
						   DataSummary *summary);

/* The base of a job, as far as its classifier goes. */
typedef struct JobBase
{
	HeadKind head;
	const BertConfig *config;
	const BertConfig *teacher; /* whose labels the new model has; NULL: none */
} JobBase;

/*
 * The labels that the new model has, in the order of their ids. The base's classifier goes on
 * learning when it has labels of the rows: then they are all of the base's, with those of the rows
 * that it has not after them; otherwise those of the rows, sorted. summary: of the job's query; its
 * labels are sorted here.
 */
typedef struct JobLabels
{
	LabelSet *set;     /* NULL for tasks without classes */
	const char *anew;  /* why a classifier that the base has is made anew, for a DETAIL; or NULL */
	const char *added; /* the labels that the base's classifier gets besides its own; or NULL */
} JobLabels;

/* What a base is to who learns from it: SetFit's classifier stays with the base. */
extern HeadKind job_base_head(HeadKind head, const BertConfig *config);

extern JobLabels job_labels(TrainTask task, const JobBase *base, const DataSummary *summary);

/*
 * Opens the files of an earlier attempt where they are whole and match expected_digest (both
 * digests, or NULL) and the labels are known; else makes them. *rebuilt says which. Needs a
 * transaction with a snapshot taken once (REPEATABLE READ).
 */
typedef struct JobDataRequest
{
	const Job *job;
	const JobOptions *options;
	TrainTask task;
	const Tokenizer *tokenizer;
	int max_length;   /* tokens of a training sequence */
	int model_length; /* tokens that the model reads */
	JobBase base;
	const SentenceSettings *sentence; /* whose prompts embedding takes */
} JobDataRequest;

extern void job_data_open(const JobDataRequest *request, Arena *arena, JobData *data,
						  bool *rebuilt);
extern void job_data_close(JobData *data);

/* 42804: the query named so has an array of labels where another one has none, or the reverse. */
extern void job_refuse_mixed_labels(const char *name);

/*
 * Whether eval_fraction holds a row back: a function of the seed and the row, so that it does not
 * depend on the others.
 */
extern bool job_row_held_back(int64 seed, uint64 row, double fraction);

/* Removes a job's data. */
extern void job_data_remove(int64 number);
/* and its checkpoints' files */
extern void job_data_remove_at_commit(int64 number);
/* Removes files that no job of this database needs, and those of databases that are gone. */
extern void job_data_sweep(void);

#endif
