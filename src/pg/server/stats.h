/*
 * stats.h: the counters of bert.stats, of each model and function of a database, in shared memory.
 *
 * A backend adds up what it counts and hands it over at the end of its transaction, when a second
 * has passed, or when somebody in it looks: a function that is called for a million rows, all of
 * them remembered, is to take no lock a million times. They begin at zero with the server.
 */
#ifndef BERT_PG_SERVER_STATS_H
#define BERT_PG_SERVER_STATS_H

#include "nodes/pg_list.h"

/*
 * Histograms. Lengths: texts that were computed, by tokens, up to 8, 16, 32, ... and those above
 * the last limit. Times: calls, by milliseconds, up to 0.1, 1, 10, ... and those above.
 */
#define STATS_LENGTHS 9
#define STATS_TIMES 7
extern const double stats_length_limits[STATS_LENGTHS - 1]; /* tokens */
extern const double stats_time_limits[STATS_TIMES - 1];     /* milliseconds */

#define STATS_FUNCTION_BYTES 24

typedef struct Stats
{
	char model[NAMEDATALEN];
	char function[STATS_FUNCTION_BYTES];
	int64 calls;
	int64 texts;
	int64 cached;       /* texts whose result was remembered */
	int64 deduplicated; /* texts equal to another one of their group */
	int64 tokens;       /* computed */
	int64 truncations;
	double ms;
	int64 lengths[STATS_LENGTHS];
	int64 times[STATS_TIMES];
} Stats;

/* The place of a computed text's length in Stats.lengths. */
extern int stats_length_place(int64 tokens);

/* Adds what is in `more`, of one call: all but times, which follow from ms. */
extern void stats_count(const Stats *more);

extern List *stats_list(void); /* of Stats *: copies of this database's */
extern void stats_reset(void); /* this database's */

extern Size stats_size(void);

#endif
