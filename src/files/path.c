/* path.c: paths walked component by component. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_PATH */
#endif
#include "files/path.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* openat; a symbolic link gives ELOOP, also where the system calls it "not a directory". */
static int
open_component(int at, const char *component, int flags)
{
	struct stat st;
	int fd = openat(at, component, flags);

	if (fd < 0 && errno == ENOTDIR)
		errno = fstatat(at, component, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode)
					? ELOOP
					: ENOTDIR;
	return fd;
}

int
path_open(int at, const char *path, int last_flags)
{
	int current = at;

	if (path[0] == '/')
	{
		while (*path == '/')
			path++;
		current = open("/", *path == '\0' ? last_flags : PATH_DIRECTORY);
		if (current < 0 || *path == '\0')
			return current;
	}
	for (;;)
	{
		char component[256];
		size_t length = strcspn(path, "/");
		const char *rest = path + length;
		bool last;
		int next;

		while (*rest == '/')
			rest++;
		last = *rest == '\0';
		if (length >= sizeof component)
			next = (errno = ENAMETOOLONG, -1);
		else
		{
			memcpy(component, path, length);
			component[length] = '\0';
			next = open_component(current, component, last ? last_flags : PATH_DIRECTORY);
		}
		if (current != at)
		{
			int saved = errno;

			close(current);
			errno = saved;
		}
		if (next < 0 || last)
			return next;
		current = next;
		path = rest;
	}
}

bool
path_open_failed(Status *status, int errnum, const char *directory, const char *name)
{
	if (directory == NULL)
		status_fail_errno(status, errnum, "could not open \"%.300s\"", name);
	else
		status_fail_errno(status, errnum, "could not open \"%.300s/%.100s\"", directory, name);
	if (errnum == ELOOP)
		status_hint(status, "Symbolic links are not followed, in no part of the path; copy the "
							"files to a directory of their own.");
	else if (errnum == EACCES || errnum == EPERM)
		status_hint(status,
					"The server's operating-system user \"%.40s\" must be allowed to read it and "
					"to enter every directory above it; change their owner or mode, or copy the "
					"files elsewhere.",
					path_user());
	return false;
}

const char *
path_user(void)
{
	static char number[24];
	const struct passwd *entry = getpwuid(geteuid());

	if (entry != NULL && entry->pw_name[0] != '\0')
		return entry->pw_name;
	snprintf(number, sizeof number, "%ld", (long) geteuid());
	return number;
}
