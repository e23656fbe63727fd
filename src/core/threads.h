/*
 * threads.h: the thread pool of training workers, and of bert.mine_negatives while it computes. No
 * other backend creates one.
 *
 * Threads are started with all signals blocked and call nothing of PostgreSQL. Work is split by
 * index, so what a task computes does not depend on which thread runs it; callers keep reduction
 * order fixed by task index.
 */
#ifndef BERT_CORE_THREADS_H
#define BERT_CORE_THREADS_H

#include <stddef.h>

#include "core/status.h"

typedef struct ThreadPool ThreadPool;

/* task: 0 .. tasks-1; worker: 0 .. threads-1, for scratch memory of one's own. */
typedef void (*ThreadTask)(void *context, size_t task, int worker);

/*
 * threads >= 1, the caller's own included: a pool of 1 starts none. NULL and *status on failure.
 */
ThreadPool *threadpool_create(int threads, Status *status);
int threadpool_size(const ThreadPool *pool); /* 1 for NULL */

/*
 * Runs all tasks and returns when the last has ended; the calling thread takes part. pool may be
 * NULL (serial).
 */
void threadpool_run(ThreadPool *pool, size_t tasks, ThreadTask task, void *context);

/* Joins all threads. NULL is allowed. */
void threadpool_destroy(ThreadPool *pool);

#endif
