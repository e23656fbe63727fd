/*
 * keep.h: what a running job keeps to go on from, when, and where.
 *
 * A checkpoint is the trainer's whole state: weights, both moments, counters. It goes to a file
 * (checkpoint_file.c), which is enough after any crash of this server. Copies in
 * bert.job_checkpoint, for standbys, backups and dumps, go through the write-ahead log, and are
 * made as far as that is bounded: by the model's size for each checkpoint, and by time. So a dump
 * has the last copy, which may be some checkpoints old; what follows from it is the same, bit for
 * bit. Where bert.max_cache_size leaves no room for files there are only the copies.
 *
 * The weights of the best evaluation are kept likewise, and copied with the state that they belong
 * to. They may be of a later step than the state that is found after a crash: then they are
 * forgotten, for the steps up to them are made, and evaluated, again.
 *
 * All are called outside of a transaction.
 */
#ifndef BERT_PG_JOB_KEEP_H
#define BERT_PG_JOB_KEEP_H

#include "pg/job/run.h"

/* Once base and data are known: what decides the state at a step, so whose files are read. */
extern void job_keep_identify(JobRun *run);
/* The newest state there is, into the trainer; nothing if there is none. */
extern void job_keep_restore(JobRun *run);
/* The training begins: what is logged is counted from here. */
extern void job_keep_begin(JobRun *run);
/* The state as it is. */
extern void job_keep_state(JobRun *run);
/* The weights as they are, of the evaluation that run->best_step names. */
extern void job_keep_best(JobRun *run);
/* These weights back into the trainer; an error if they are gone. */
extern void job_keep_take_best(JobRun *run);
/*
 * Seconds between checkpoints where nobody has said in steps: a minute, so long that writing one
 * (took seconds) is a twentieth of the time, and that they are no more than 10 MB a second.
 */
extern double job_keep_pause(JobRun *run, double took);

#endif
