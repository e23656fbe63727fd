/* own_lock.c: see own_lock.h. */
#include "pg/server/compat.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lock.h"

#include "pg/server/own_lock.h"

static LOCKTAG
tag_of(const OwnLock *lock)
{
	LOCKTAG tag;

	tag.locktag_field1 = lock->database;
	tag.locktag_field2 = lock->high;
	tag.locktag_field3 = lock->low;
	tag.locktag_field4 = (uint16) lock->space;
	tag.locktag_type = LOCKTAG_USERLOCK;
	/* the method of all locks but the advisory ones */
	tag.locktag_lockmethodid = DEFAULT_LOCKMETHOD;
	return tag;
}

/* What is held outside of transactions the server itself would leave behind. */
static void
release_at_exit(int code, Datum unused)
{
	AbortOutOfAnyTransaction();
	LockReleaseAll(DEFAULT_LOCKMETHOD, true);
}

void
own_lock_init(void)
{
	static bool done;

	if (!done)
		before_shmem_exit(release_at_exit, (Datum) 0);
	done = true;
}

static bool
acquire(const OwnLock *lock, bool wait)
{
	LOCKTAG tag = tag_of(lock);
	LockAcquireResult result;

	own_lock_init();
	result = LockAcquire(&tag, ExclusiveLock, true, !wait);
	/* held once, however often it was asked for */
	if (result == LOCKACQUIRE_ALREADY_HELD || result == LOCKACQUIRE_ALREADY_CLEAR)
		(void) LockRelease(&tag, ExclusiveLock, true);
	return result != LOCKACQUIRE_NOT_AVAIL;
}

bool
own_lock_try(const OwnLock *lock)
{
	return acquire(lock, false);
}

void
own_lock_wait(const OwnLock *lock)
{
	(void) acquire(lock, true);
}

bool
own_lock_held(const OwnLock *lock)
{
	LOCKTAG tag = tag_of(lock);

	if (LockAcquire(&tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	(void) LockRelease(&tag, ShareLock, false);
	return false;
}

int
own_lock_holder(const OwnLock *lock)
{
	LOCKTAG tag = tag_of(lock);
	LockData *all = GetLockStatusData();
	int pid = 0;

	for (int i = 0; i < all->nelements && pid == 0; i++)
		if (memcmp(&all->locks[i].locktag, &tag, sizeof tag) == 0 &&
			(all->locks[i].holdMask & LOCKBIT_ON(ExclusiveLock)) != 0)
			pid = all->locks[i].pid;
	pfree(all->locks);
	pfree(all);
	return pid;
}

void
own_lock_release(const OwnLock *lock)
{
	LOCKTAG tag = tag_of(lock);

	if (own_lock_holder(lock) == MyProcPid)
		(void) LockRelease(&tag, ExclusiveLock, true);
}

void
own_lock_share(const OwnLock *lock)
{
	LOCKTAG tag = tag_of(lock);

	(void) LockAcquire(&tag, ShareLock, false, false);
}

void
own_lock_unshare(const OwnLock *lock)
{
	LOCKTAG tag = tag_of(lock);

	(void) LockRelease(&tag, ShareLock, false);
}
