/* stats.c: counters of models and functions. */
#include "pg/server/compat.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "pg/server/shared.h"
#include "pg/server/stats.h"

#define SLOTS 128
#define PENDING 8
#define FLUSH_MS 1000

const double stats_length_limits[STATS_LENGTHS - 1] = {8, 16, 32, 64, 128, 256, 512, 1024};
const double stats_time_limits[STATS_TIMES - 1] = {0.1, 1, 10, 100, 1000, 10000};

typedef struct Slot
{
	Oid database;    /* InvalidOid: free */
	Oid role;        /* who uses the model; InvalidOid: several */
	uint64 last_use; /* value of the clock */
	Stats stats;
} Slot;

typedef struct Area
{
	slock_t lock; /* first: see shared_locked_area */
	uint64 clock;
	Slot slots[SLOTS];
} Area;

static Area *area;

/* What this backend has counted since it last handed it over. */
static Slot pending[PENDING];
static int n_pending;
static TimestampTz last_flush;

Size
stats_size(void)
{
	return MAXALIGN(sizeof(Area));
}

static Area *
get_area(void)
{
	if (area == NULL)
		area = shared_locked_area("bert stats", sizeof(Area));
	return area;
}

static bool
is_of(const Slot *slot, Oid database, const Stats *stats)
{
	return slot->database == database && strcmp(slot->stats.model, stats->model) == 0 &&
		   strcmp(slot->stats.function, stats->function) == 0;
}

static void
add(Stats *to, const Stats *more)
{
	to->calls += more->calls;
	to->texts += more->texts;
	to->cached += more->cached;
	to->deduplicated += more->deduplicated;
	to->tokens += more->tokens;
	to->truncations += more->truncations;
	to->ms += more->ms;
	for (int i = 0; i < STATS_LENGTHS; i++)
		to->lengths[i] += more->lengths[i];
	for (int i = 0; i < STATS_TIMES; i++)
		to->times[i] += more->times[i];
}

/*
 * A free slot, or the oldest one of the role that has most: who uses many models pushes out his own
 * rows. Models that several use count as one more role's. Under the lock.
 */
static Slot *
find_victim(void)
{
	Slot *victim = NULL;
	int victim_count = 0;

	for (int i = 0; i < SLOTS; i++)
	{
		Slot *slot = &area->slots[i];
		int count = 0;

		if (!OidIsValid(slot->database))
			return slot;
		for (int j = 0; j < SLOTS; j++)
			count += area->slots[j].role == slot->role;
		if (count > victim_count || (count == victim_count && slot->last_use < victim->last_use))
		{
			victim = slot;
			victim_count = count;
		}
	}
	return victim;
}

/* Under the lock. */
static void
hand_over(const Slot *counted)
{
	Slot *slot = NULL;

	for (int i = 0; i < SLOTS && slot == NULL; i++)
		if (is_of(&area->slots[i], counted->database, &counted->stats))
			slot = &area->slots[i];
	if (slot == NULL)
	{
		slot = find_victim();
		memset(slot, 0, sizeof *slot);
		slot->database = counted->database;
		slot->role = counted->role;
		strcpy(slot->stats.model, counted->stats.model);
		strcpy(slot->stats.function, counted->stats.function);
	}
	if (slot->role != counted->role)
		slot->role = InvalidOid;
	slot->last_use = ++area->clock;
	add(&slot->stats, &counted->stats);
}

static void
flush(void)
{
	if (n_pending == 0)
		return;
	SpinLockAcquire(&area->lock);
	for (int i = 0; i < n_pending; i++)
		hand_over(&pending[i]);
	SpinLockRelease(&area->lock);
	n_pending = 0;
}

static void
flush_at_end(XactEvent event, void *arg)
{
	flush();
}

/* The pending counters of model and function. */
static Slot *
find_pending(const Stats *stats, Oid role)
{
	static bool registered;
	Slot *slot;

	for (int i = 0; i < n_pending; i++)
		if (pending[i].role == role && is_of(&pending[i], MyDatabaseId, stats))
			return &pending[i];
	if (!registered)
	{
		(void) get_area(); /* which may fail */
		RegisterXactCallback(flush_at_end, NULL);
		registered = true;
	}
	if (n_pending == PENDING)
		flush();
	slot = &pending[n_pending++];
	memset(slot, 0, sizeof *slot);
	slot->database = MyDatabaseId;
	slot->role = role;
	strlcpy(slot->stats.model, stats->model, sizeof slot->stats.model);
	strlcpy(slot->stats.function, stats->function, sizeof slot->stats.function);
	return slot;
}

static int
place(const double *limits, int n, double value)
{
	int i = 0;

	while (i < n && value > limits[i])
		i++;
	return i;
}

int
stats_length_place(int64 tokens)
{
	return place(stats_length_limits, lengthof(stats_length_limits), (double) tokens);
}

void
stats_count(const Stats *more)
{
	Slot *slot = find_pending(more, GetUserId());
	TimestampTz now;

	add(&slot->stats, more);
	if (more->calls > 0)
		slot->stats.times[place(stats_time_limits, lengthof(stats_time_limits), more->ms)]++;
	now = GetCurrentTimestamp();
	if (!IsTransactionState() || TimestampDifferenceExceeds(last_flush, now, FLUSH_MS))
	{
		flush();
		last_flush = now;
	}
}

List *
stats_list(void)
{
	Slot *copy = palloc(sizeof area->slots);
	List *result = NIL;

	(void) get_area();
	flush();
	SpinLockAcquire(&area->lock);
	memcpy(copy, area->slots, sizeof area->slots);
	SpinLockRelease(&area->lock);
	for (int i = 0; i < SLOTS; i++)
		if (copy[i].database == MyDatabaseId)
			result = lappend(result, &copy[i].stats);
	return result;
}

void
stats_reset(void)
{
	(void) get_area();
	n_pending = 0;
	SpinLockAcquire(&area->lock);
	for (int i = 0; i < SLOTS; i++)
		if (area->slots[i].database == MyDatabaseId)
			memset(&area->slots[i], 0, sizeof area->slots[i]);
	SpinLockRelease(&area->lock);
}
