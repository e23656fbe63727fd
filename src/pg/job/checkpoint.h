/*
 * checkpoint.h: what a job keeps of its trainer: a byte stream in chunks, rows of
 * bert.job_checkpoint. Kinds: "last", from which an interrupted job goes on, and "best", the
 * weights of the best evaluation. The functions need a transaction and act as the table's owner.
 */
#ifndef BERT_PG_JOB_CHECKPOINT_H
#define BERT_PG_JOB_CHECKPOINT_H

#include "train/trainer.h"

typedef struct JobCheckpoint
{
	int64 job;
	const char *kind;
	int64 step; /* of the trainer */
} JobCheckpoint;

/* Replaces the one of this kind. */
extern void job_checkpoint_save(const JobCheckpoint *checkpoint, const StateRange *ranges,
								int n_ranges);
/* The step of the one that is kept; -1 if there is none. */
extern int64 job_checkpoint_step(int64 number, const char *kind);
/* Fills the ranges; false if it has another length. */
extern bool job_checkpoint_load(int64 number, const char *kind, const StateRange *ranges,
								int n_ranges);
/* of all kinds */
extern void job_checkpoint_drop(int64 number);

#endif
