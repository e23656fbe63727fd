/*
 * threads.c: a fixed set of threads around one shared task counter.
 *
 * A run publishes (task, context, count), raises the generation and wakes the threads; every
 * thread, the caller included, takes the next index until there is none. The caller returns when
 * all indices have been finished.
 */
#include "core/threads.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#define MAX_THREADS 1024

typedef struct Worker
{
	ThreadPool *pool;
	pthread_t thread;
	int number; /* 1 .. threads-1; the caller is 0 */
} Worker;

struct ThreadPool
{
	int threads;
	int started; /* threads created, the caller not counted */
	Worker *workers;
	pthread_mutex_t mutex;
	pthread_cond_t work; /* a new generation, or the end */
	pthread_cond_t idle; /* the last thread left the run */
	unsigned long generation;
	int inside; /* threads that have not left the current run */
	bool ending;
	ThreadTask task;
	void *context;
	size_t tasks;
	atomic_size_t next;
};

static void
take_tasks(ThreadPool *pool, int worker)
{
	for (;;)
	{
		size_t task = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);

		if (task >= pool->tasks)
			return;
		pool->task(pool->context, task, worker);
	}
}

static void *
thread_main(void *argument)
{
	Worker *worker = argument;
	ThreadPool *pool = worker->pool;
	unsigned long seen = 0;

	pthread_mutex_lock(&pool->mutex);
	for (;;)
	{
		while (pool->generation == seen && !pool->ending)
			pthread_cond_wait(&pool->work, &pool->mutex);
		if (pool->ending)
			break;
		seen = pool->generation;
		pthread_mutex_unlock(&pool->mutex);
		take_tasks(pool, worker->number);
		pthread_mutex_lock(&pool->mutex);
		if (--pool->inside == 0)
			pthread_cond_signal(&pool->idle);
	}
	pthread_mutex_unlock(&pool->mutex);
	return NULL;
}

/* Threads inherit the mask of their creator, so all signals are blocked around the creation. */
static bool
start_threads(ThreadPool *pool)
{
	sigset_t all;
	sigset_t saved;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	for (; pool->started < pool->threads - 1; pool->started++)
	{
		Worker *worker = &pool->workers[pool->started];

		worker->pool = pool;
		worker->number = pool->started + 1;
		if (pthread_create(&worker->thread, NULL, thread_main, worker) != 0)
			break;
	}
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	return pool->started == pool->threads - 1;
}

ThreadPool *
threadpool_create(int threads, Status *status)
{
	ThreadPool *pool;

	if (threads < 1 || threads > MAX_THREADS)
	{
		status_fail(status, STATUS_INVALID_ARGUMENT,
					"the number of threads is %d; it must be between 1 and %d", threads,
					MAX_THREADS);
		return NULL;
	}
	pool = calloc(1, sizeof *pool);
	if (pool == NULL || (pool->workers = calloc((size_t) threads, sizeof *pool->workers)) == NULL)
	{
		free(pool);
		status_fail(status, STATUS_OUT_OF_MEMORY, "out of memory for %d threads", threads);
		return NULL;
	}
	pool->threads = threads;
	pthread_mutex_init(&pool->mutex, NULL);
	pthread_cond_init(&pool->work, NULL);
	pthread_cond_init(&pool->idle, NULL);
	if (!start_threads(pool))
	{
		status_fail(status, STATUS_LIMIT, "could not start thread %d of %d", pool->started + 2,
					threads);
		threadpool_destroy(pool);
		return NULL;
	}
	return pool;
}

int
threadpool_size(const ThreadPool *pool)
{
	return pool == NULL ? 1 : pool->threads;
}

void
threadpool_run(ThreadPool *pool, size_t tasks, ThreadTask task, void *context)
{
	if (pool == NULL || pool->threads == 1 || tasks <= 1)
	{
		for (size_t i = 0; i < tasks; i++)
			task(context, i, 0);
		return;
	}
	pthread_mutex_lock(&pool->mutex);
	pool->task = task;
	pool->context = context;
	pool->tasks = tasks;
	atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
	pool->inside = pool->started;
	pool->generation++;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->mutex);
	take_tasks(pool, 0);
	pthread_mutex_lock(&pool->mutex);
	while (pool->inside > 0)
		pthread_cond_wait(&pool->idle, &pool->mutex);
	pthread_mutex_unlock(&pool->mutex);
}

void
threadpool_destroy(ThreadPool *pool)
{
	if (pool == NULL)
		return;
	pthread_mutex_lock(&pool->mutex);
	pool->ending = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->mutex);
	for (int i = 0; i < pool->started; i++)
		pthread_join(pool->workers[i].thread, NULL);
	pthread_mutex_destroy(&pool->mutex);
	pthread_cond_destroy(&pool->work);
	pthread_cond_destroy(&pool->idle);
	free(pool->workers);
	free(pool);
}
