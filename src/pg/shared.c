/* shared.c: the shared memory of the extension. */
#include "pg/compat.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/memutils.h"

#include "pg/shared.h"

/* Verified files: a set of fingerprints in buckets of four. */
#define VERIFIED_BUCKETS 256
#define VERIFIED_WAYS 4

#define STATS_SLOTS 96
#define CALL_SLOTS 64

typedef struct StatsSlot
{
	Oid			database;		/* InvalidOid: free */
	uint64		last_use;		/* value of the clock; the oldest slot is given away */
	ModelStats	stats;
} StatsSlot;

typedef struct Shared
{
	slock_t		lock;			/* protects clock, slots and calls */
	uint64		clock;
	StatsSlot	slots[STATS_SLOTS];
	RunningCall calls[CALL_SLOTS];
	pg_atomic_uint64 verified[VERIFIED_BUCKETS][VERIFIED_WAYS];
} Shared;

static Shared *shared;
static shmem_request_hook_type previous_request_hook;

static void
initialize(Shared *area)
{
	memset(area, 0, sizeof *area);
	SpinLockInit(&area->lock);
	for (int i = 0; i < VERIFIED_BUCKETS; i++)
		for (int j = 0; j < VERIFIED_WAYS; j++)
			pg_atomic_init_u64(&area->verified[i][j], 0);
}

static Shared *
get_shared(void)
{
	MemoryContext context = CurrentMemoryContext;
	bool		found;

	if (shared != NULL)
		return shared;
	PG_TRY();
	{
		LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
		shared = ShmemInitStruct("bert", sizeof(Shared), &found);
		if (!found)
			initialize(shared);
		LWLockRelease(AddinShmemInitLock);
	}
	PG_CATCH();
	{
		/* The reserve is used up. */
		if (LWLockHeldByMe(AddinShmemInitLock))
			LWLockRelease(AddinShmemInitLock);
		MemoryContextSwitchTo(context);
		FlushErrorState();
		shared = MemoryContextAlloc(TopMemoryContext, sizeof(Shared));
		initialize(shared);
	}
	PG_END_TRY();
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

void
stats_count(const ModelHandle *handle, int64 texts, int64 tokens, int64 truncations, double ms)
{
	Shared	   *area = get_shared();
	StatsSlot  *slot = NULL;
	StatsSlot  *oldest = &area->slots[0];

	SpinLockAcquire(&area->lock);
	for (int i = 0; i < STATS_SLOTS && slot == NULL; i++)
	{
		if (area->slots[i].database == MyDatabaseId && strcmp(area->slots[i].stats.name, handle->name) == 0)
			slot = &area->slots[i];
		else if (area->slots[i].last_use < oldest->last_use)
			oldest = &area->slots[i];
	}
	if (slot == NULL)
	{
		slot = oldest;
		memset(slot, 0, sizeof *slot);
		slot->database = MyDatabaseId;
		strlcpy(slot->stats.name, handle->name, NAMEDATALEN);
	}
	slot->last_use = ++area->clock;
	slot->stats.calls++;
	slot->stats.texts += texts;
	slot->stats.tokens += tokens;
	slot->stats.truncations += truncations;
	slot->stats.ms += ms;
	SpinLockRelease(&area->lock);
}

List *
stats_list(void)
{
	Shared	   *area = get_shared();
	StatsSlot  *copy = palloc(sizeof area->slots);
	List	   *result = NIL;

	SpinLockAcquire(&area->lock);
	memcpy(copy, area->slots, sizeof area->slots);
	SpinLockRelease(&area->lock);
	for (int i = 0; i < STATS_SLOTS; i++)
		if (copy[i].database == MyDatabaseId)
			result = lappend(result, &copy[i].stats);
	return result;
}

int
running_call_begin(uint32 segment)
{
	Shared	   *area = get_shared();
	int			slot = -1;

	SpinLockAcquire(&area->lock);
	for (int i = 0; i < CALL_SLOTS && slot < 0; i++)
		if (area->calls[i].pid == 0)
		{
			area->calls[i] = (RunningCall) {MyProcPid, MyDatabaseId, segment};
			slot = i;
		}
	SpinLockRelease(&area->lock);
	return slot;
}

void
running_call_end(int slot)
{
	Shared	   *area = get_shared();

	if (slot < 0)
		return;
	SpinLockAcquire(&area->lock);
	area->calls[slot].pid = 0;
	SpinLockRelease(&area->lock);
}

List *
running_call_list(void)
{
	Shared	   *area = get_shared();
	RunningCall *copy = palloc(sizeof area->calls);
	List	   *result = NIL;

	SpinLockAcquire(&area->lock);
	memcpy(copy, area->calls, sizeof area->calls);
	SpinLockRelease(&area->lock);
	for (int i = 0; i < CALL_SLOTS; i++)
		if (copy[i].pid != 0 && copy[i].database == MyDatabaseId)
			result = lappend(result, &copy[i]);
	return result;
}

static void
request(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(sizeof(Shared));
}

void
shared_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request;
}
