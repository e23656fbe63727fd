/* cache_pages.c: prepared files mapped and read in, in large pages where Linux has them. */
#include "pg/server/compat.h"

#include <sys/mman.h>
#include <unistd.h>

#include "pg/model/cache_pages.h"

#if defined(__linux__) && !defined(MADV_COLLAPSE)
#define MADV_COLLAPSE 25 /* as Linux has it; the C library names it from glibc 2.37 on */
#endif

void *
cache_map(int fd, void *address, size_t length)
{
	if (address == NULL && length >= LARGE_PAGE)
	{
		char *reserved = mmap(NULL, length + LARGE_PAGE, PROT_NONE,
							  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		size_t before;
		void *mapped;

		if (reserved == MAP_FAILED)
			return MAP_FAILED;
		before = (LARGE_PAGE - (uintptr_t) reserved % LARGE_PAGE) % LARGE_PAGE;
		mapped = mmap(reserved + before, length, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
		if (mapped == MAP_FAILED)
		{
			munmap(reserved, length + LARGE_PAGE);
			return MAP_FAILED;
		}
		length = TYPEALIGN(sysconf(_SC_PAGESIZE), length);
		if (before > 0)
			munmap(reserved, before);
		munmap(reserved + before + length, LARGE_PAGE - before);
		address = mapped;
	}
	else
		address =
			mmap(address, length, PROT_READ, MAP_SHARED | (address == NULL ? 0 : MAP_FIXED), fd, 0);
#ifdef MADV_HUGEPAGE
	if (address != MAP_FAILED && length >= LARGE_PAGE)
		(void) madvise(address, length, MADV_HUGEPAGE);
#endif
	return address;
}

void
cache_read_in(int fd, size_t length)
{
#ifdef MADV_POPULATE_READ
	void *address = length < LARGE_PAGE ? MAP_FAILED : cache_map(fd, NULL, length);

	if (address == MAP_FAILED)
		return;
	(void) madvise(address, length, MADV_POPULATE_READ);
#ifdef MADV_COLLAPSE
	(void) madvise(address, length, MADV_COLLAPSE);
#endif
	munmap(address, length);
#endif
}
