/*
 * progress.h: what long statements say about themselves, for the view bert.progress.
 *
 * Whoever does what may take long says what it is and, from time to time, how far it has come: both
 * set variables of this backend and no more. They go to shared memory when somebody asks whether to
 * go on (backend_may_continue), a tenth of a second after the beginning and then every tenth: a
 * statement of a million short calls never touches it. Only the outermost is shown, and of what it
 * does besides (an aside: a model is prepared) the innermost.
 *
 * It ends with progress_end, or with the transaction or the subtransaction that it began in.
 * Strings must live as long as it does.
 */
#ifndef BERT_PG_SERVER_PROGRESS_H
#define BERT_PG_SERVER_PROGRESS_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "portability/instr_time.h"

#define PROGRESS_NAME_BYTES 24
#define PROGRESS_PHASE_BYTES 40

/* function: as bert.stats calls it; model: its name, or NULL. Returns the time. */
extern instr_time progress_begin(const char *function, const char *model);
extern void progress_end(void);
/* What it is called, when that is known later. */
extern void progress_name(const char *function, const char *model);

/* Something that takes long by itself, within whatever goes on; ended by progress_end, too. */
extern void progress_begin_aside(const char *model);

/*
 * What the one begun last does now; nothing of it is done. unit: what is counted ("windows"), NULL
 * for nothing; total: -1 when it is not known.
 */
extern void progress_phase(const char *phase, const char *unit, int64 total);
/* So many more are done, or so many in all. */
extern void progress_add(int64 n);
extern void progress_set(int64 done);
/*
 * From here to the next phase what plain C code notes as done (core/note.h) is counted, too, in
 * addition to so many; else it is of something smaller.
 */
extern void progress_follow(int64 before);

/* A moment to tell others, if it is time. */
extern void progress_tell(void);

/* A statement that runs, of this database. */
typedef struct ProgressRow
{
	int pid; /* 0: free */
	Oid database;
	Oid role;
	char function[PROGRESS_NAME_BYTES];
	char model[NAMEDATALEN];          /* "": none */
	char phase[PROGRESS_PHASE_BYTES]; /* "": none */
	char unit[PROGRESS_NAME_BYTES];   /* "": nothing is counted */
	int64 done;
	int64 total;               /* -1: not known */
	TimestampTz started;       /* of the statement */
	TimestampTz phase_started; /* of the phase */
} ProgressRow;

extern List *progress_list(void); /* of ProgressRow *: copies */

extern Size progress_size(void);

#endif
