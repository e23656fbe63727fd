/*
 * cache_pages.h: how prepared files are mapped.
 *
 * Large pages: weights are read in full for every text, and with pages of 4 kB the processor's
 * walks through the page tables and the prefetching that ends with each page cost up to a third of
 * the speed (docs/performance). File systems with large folios (XFS; ext4 from Linux 6.16) give
 * them when a file is written in whole aligned pieces, or read in through a mapping that asks for
 * them; tmpfs, from Linux 6.1, when it is told to put pages together. Elsewhere nothing of this
 * does harm.
 */
#ifndef BERT_PG_MODEL_CACHE_PAGES_H
#define BERT_PG_MODEL_CACHE_PAGES_H

#define LARGE_PAGE ((size_t) 2 * 1024 * 1024)

/*
 * Maps the open file at the address given, or anywhere, at a boundary of large pages if it has
 * some. MAP_FAILED: see errno.
 */
extern void *cache_map(int fd, void *address, size_t length);

/*
 * Has the file, which nobody has open for writing, read into memory in large pages, or its pages
 * there put together to large ones. A file that is cut meanwhile is an error here, not a signal.
 */
extern void cache_read_in(int fd, size_t length);

#endif
