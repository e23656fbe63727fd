/* shared.c: the shared memory of the extension. */
#include "pg/server/compat.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "pg/server/progress.h"
#include "pg/server/shared.h"
#include "pg/server/stats.h"

/* Verified files: a set of fingerprints in buckets of four. */
#define VERIFIED_BUCKETS 256
#define VERIFIED_WAYS 4

#define CALL_SLOTS 64
#define WORKER_SLOTS 64
#define WORKER_START_MS 10000 /* one that has not arrived by then never will */

typedef struct WorkerSlot
{
	Oid database; /* InvalidOid: free */
	Oid session;  /* of a worker for jobs; InvalidOid: for queued rows */
	Oid role;
	int pid;    /* 0: on its way */
	bool again; /* there is something new to look at */
	TimestampTz started;
} WorkerSlot;

typedef struct Shared
{
	slock_t lock; /* protects all up to verified */
	RunningCall calls[CALL_SLOTS];
	WorkerSlot workers[WORKER_SLOTS];
	Oid waiting[JOB_MAX_WAITING]; /* databases; InvalidOid: free */
	pg_atomic_uint64 verified[VERIFIED_BUCKETS][VERIFIED_WAYS];
} Shared;

static Shared *shared;
static bool is_private; /* there was no room for one that is shared */
static shmem_request_hook_type previous_request_hook;

static void
initialize(void *memory)
{
	Shared *area = memory;

	SpinLockInit(&area->lock);
	for (int i = 0; i < VERIFIED_BUCKETS; i++)
		for (int j = 0; j < VERIFIED_WAYS; j++)
			pg_atomic_init_u64(&area->verified[i][j], 0);
}

/* *own: there was no room, and it is this backend's own. */
static void *
shared_area(const char *name, Size size, void (*init)(void *area), bool *own)
{
	MemoryContext context = CurrentMemoryContext;
	void *volatile area = NULL;
	bool found;

	*own = false;
	PG_TRY();
	{
		LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
		area = ShmemInitStruct(name, size, &found);
		if (!found)
		{
			memset(area, 0, size);
			init(area);
		}
		LWLockRelease(AddinShmemInitLock);
	}
	PG_CATCH();
	{
		/* The reserve is used up. */
		if (LWLockHeldByMe(AddinShmemInitLock))
			LWLockRelease(AddinShmemInitLock);
		MemoryContextSwitchTo(context);
		FlushErrorState();
		area = MemoryContextAllocZero(TopMemoryContext, size);
		*own = true;
		init(area);
	}
	PG_END_TRY();
	return area;
}

static void
initialize_lock(void *area)
{
	SpinLockInit((slock_t *) area);
}

void *
shared_locked_area(const char *name, Size size)
{
	bool own;

	return shared_area(name, size, initialize_lock, &own);
}

static Shared *
get_shared(void)
{
	if (shared == NULL)
		shared = shared_area("bert", sizeof(Shared), initialize, &is_private);
	return shared;
}

bool
shared_is_verified(uint64 fingerprint)
{
	pg_atomic_uint64 *bucket = get_shared()->verified[fingerprint % VERIFIED_BUCKETS];

	for (int i = 0; i < VERIFIED_WAYS; i++)
		if (pg_atomic_read_u64(&bucket[i]) == fingerprint)
			return true;
	return false;
}

void
shared_set_verified(uint64 fingerprint)
{
	pg_atomic_uint64 *bucket = get_shared()->verified[fingerprint % VERIFIED_BUCKETS];

	if (shared_is_verified(fingerprint))
		return;
	for (int i = VERIFIED_WAYS - 1; i > 0; i--)
		pg_atomic_write_u64(&bucket[i], pg_atomic_read_u64(&bucket[i - 1]));
	pg_atomic_write_u64(&bucket[0], fingerprint);
}

/* Slots as they are at one moment: nothing may be allocated under the lock. */
static void *
copy_slots(Shared *area, const void *slots, Size size)
{
	void *copy = palloc(size);

	SpinLockAcquire(&area->lock);
	memcpy(copy, slots, size);
	SpinLockRelease(&area->lock);
	return copy;
}

