/*
 * call.h: what the processes of one embed_column call share, in a segment of dynamic shared memory
 * that the caller makes and that vanishes with the last of them.
 *
 * The table's blocks are handed out in ranges. Every process goes on until there is none, an error
 * was noted or the caller says stop.
 */
#ifndef BERT_PG_COLUMN_CALL_H
#define BERT_PG_COLUMN_CALL_H

#include "datatype/timestamp.h"
#include "storage/dsm.h"
#include "storage/spin.h"
#include "pg/column/rows.h"

#define EMBED_WORKER_TYPE "bert table worker"
#define EMBED_MAX_WORKERS 64

/* An error on its way from a worker to the caller; texts are cut to fit. */
typedef struct EmbedError
{
	int sqlstate;
	char message[512];
	char detail[512];
	char hint[256];
	char context[512];
} EmbedError;

/* What bert.progress shows. */
typedef struct EmbedProgress
{
	int pid; /* the caller's */
	Oid role;
	Oid relation;
	char source[NAMEDATALEN];
	char target[NAMEDATALEN];
	char model[NAMEDATALEN];
	TimestampTz started;
	int workers;        /* processes at work, the caller included */
	int pass;           /* from 1 */
	uint32 blocks;      /* of this pass */
	uint32 next_block;  /* the first that nobody has taken */
	uint32 blocks_done; /* of this pass */
	double table_rows;  /* -1: no estimate */
	int64 rows_seen;    /* found without embedding in blocks_done, in the first pass */
	int64 rows_done;
	int64 rows_skipped; /* of this pass */
} EmbedProgress;

typedef struct EmbedShared
{
	slock_t lock; /* protects all up to the fixed part */
	bool stop;
	bool failed;
	EmbedError error; /* if failed; the first one */
	EmbedProgress progress;
	int worker_pid[EMBED_MAX_WORKERS]; /* 0: not there */
	bool counted[EMBED_MAX_WORKERS];   /* among the workers of all calls */
	/*
	 * one that was left out in this pass because it was locked or has changed; tid invalid: none
	 */
	EmbedRow skipped;
	/* from here on fixed */
	int caller_pid;
	Oid database;
	Oid session_role;
	Oid role;
	AttrNumber source;
	AttrNumber target;
	TextColumns texts; /* of the template */
	int batch_rows;
	int max_workers;
	int call;       /* in the list of running calls */
	Size model;     /* offsets in bytes: the pinned name */
	Size condition; /* 0: none */
	Size settings;  /* of carried_settings.c */
	Size prompt;    /* the prompt's name; 0: none */
	Size template;  /* 0: none */
	int dimensions; /* 0: all */
	char bytes[FLEXIBLE_ARRAY_MEMBER];
} EmbedShared;

/* The segment stays mapped until dsm_detach. */
extern dsm_segment *embed_shared_create(const EmbedShared *fixed, const TableColumn *column,
										const char *model, const char *pinned_model,
										const char *condition);

/* Opens the column to write it, with what the call asked for. */
extern void embed_shared_open(const EmbedShared *shared, TableColumn *column);

extern void embed_shared_begin_pass(EmbedShared *shared, uint32 blocks, double table_rows);

/* The next range of blocks [*first, *end); false when there is none left. */
extern bool embed_shared_take(EmbedShared *shared, uint32 *first, uint32 *end);

/* Counts a batch: rows found, rows written; skipped: one that was not, or NULL. */
extern void embed_shared_count(EmbedShared *shared, int found, int written,
							   const EmbedRow *skipped);
/* Counts a range that is done, with what was found in all its batches. */
extern void embed_shared_count_range(EmbedShared *shared, uint32 blocks, int64 found);

extern bool embed_shared_stopping(EmbedShared *shared);
extern void embed_shared_fail(EmbedShared *shared, const ErrorData *error);

/*
 * Works on ranges of blocks until there is none: embed_column.c, in the caller, and
 * column/worker.c. The first batch of a process is small and the next ones twice as large, up to
 * batch_rows, so that progress is seen soon however long the texts are.
 */
typedef struct EmbedTurn
{
	EmbedShared *shared;
	ModelHandle *model;
	void (*begin)(struct EmbedTurn *turn); /* a transaction */
	void (*commit)(struct EmbedTurn *turn);
	/* asked between batches; at the end of a range false ends the turn */
	bool (*goes_on)(struct EmbedTurn *turn);
	void *context; /* of goes_on */
	int batch;     /* rows of the last batch, 0 before the first: see embed_turn_run */
	int64 found;   /* rows without embedding in this range so far */
} EmbedTurn;

/* The worker has ended, or could not start; who notes it first gives its place back. */
extern void embed_shared_worker_ended(EmbedShared *shared, int worker);

extern void embed_turn_run(EmbedTurn *turn);

/* column/carried_settings.c: the session's settings, to and from bytes */
extern char *embed_settings_collect(Size *size);
extern void embed_settings_apply(const char *settings);

/* column/worker.c */
extern PGDLLEXPORT void bert_embed_worker_main(Datum handle);

#endif
