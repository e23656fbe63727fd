/* bulk.c: memory in pieces of some milliseconds. */
#include "core/bulk.h"

#include <string.h>

#define PIECE ((size_t) 4 * 1024 * 1024)

bool
bulk_copy(void *to, const void *from, size_t bytes, const MayContinue *question, Status *status)
{
	for (size_t done = 0; done < bytes;)
	{
		size_t n = bytes - done < PIECE ? bytes - done : PIECE;

		memcpy((char *) to + done, (const char *) from + done, n);
		done += n;
		if (done < bytes && !may_continue(question, status))
			return false;
	}
	return true;
}

bool
bulk_clear(void *to, size_t bytes, const MayContinue *question, Status *status)
{
	for (size_t done = 0; done < bytes;)
	{
		size_t n = bytes - done < PIECE ? bytes - done : PIECE;

		memset((char *) to + done, 0, n);
		done += n;
		if (done < bytes && !may_continue(question, status))
			return false;
	}
	return true;
}