int
running_call_begin(uint32 segment, Oid role)
{
	Shared *area = get_shared();
	int slot = -1;

	SpinLockAcquire(&area->lock);
	for (int i = 0; i < CALL_SLOTS && slot < 0; i++)
		if (area->calls[i].pid == 0)
		{
			area->calls[i] = (RunningCall){MyProcPid, MyDatabaseId, segment, role, 0, 0};
			slot = i;
		}
	SpinLockRelease(&area->lock);
	return slot;
}

void
running_call_end(int slot)
{
	Shared *area = get_shared();

	if (slot < 0)
		return;
	SpinLockAcquire(&area->lock);
	area->calls[slot].pid = 0;
	SpinLockRelease(&area->lock);
}

void
running_call_want(int slot, int wanted)
{
	Shared *area = get_shared();

	if (slot < 0)
		return;
	SpinLockAcquire(&area->lock);
	area->calls[slot].wanted = wanted;
	SpinLockRelease(&area->lock);
}

/* Workers of all calls, and of a role's; what a role may have while others want some too. */
typedef struct WorkerCount
{
	int total;
	int role_total;
	int share;
	bool others_wait;
} WorkerCount;

/* Under the lock. */
static WorkerCount
count_workers(const Shared *area, Oid role, int limit)
{
	WorkerCount count = {0};
	int n_roles = 0;

	for (int i = 0; i < CALL_SLOTS; i++)
	{
		const RunningCall *call = &area->calls[i];
		bool known = false;

		if (call->pid == 0)
			continue;
		count.total += call->workers;
		if (call->role == role)
			count.role_total += call->workers;
		else
			count.others_wait = count.others_wait || call->workers < call->wanted;
		for (int j = 0; j < i && !known; j++)
			known = area->calls[j].pid != 0 && area->calls[j].wanted > 0 &&
					area->calls[j].role == call->role;
		n_roles += call->wanted > 0 && !known;
	}
	count.share = (limit + Max(n_roles, 1) - 1) / Max(n_roles, 1);
	return count;
}

bool
running_call_take_worker(int slot, int limit)
{
	Shared *area = get_shared();
	WorkerCount count;
	bool taken;

	if (slot < 0)
		return false;
	SpinLockAcquire(&area->lock);
	count = count_workers(area, area->calls[slot].role, limit);
	taken = area->calls[slot].workers < area->calls[slot].wanted && count.total < limit &&
			count.role_total < count.share;
	if (taken)
		area->calls[slot].workers++;
	SpinLockRelease(&area->lock);
	return taken;
}

void
running_call_return_worker(int slot, int caller)
{
	Shared *area = get_shared();

	SpinLockAcquire(&area->lock);
	if (slot >= 0 && area->calls[slot].pid == caller)
		area->calls[slot].workers--;
	SpinLockRelease(&area->lock);
}

bool
running_call_has_too_many(int slot, int limit)
{
	Shared *area = get_shared();
	WorkerCount count;

	if (slot < 0)
		return false;
	SpinLockAcquire(&area->lock);
	count = count_workers(area, area->calls[slot].role, limit);
	SpinLockRelease(&area->lock);
	return count.total > limit ||
		   (count.total == limit && count.others_wait && count.role_total > count.share);
}

List *
running_call_list(void)
{
	Shared *area = get_shared();
	RunningCall *copy = copy_slots(area, area->calls, sizeof area->calls);
	List *result = NIL;

	for (int i = 0; i < CALL_SLOTS; i++)
		if (copy[i].pid != 0 && copy[i].database == MyDatabaseId)
			result = lappend(result, &copy[i]);
	return result;
}

/* Under the lock. */
static WorkerSlot *
find_worker(Shared *area, Oid database, Oid session, Oid role)
{
	for (int i = 0; i < WORKER_SLOTS; i++)
		if (area->workers[i].database == database && area->workers[i].session == session &&
			area->workers[i].role == role)
			return &area->workers[i];
	return NULL;
}

static WorkerSlot *
add_worker(Shared *area, Oid session, Oid role, int pid, TimestampTz now)
{
	for (int i = 0; i < WORKER_SLOTS; i++)
		if (!OidIsValid(area->workers[i].database))
		{
			area->workers[i] = (WorkerSlot){MyDatabaseId, session, role, pid, false, now};
			return &area->workers[i];
		}
	return NULL; /* it works without */
}

