/* progress.c: how far long statements are, in shared memory. */
#include "pg/server/compat.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

#include "core/note.h"
#include "pg/server/memory.h"
#include "pg/server/progress.h"
#include "pg/server/shared.h"

#define SLOTS 64
#define LEVELS 8
#define TELL_MS 100
#define ASKS_A_LOOK 8 /* questions between two looks at the clock */

typedef struct Area
{
	slock_t lock; /* first: see shared_locked_area */
	ProgressRow rows[SLOTS];
} Area;

/* What this backend does, the outermost first. */
typedef struct Level
{
	const char *function; /* NULL: an aside */
	const char *model;
	const char *phase;
	const char *unit;
	int64 done;
	int64 before; /* see progress_follow; -1: notes are not counted */
	int64 total;
	int nesting; /* of transactions */
	Oid role;
	instr_time started;
	instr_time phase_started;
} Level;

static Area *area;
static Level levels[LEVELS];
static int depth; /* may be more than LEVELS: those are not shown */
static int slot = -1;
static instr_time told;
static unsigned int asks;

Size
progress_size(void)
{
	return MAXALIGN(sizeof(Area));
}

static Area *
get_area(void)
{
	if (area == NULL)
		area = shared_locked_area("bert progress", sizeof(Area));
	return area;
}

static double
ms_since(instr_time then, instr_time now)
{
	INSTR_TIME_SUBTRACT(now, then);
	return INSTR_TIME_GET_MILLISEC(now);
}

/* --- What others see --- */

static void
hide(void)
{
	if (slot < 0)
		return;
	SpinLockAcquire(&area->lock);
	area->rows[slot].pid = 0;
	SpinLockRelease(&area->lock);
	slot = -1;
}

/* The first free one; under the lock. */
static int
find_slot(void)
{
	for (int i = 0; i < SLOTS; i++)
		if (area->rows[i].pid == 0)
			return i;
	return -1;
}

/* The level whose phase is shown: the last aside, or the outermost. */
static const Level *
shown_level(void)
{
	int i = Min(depth, LEVELS) - 1;

	while (i > 0 && levels[i].function != NULL)
		i--;
	return &levels[i];
}

static void
tell(instr_time now)
{
	const Level *level = shown_level();
	TimestampTz time = GetCurrentTimestamp();
	ProgressRow row = {.pid = MyProcPid,
					   .database = MyDatabaseId,
					   .role = levels[0].role,
					   .done = level->done,
					   .total = level->total};

	strlcpy(row.function, levels[0].function != NULL ? levels[0].function : "first use",
			sizeof row.function);
	if (levels[0].model != NULL || level->model != NULL)
		strlcpy(row.model, levels[0].model != NULL ? levels[0].model : level->model,
				sizeof row.model);
	if (level->phase != NULL)
		strlcpy(row.phase, level->phase, sizeof row.phase);
	if (level->unit != NULL)
		strlcpy(row.unit, level->unit, sizeof row.unit);
	row.started = time - (TimestampTz) (ms_since(levels[0].started, now) * 1000.0);
	row.phase_started = time - (TimestampTz) (ms_since(level->phase_started, now) * 1000.0);
	told = now;
	SpinLockAcquire(&area->lock);
	if (slot < 0)
		slot = find_slot();
	if (slot >= 0)
		area->rows[slot] = row;
	SpinLockRelease(&area->lock);
}

static void
look_at_clock(void)
{
	instr_time now;

	if (depth == 0)
		return;
	INSTR_TIME_SET_CURRENT(now);
	if (ms_since(slot < 0 ? levels[0].started : told, now) >= TELL_MS)
		tell(now);
}

void
progress_tell(void)
{
	if (depth > 0 && ++asks % ASKS_A_LOOK == 0)
		look_at_clock();
}

List *
progress_list(void)
{
	ProgressRow *copy = palloc(sizeof area->rows);
	List *result = NIL;

	(void) get_area();
	SpinLockAcquire(&area->lock);
	memcpy(copy, area->rows, sizeof area->rows);
	SpinLockRelease(&area->lock);
	for (int i = 0; i < SLOTS; i++)
		if (copy[i].pid != 0 && copy[i].database == MyDatabaseId &&
			BackendPidGetProc(copy[i].pid) != NULL)
			result = lappend(result, &copy[i]);
	return result;
}

/* --- What this backend does --- */

static void
cut_to(int n)
{
	depth = n;
	if (depth == 0)
		hide();
}

static void
at_transaction_end(XactEvent event, void *context)
{
	cut_to(0);
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId sub, SubTransactionId parent,
					  void *context)
{
	int nesting = GetCurrentTransactionNestLevel();
	int n = depth;

	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (n > 0 && (n > LEVELS || levels[n - 1].nesting >= nesting))
		n--;
	cut_to(n);
}

/* The one begun last. */
static Level *
top(void)
{
	static Level none;

	return depth == 0 || depth > LEVELS ? &none : &levels[depth - 1];
}

static void
hear(size_t done)
{
	if (top()->before >= 0)
		progress_set(top()->before + (int64) done);
}

static instr_time
push(const char *function, const char *model)
{
	static bool watched;
	instr_time now;

	if (!watched)
	{
		(void) get_area();
		note_listen(&backend_may_continue, hear);
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		watched = true;
	}
	INSTR_TIME_SET_CURRENT(now);
	if (depth < LEVELS)
	{
		Level *level = &levels[depth];

		*level = (Level){.function = function,
						 .model = model,
						 .before = -1,
						 .total = -1,
						 .nesting = GetCurrentTransactionNestLevel(),
						 .role = GetUserId()};
		level->started = level->phase_started = now;
	}
	depth++;
	return now;
}

instr_time
progress_begin(const char *function, const char *model)
{
	return push(function, model);
}

void
progress_begin_aside(const char *model)
{
	(void) push(NULL, model);
}

void
progress_end(void)
{
	if (depth > 0)
		cut_to(depth - 1);
}

void
progress_name(const char *function, const char *model)
{
	top()->function = function;
	top()->model = model;
}

void
progress_phase(const char *phase, const char *unit, int64 total)
{
	Level *level = top();

	level->phase = phase;
	level->unit = unit;
	level->done = 0;
	level->before = -1;
	level->total = total;
	if (depth == 1 && slot < 0)
		return; /* a short call's phases need no clock */
	INSTR_TIME_SET_CURRENT(level->phase_started);
}

void
progress_add(int64 n)
{
	top()->done += n;
	look_at_clock();
}

void
progress_set(int64 done)
{
	top()->done = done;
	look_at_clock();
}

void
progress_follow(int64 before)
{
	top()->before = before;
}
