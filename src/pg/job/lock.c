/*
 * lock.c: who runs what, as session-level advisory locks. They vanish with their holder, however it
 * ends. The fourth field of the tag keeps them apart from pg_advisory_lock's, which use 1 and 2.
 */
#include "pg/server/compat.h"

#include "miscadmin.h"
#include "storage/lock.h"

#include "pg/job/job.h"

#define SLOT_SPACE 0x6251
#define JOB_SPACE 0x624a

static int my_slot = -1;

static LOCKTAG
slot_tag(int slot)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, (uint32) slot, SLOT_SPACE);
	return tag;
}

static LOCKTAG
job_tag(int64 number)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (number >> 32), (uint32) number, JOB_SPACE);
	return tag;
}

bool
job_slot_acquire(int max_jobs)
{
	for (int slot = 0; slot < max_jobs; slot++)
	{
		LOCKTAG tag = slot_tag(slot);

		if (LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL)
		{
			my_slot = slot;
			return true;
		}
	}
	return false;
}

void
job_slot_release(void)
{
	LOCKTAG tag = slot_tag(my_slot);

	if (my_slot >= 0)
		LockRelease(&tag, ExclusiveLock, true);
	my_slot = -1;
}

void
job_lock_acquire(int64 number)
{
	LOCKTAG tag = job_tag(number);

	(void) LockAcquire(&tag, ExclusiveLock, true, false);
}

void
job_lock_release(int64 number)
{
	LOCKTAG tag = job_tag(number);

	LockRelease(&tag, ExclusiveLock, true);
}

bool
job_lock_held(int64 number)
{
	LOCKTAG tag = job_tag(number);

	if (LockAcquire(&tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, ShareLock, false);
	return false;
}
