/*
 * silence.c: how long a backend looks at no interrupts, as a library for bench/cancel to LOAD.
 *
 * A timer of the process's own processor time (user and system) raises PostgreSQL's flag for
 * interrupts, with no interrupt behind it, every three milliseconds; whoever looks at interrupts
 * takes the flag down and goes on. As long as it stays up a cancel would have waited. So one run of
 * a statement tells what cancels at all of its moments would have had to wait for.
 *
 *   silence_begin() → void
 *   silence_end(OUT p99 float8, OUT longest float8, OUT total float8)
 *
 *   silence_where() → text
 *
 * p99: what 99 of 100 moments would have waited for at most; longest: the worst one; total: the
 * processor time since silence_begin. All in ms; silences below three are not seen. silence_where:
 * the functions that were running, innermost first, in the middle of the longest one; those without
 * a name are the library and a number.
 */
#include "postgres.h"

#include <execinfo.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

#define TICK_US 3000
#define MAX_MS 10000

/*
 * How many silences there were by their length, in ms and rounded up by two ticks; the last also
 * has all that were longer.
 */
static volatile int silences[MAX_MS + 1];
static volatile bool raised;
static volatile double raised_at; /* ms of processor time */
static volatile double last_up;   /* when it was seen up last, or raised */
static double begun_at;

#define MAX_FRAMES 24
#define HANDLER_FRAMES 2 /* tick and the return from the signal */
#define MAX_STACKS 256

/* What was running at the ticks of a silence. */
typedef struct Stacks
{
	double length; /* ms */
	int n;
	int depth[MAX_STACKS];
	void *frames[MAX_STACKS][MAX_FRAMES];
} Stacks;

static Stacks stacks[2];
static int now_filled; /* of the silence that goes on; the other one is the longest's */

static double
processor_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double) now.tv_sec * 1e3 + (double) now.tv_nsec / 1e6;
}

/* Notes a silence that is over: the flag was taken down after the last tick. */
static void
note_end(void)
{
	if (!raised || InterruptPending)
		return;
	if (last_up > raised_at)
		silences[(int) Min(last_up - raised_at + 2 * TICK_US / 1000, MAX_MS)]++;
	raised = false;
	if (stacks[now_filled].length > stacks[!now_filled].length)
		now_filled = !now_filled;
	stacks[now_filled].n = 0;
	stacks[now_filled].length = 0;
}

static void
tick(int number)
{
	int saved = errno;
	double now = processor_ms();
	Stacks *filled;

	(void) number;
	note_end();
	filled = &stacks[now_filled];
	if (raised && filled->n < MAX_STACKS)
	{
		filled->length = now - raised_at;
		filled->depth[filled->n] = backtrace(filled->frames[filled->n], MAX_FRAMES);
		filled->n++;
	}
	if (!raised)
	{
		raised = true;
		raised_at = now;
		InterruptPending = true;
	}
	last_up = now;
	errno = saved;
}

static void
set_timer(int microseconds)
{
	struct itimerval timer = {{0, microseconds}, {0, microseconds}};

	if (setitimer(ITIMER_PROF, &timer, NULL) != 0)
		elog(ERROR, "setitimer failed: %m");
}

PG_FUNCTION_INFO_V1(silence_begin);
Datum
silence_begin(PG_FUNCTION_ARGS)
{
	struct sigaction action = {0};

	memset((void *) silences, 0, sizeof silences);
	raised = false;
	memset(stacks, 0, sizeof stacks);
	/* the first call loads a library, which a signal's handler may not */
	(void) backtrace(stacks[0].frames[0], MAX_FRAMES);
	action.sa_handler = tick;
	action.sa_flags = SA_RESTART;
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGPROF, &action, NULL) != 0)
		elog(ERROR, "sigaction failed: %m");
	begun_at = processor_ms();
	set_timer(TICK_US);
	PG_RETURN_VOID();
}

/* The share of moments whose cancel waits for more than this many ms. */
static double
share_above(int wait, double total)
{
	double above = 0;

	for (int length = wait + 1; length <= MAX_MS; length++)
		above += (double) silences[length] * (length - wait);
	return above / total;
}

PG_FUNCTION_INFO_V1(silence_end);
Datum
silence_end(PG_FUNCTION_ARGS)
{
	double total = processor_ms() - begun_at;
	TupleDesc tupdesc;
	Datum values[3];
	bool nulls[3] = {false};
	int p99 = 0;
	int longest = MAX_MS;

	set_timer(0);
	note_end();
	while (p99 < MAX_MS && share_above(p99, total) > 0.01)
		p99++;
	while (longest > 0 && silences[longest] == 0)
		longest--;
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "silence_end returns a row");
	values[0] = Float8GetDatum((double) p99);
	values[1] = Float8GetDatum((double) longest);
	values[2] = Float8GetDatum(total);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}

PG_FUNCTION_INFO_V1(silence_where);
Datum
silence_where(PG_FUNCTION_ARGS)
{
	const Stacks *longest = &stacks[!now_filled];
	int middle = longest->n / 2;
	int depth = longest->depth[middle];
	char **names = backtrace_symbols(longest->frames[middle], depth);
	StringInfoData text;

	(void) fcinfo;
	initStringInfo(&text);
	for (int i = HANDLER_FRAMES; names != NULL && i < depth; i++)
	{
		/* library(function+offset) [address]; the server's own name is its process's title */
		const char *open = strrchr(names[i], '(');
		const char *slash = strrchr(names[i], '/');
		const char *library = slash == NULL ? "postgres" : slash + 1;

		if (open == NULL)
			continue;
		appendStringInfoString(&text, text.len > 0 ? " < " : "");
		if (open[1] == '+' || open[1] == ')')
			appendStringInfo(&text, "%.*s", (int) strcspn(library, "("), library);
		appendStringInfo(&text, "%.*s", (int) strcspn(open + 1, open[1] == '+' ? ")" : "+)"),
						 open + 1);
	}
	free(names);
	PG_RETURN_TEXT_P(cstring_to_text(text.data));
}
