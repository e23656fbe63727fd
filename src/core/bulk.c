/* bulk.c: memory in pieces of some milliseconds. */
#include "core/bulk.h"

#include <string.h>

#include "core/checked.h"

#define PIECE ((size_t) 4 * 1024 * 1024)
#define HASH_PIECE ((size_t) 1024 * 1024)

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
bulk_sha256(const void *bytes, size_t length, unsigned char digest[SHA256_BYTES],
			const MayContinue *question, Status *status)
{
	Sha256 hash;

	sha256_init(&hash);
	for (size_t done = 0; done < length;)
	{
		size_t n = size_min(length - done, HASH_PIECE);

		sha256_update(&hash, (const char *) bytes + done, n);
		done += n;
		if (done < length && !may_continue(question, status))
			return false;
	}
	sha256_final(&hash, digest);
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
