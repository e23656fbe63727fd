/*
 * lock.c: who runs what. The locks (server/own_lock.h) vanish with their holder, however it ends,
 * and with an error in the worker.
 */
#include "pg/server/compat.h"

#include <signal.h>

#include "miscadmin.h"

#include "pg/job/job.h"
#include "pg/server/own_lock.h"
#include "pg/server/settings.h"
#include "pg/server/shared.h"
#include "pg/server/worker.h"

static OwnLock my_slot;
static OwnLock my_place;

static OwnLock
job_lock(OwnLockSpace space, int64 number)
{
	return (OwnLock){space, MyDatabaseId, (uint32) (number >> 32), (uint32) number};
}

/* One of n locks that differ in their last number. */
static bool
take_one(OwnLockSpace space, Oid role, int n, OwnLock *taken)
{
	for (int i = 0; i < n; i++)
	{
		*taken = (OwnLock){space, InvalidOid, role, (uint32) i};
		if (own_lock_try(taken))
			return true;
	}
	return false;
}

/* What a role may run at once leaves a place for others, where there is more than one. */
static int
places_of_role(void)
{
	return guc_max_jobs_per_role > 0 ? guc_max_jobs_per_role : Max(guc_max_jobs - 1, 1);
}

bool
job_slot_acquire(Oid role)
{
	if (!take_one(OWN_LOCK_JOB_ROLE, role, places_of_role(), &my_place))
		return false;
	if (take_one(OWN_LOCK_JOB_SLOT, InvalidOid, guc_max_jobs, &my_slot))
		return true;
	own_lock_release(&my_place);
	return false;
}

void
job_slot_release(void)
{
	Oid databases[JOB_MAX_WAITING];
	int n;

	own_lock_release(&my_slot);
	own_lock_release(&my_place);
	n = job_waits_take(databases);
	for (int i = 0; i < n; i++)
		if (databases[i] != MyDatabaseId)
			(void) worker_start_visitor(databases[i], NULL);
}

/* Of n locks that differ in their last number. */
static int
count_free(OwnLockSpace space, Oid role, int n)
{
	int n_free = 0;

	for (int i = 0; i < n; i++)
	{
		OwnLock lock = {space, InvalidOid, role, (uint32) i};

		n_free += own_lock_holder(&lock) == 0;
	}
	return n_free;
}

int
job_slots_free(void)
{
	return count_free(OWN_LOCK_JOB_SLOT, InvalidOid, guc_max_jobs);
}

bool
job_role_has_place(Oid role)
{
	return count_free(OWN_LOCK_JOB_ROLE, role, places_of_role()) > 0;
}

bool
job_lock_try(int64 number)
{
	OwnLock lock = job_lock(OWN_LOCK_JOB, number);

	return own_lock_try(&lock);
}

void
job_lock_acquire(int64 number)
{
	OwnLock lock = job_lock(OWN_LOCK_JOB, number);

	own_lock_wait(&lock);
}

bool
job_lock_held(int64 number)
{
	OwnLock lock = job_lock(OWN_LOCK_JOB, number);

	return own_lock_held(&lock);
}

bool
job_interrupt(int64 number)
{
	OwnLock lock = job_lock(OWN_LOCK_JOB, number);
	OwnLock guard = job_lock(OWN_LOCK_JOB_CANCEL, number);
	int worker;

	own_lock_share(&guard);
	worker = own_lock_holder(&lock);
	if (worker != 0 && kill(worker, SIGINT) != 0)
		ereport(WARNING, (errmsg("could not send a signal to process %d: %m", worker)));
	own_lock_unshare(&guard);
	return worker != 0;
}

void
job_lock_release(int64 number)
{
	OwnLock lock = job_lock(OWN_LOCK_JOB, number);
	OwnLock guard = job_lock(OWN_LOCK_JOB_CANCEL, number);

	own_lock_release(&lock);
	own_lock_wait(&guard);
	own_lock_release(&guard);
}
