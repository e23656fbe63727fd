/*
 * large.h: weights and work memory in large pages where the kernel gives them, as prepared files
 * (src/pg/model/cache_pages.c) and the server's arenas (src/pg/server/memory.c) have them: the
 * program starts itself once more, with glibc's malloc told to ask for such pages.
 */
#ifndef BERT_BENCH_LARGE_H
#define BERT_BENCH_LARGE_H

#include <stdlib.h>
#include <unistd.h>

static void
use_large_pages(char **argv)
{
#ifdef __GLIBC__
	if (setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", 0) == 0 &&
		getenv("BERT_BENCH_LARGE_PAGES") == NULL && setenv("BERT_BENCH_LARGE_PAGES", "1", 1) == 0)
		execv("/proc/self/exe", argv);
#else
	(void) argv;
#endif
}

#endif
