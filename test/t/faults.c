/*
 * faults.c: a library to be preloaded into the server that lets one write to disk fail.
 *
 * The file named by BERT_FAULTS holds a number n and a part of a path: the n-th call in a process
 * that makes a directory, reserves space for, writes to, syncs or renames a file with that part in
 * its path fails with ENOSPC. Each process reads it at its first such call.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* the process that has read the file; children inherit the variables */
static pid_t reader;
static long fail_at;
static long count;
static char part[256];

static int
fails_path(const char *path)
{
	if (reader != getpid())
	{
		const char *name = getenv("BERT_FAULTS");
		FILE *control = name == NULL ? NULL : fopen(name, "r");

		reader = getpid();
		count = 0;
		fail_at = 0;
		if (control != NULL)
		{
			if (fscanf(control, "%ld %255s", &fail_at, part) != 2)
				fail_at = 0;
			fclose(control);
		}
	}
	return fail_at > 0 && strstr(path, part) != NULL && ++count == fail_at;
}

static int
fails(int fd)
{
	char link[64];
	char path[4096];
	ssize_t length;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof path - 1);
	if (length <= 0)
		return 0;
	path[length] = '\0';
	return fails_path(path);
}

#define REAL(type, name, ...) (((type(*)(__VA_ARGS__)) dlsym(RTLD_NEXT, name)))

int
posix_fallocate(int fd, off_t offset, off_t length)
{
	return fails(fd) ? ENOSPC : REAL(int, "posix_fallocate", int, off_t, off_t)(fd, offset, length);
}

int
posix_fallocate64(int fd, off_t offset, off_t length)
{
	return fails(fd) ? ENOSPC
					 : REAL(int, "posix_fallocate64", int, off_t, off_t)(fd, offset, length);
}

ssize_t
write(int fd, const void *bytes, size_t length)
{
	if (!fails(fd))
		return REAL(ssize_t, "write", int, const void *, size_t)(fd, bytes, length);
	errno = ENOSPC;
	return -1;
}

ssize_t
pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
	if (!fails(fd))
		return REAL(ssize_t, "pwrite", int, const void *, size_t, off_t)(fd, bytes, length, offset);
	errno = ENOSPC;
	return -1;
}

ssize_t
pwrite64(int fd, const void *bytes, size_t length, off_t offset)
{
	return pwrite(fd, bytes, length, offset);
}

int
fsync(int fd)
{
	if (!fails(fd))
		return REAL(int, "fsync", int)(fd);
	errno = ENOSPC;
	return -1;
}

/* Is a name relative to a directory's descriptor to fail? */
static int
fails_at(int at, const char *name)
{
	char link[64];
	char path[8192];
	ssize_t length;

	snprintf(link, sizeof link, "/proc/self/fd/%d", at);
	length = readlink(link, path, 4096);
	snprintf(path + (length > 0 ? length : 0), 4000, "/%s", name);
	return fails_path(path);
}

int
mkdirat(int at, const char *name, mode_t mode)
{
	if (!fails_at(at, name))
		return REAL(int, "mkdirat", int, const char *, mode_t)(at, name, mode);
	errno = ENOSPC;
	return -1;
}

int
renameat(int from_at, const char *from, int to_at, const char *to)
{
	if (!fails_at(to_at, to))
		return REAL(int, "renameat", int, const char *, int, const char *)(from_at, from, to_at,
																		   to);
	errno = ENOSPC;
	return -1;
}

int
rename(const char *from, const char *to)
{
	if (!fails_path(to))
		return REAL(int, "rename", const char *, const char *)(from, to);
	errno = ENOSPC;
	return -1;
}
