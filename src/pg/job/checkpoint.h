/*
 * checkpoint.h: what a job keeps of its trainer, a byte stream. Kinds: "last", from which an
 * interrupted job goes on, and "best", the weights of the best evaluation. There are two places
 * for each (job/keep.h says when which is used):
 *
 * - rows of bert.job_checkpoint, in chunks: they go through the write-ahead log, and with it to
 *   standbys and dumps. These functions act as the table's owner;
 * - a file beside the job's data (checkpoint_file.c): for this server alone, and costs no log.
 *
 * All need a transaction.
 */
#ifndef BERT_PG_JOB_CHECKPOINT_H
#define BERT_PG_JOB_CHECKPOINT_H

#include "core/hash.h"
#include "train/trainer.h"

typedef struct JobCheckpoint
{
	int64 job;
	const char *kind;
	int64 step; /* of the trainer */
	/* of what decides the state at a step: of files alone, and only a file of the same is read */
	const unsigned char *identity; /* (SHA256_BYTES) */
} JobCheckpoint;

/* --- checkpoint.c: rows --- */

/* Replaces the one of this kind. */
extern void job_checkpoint_save(const JobCheckpoint *checkpoint, const StateRange *ranges,
								int n_ranges);
/* The step of the one that is kept; -1 if there is none. */
extern int64 job_checkpoint_step(int64 number, const char *kind);
/* Its first bytes; false if it has not so many in its first chunk. */
extern bool job_checkpoint_begin(int64 number, const char *kind, void *bytes, Size size);
/* Fills the ranges; false if it has another length. */
extern bool job_checkpoint_load(int64 number, const char *kind, const StateRange *ranges,
								int n_ranges);
/* of all kinds */
extern void job_checkpoint_drop(int64 number);

/* --- checkpoint_file.c --- */

/* An open file, of the context in which it was opened. */
typedef struct CheckpointFile CheckpointFile;

/*
 * Replaces the one of this kind, when it is whole and on disk. The caller has seen to the room
 * (cache_has_room). An error leaves the old one.
 */
extern void checkpoint_file_write(const JobCheckpoint *checkpoint, const StateRange *ranges,
								  int n_ranges);
/*
 * NULL if there is none of this kind and identity with so many bytes; one that is damaged or of
 * another identity is removed. All of it was read and is what was written. The checkpoint's step
 * does not matter.
 */
extern CheckpointFile *checkpoint_file_open(const JobCheckpoint *checkpoint, uint64 size);
extern int64 checkpoint_file_step(const CheckpointFile *file);
extern uint64 checkpoint_file_size(const CheckpointFile *file); /* bytes of the stream */
/* size bytes from the one at `at` on; an error if they are gone since */
extern void checkpoint_file_read(const CheckpointFile *file, uint64 at, void *bytes, Size size);
extern void checkpoint_file_close(CheckpointFile *file); /* NULL is allowed */
/* Rows of the same kind and step: the file's bytes. */
extern void checkpoint_file_copy(const CheckpointFile *file, const JobCheckpoint *checkpoint);
/* Removes a job's, of all kinds, finished or not. Needs no transaction. */
extern void checkpoint_files_remove(int64 number);

#endif
