/*
 * own_lock.h: locks of the extension's own, which code of a user can neither take nor give back.
 *
 * They are the server's heavyweight locks under a kind of tag that nothing in SQL reaches: LOCK
 * TABLE names relations, the pg_advisory functions use another kind and another method, and
 * pg_advisory_unlock_all() and DISCARD leave this one alone. A lock is exclusive and is held across
 * transactions, until it is released, the process ends, or a transaction of the process is rolled
 * back: after an error in one nothing is held any more. To ask for one again changes nothing.
 */
#ifndef BERT_PG_SERVER_OWN_LOCK_H
#define BERT_PG_SERVER_OWN_LOCK_H

typedef enum OwnLockSpace
{
	OWN_LOCK_JOB = 1,    /* a job: its worker runs it */
	OWN_LOCK_JOB_CANCEL, /* a job: shared while somebody sends its worker a signal */
	OWN_LOCK_JOB_SLOT,   /* one of the places for running jobs; server-wide */
	OWN_LOCK_JOB_ROLE,   /* one of a role's places for running jobs; server-wide */
	OWN_LOCK_COLUMN      /* a table's column: a call of bert.embed_column fills it */
} OwnLockSpace;

typedef struct OwnLock
{
	OwnLockSpace space;
	Oid database; /* InvalidOid: server-wide */
	uint32 high;
	uint32 low;
} OwnLock;

/*
 * Has the process release its locks when it ends. Taking one does it too; before that it matters to
 * who writes something at the end and wants to hold the lock still: callbacks run last in, first
 * out.
 */
extern void own_lock_init(void);

/* false: somebody else holds it */
extern bool own_lock_try(const OwnLock *lock);
extern void own_lock_wait(const OwnLock *lock);
/* does nothing where a rollback has released it already */
extern void own_lock_release(const OwnLock *lock);
/*
 * By anybody but this process. It takes the lock for a moment, which own_lock_try of others may
 * notice; own_lock_holder does not.
 */
extern bool own_lock_held(const OwnLock *lock);
/* the process that holds it, 0: none; looks at all locks of the server */
extern int own_lock_holder(const OwnLock *lock);

/* Held by several at once, until the end of the transaction or own_lock_unshare. */
extern void own_lock_share(const OwnLock *lock);
extern void own_lock_unshare(const OwnLock *lock);

#endif
