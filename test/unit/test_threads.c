/* test_threads.c: the pool runs every task once, takes no signals, and can be used again and again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "core/threads.h"

#define TASKS 1000

typedef struct Counts
{
	atomic_int runs[TASKS];
	atomic_int workers_outside; /* tasks told a worker number out of range */
	atomic_int unblocked;       /* tasks in a thread of the pool that would take SIGTERM */
	int threads;
} Counts;

static void
count_task(void *context, size_t task, int worker)
{
	Counts *counts = context;
	sigset_t mask;

	atomic_fetch_add(&counts->runs[task], 1);
	if (worker < 0 || worker >= counts->threads)
		atomic_fetch_add(&counts->workers_outside, 1);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	if (worker > 0 && !sigismember(&mask, SIGTERM))
		atomic_fetch_add(&counts->unblocked, 1);
}

static void
test_runs(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 3, 7, TASKS};
	static Counts counts;

	(void) state;
	for (int threads = 1; threads <= 5; threads++)
	{
		Status status;
		ThreadPool *pool = threadpool_create(threads, &status);

		assert_non_null(pool);
		assert_int_equal(threadpool_size(pool), threads);
		for (int round = 0; round < 20; round++)
			for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
			{
				memset(&counts, 0, sizeof counts);
				counts.threads = threads;
				threadpool_run(pool, sizes[i], count_task, &counts);
				for (size_t task = 0; task < TASKS; task++)
					assert_int_equal(counts.runs[task], task < sizes[i]);
				assert_int_equal(counts.workers_outside, 0);
				assert_int_equal(counts.unblocked, 0);
			}
		threadpool_destroy(pool);
	}
}

static void
test_without_pool(void **state)
{
	static Counts counts;
	Status status;

	(void) state;
	memset(&counts, 0, sizeof counts);
	counts.threads = 1;
	assert_int_equal(threadpool_size(NULL), 1);
	threadpool_run(NULL, 10, count_task, &counts);
	for (size_t task = 0; task < TASKS; task++)
		assert_int_equal(counts.runs[task], task < 10);
	threadpool_destroy(NULL);
	assert_null(threadpool_create(0, &status));
	assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
	assert_null(threadpool_create(100000, &status));
	assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_without_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