static bool
worker_wanted(Oid session, Oid role, int *pid)
{
	Shared *area = get_shared();
	TimestampTz now = GetCurrentTimestamp();
	WorkerSlot *slot;
	bool wanted = true;

	*pid = 0;
	if (is_private)
		return true;
	SpinLockAcquire(&area->lock);
	slot = find_worker(area, MyDatabaseId, session, role);
	if (slot == NULL)
		(void) add_worker(area, session, role, 0, now);
	else if (slot->pid == 0 && now - slot->started > WORKER_START_MS * INT64CONST(1000))
		slot->started = now;
	else
	{
		slot->again = true;
		*pid = slot->pid;
		wanted = false;
	}
	SpinLockRelease(&area->lock);
	return wanted;
}

static void
worker_arrive(Oid session, Oid role)
{
	Shared *area = get_shared();
	TimestampTz now = GetCurrentTimestamp();
	WorkerSlot *slot;

	SpinLockAcquire(&area->lock);
	slot = find_worker(area, MyDatabaseId, session, role);
	if (slot == NULL)
		(void) add_worker(area, session, role, MyProcPid, now);
	else if (slot->pid == 0)
		slot->pid = MyProcPid;
	SpinLockRelease(&area->lock);
}

static bool
worker_leave(Oid session, Oid role)
{
	Shared *area = get_shared();
	WorkerSlot *slot;
	bool again = false;

	SpinLockAcquire(&area->lock);
	slot = find_worker(area, MyDatabaseId, session, role);
	if (slot != NULL && slot->pid == MyProcPid)
	{
		again = slot->again;
		slot->again = false;
		if (!again)
			slot->database = InvalidOid;
	}
	SpinLockRelease(&area->lock);
	return !again;
}

static void
worker_gone(Oid database, Oid session, Oid role)
{
	Shared *area = get_shared();
	WorkerSlot *slot;

	SpinLockAcquire(&area->lock);
	slot = find_worker(area, database, session, role);
	if (slot != NULL && (slot->pid == 0 || slot->pid == MyProcPid))
		slot->database = InvalidOid;
	SpinLockRelease(&area->lock);
}

bool
auto_worker_wanted(Oid role, int *pid)
{
	return worker_wanted(InvalidOid, role, pid);
}

void
auto_worker_arrive(Oid role)
{
	worker_arrive(InvalidOid, role);
}

bool
auto_worker_leave(Oid role)
{
	return worker_leave(InvalidOid, role);
}

void
auto_worker_gone(Oid database, Oid role)
{
	worker_gone(database, InvalidOid, role);
}

bool
job_worker_wanted(Oid session, Oid role)
{
	int pid;

	return worker_wanted(session, role, &pid);
}

void
job_worker_arrive(Oid session, Oid role)
{
	worker_arrive(session, role);
}

bool
job_worker_leave(Oid session, Oid role)
{
	return worker_leave(session, role);
}

void
job_worker_gone(Oid database, Oid session, Oid role)
{
	worker_gone(database, session, role);
}

void
job_waits_note(Oid database)
{
	Shared *area = get_shared();
	int at = -1;

	SpinLockAcquire(&area->lock);
	for (int i = 0; i < JOB_MAX_WAITING && (at < 0 || area->waiting[at] != database); i++)
		if (area->waiting[i] == database || (at < 0 && !OidIsValid(area->waiting[i])))
			at = i;
	if (at >= 0)
		area->waiting[at] = database;
	SpinLockRelease(&area->lock);
}

int
job_waits_take(Oid *databases)
{
	Shared *area = get_shared();
	int n = 0;

	SpinLockAcquire(&area->lock);
	for (int i = 0; i < JOB_MAX_WAITING; i++)
		if (OidIsValid(area->waiting[i]))
		{
			databases[n++] = area->waiting[i];
			area->waiting[i] = InvalidOid;
		}
	SpinLockRelease(&area->lock);
	return n;
}

void
shared_attach(void)
{
	(void) get_shared();
}

static void
request(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(
		add_size(MAXALIGN(sizeof(Shared)), add_size(stats_size(), progress_size())));
}

void
shared_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request;
}
