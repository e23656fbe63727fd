/*
 * shared.h: what backends share: which cache files have been verified, which calls and workers
 * run; the counters of bert.stats are in stats.h.
 *
 * A few kilobytes of PostgreSQL's shared memory, asked for when the library is preloaded and
 * otherwise taken on first use from what the server keeps in reserve. Lost when the server stops or
 * recovers from a crash, on purpose: cache files are then verified again. Without room for it every
 * backend keeps its own.
 */
#ifndef BERT_PG_SERVER_SHARED_H
#define BERT_PG_SERVER_SHARED_H

#include "nodes/pg_list.h"

/*
 * An area of shared memory by its name, that begins with a slock_t; whoever comes first zeroes it
 * and initializes the lock. Without room for it, an area of this backend's own.
 */
extern void *shared_locked_area(const char *name, Size size);

/*
 * Files whose contents have been found right, by a fingerprint of identity, size and times of
 * change: whoever writes to a file changes it.
 */
extern bool shared_is_verified(uint64 fingerprint);
extern void shared_set_verified(uint64 fingerprint);

/*
 * The running calls of bert.embed_column: where each keeps its counters (dsm_handle). -1: not
 * noted, for want of room.
 */
typedef struct RunningCall
{
	int pid; /* 0: free */
	Oid database;
	uint32 segment;
	Oid role;
	int wanted;  /* background workers, besides the caller */
	int workers; /* that it has */
} RunningCall;

extern int running_call_begin(uint32 segment, Oid role);
extern void running_call_end(int slot);
/* How many workers it has work for, from now on. */
extern void running_call_want(int slot, int wanted);
/*
 * One more worker for it, within the limit for all calls, of which the roles that want workers get
 * equal shares; false: there is none. Whoever sees the worker end gives it back; caller: the pid of
 * the call that had it.
 */
extern bool running_call_take_worker(int slot, int limit);
extern void running_call_return_worker(int slot, int caller);
/* Its role has more than its share, and another one waits: a worker should leave. */
extern bool running_call_has_too_many(int slot, int limit);
extern List *running_call_list(void); /* of RunningCall *, this database's */

/*
 * The workers that embed queued rows, one for each database and role, so that a commit starts one
 * only if none runs. wanted: true when the caller must start one; else a running one will look
 * again, and *pid is to be woken (0: it is starting).
 */
extern bool auto_worker_wanted(Oid role, int *pid);
extern void auto_worker_arrive(Oid role); /* in the worker */
extern bool auto_worker_leave(Oid role);  /* false: somebody has queued rows meanwhile */
/* it could not start, or ends by force */
extern void auto_worker_gone(Oid database, Oid role);

/*
 * The worker of each database, session and role that looks at the queue of jobs: while one does, or
 * is on its way, no other is started for the same. wanted: true when the caller must start one;
 * else that one will look again. A worker that has a job to run has left.
 */
extern bool job_worker_wanted(Oid session, Oid role);
extern void job_worker_arrive(Oid session, Oid role); /* in the worker */
extern bool job_worker_leave(Oid session, Oid role);  /* false: it has to look again */
/* it could not start, or ends by force */
extern void job_worker_gone(Oid database, Oid session, Oid role);

/*
 * Databases where a job waits for one of the server's places. Whoever gives one back takes the
 * notes, and has those databases looked at. What finds no room here waits for the launcher.
 */
#define JOB_MAX_WAITING 64
extern void job_waits_note(Oid database);
extern int job_waits_take(Oid *databases); /* (JOB_MAX_WAITING); returns how many */

/* Attaches now, for uses where an error may not be raised. */
extern void shared_attach(void);

extern void shared_init(void);

#endif
