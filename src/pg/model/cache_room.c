/* cache_room.c: the cache's directory, what may be removed from it, and how much may be in it. */
#include "pg/server/compat.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"

#include "pg/model/cache.h"
#include "pg/server/settings.h"

typedef struct RoomFile
{
	char *path;
	uint64 bytes;
	struct timespec made;
} RoomFile;

void
cache_make_directory(void)
{
	struct stat state;

	if (mkdir(cache_directory(), S_IRWXU) != 0 && errno != EEXIST)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not create directory \"%s\": %m", cache_directory()),
						errhint("See bert.cache_directory.")));
	if (stat(cache_directory(), &state) != 0 || !S_ISDIR(state.st_mode))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is no directory", cache_directory()),
						errhint("See bert.cache_directory.")));
	if (state.st_uid != geteuid() || (state.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("directory \"%s\" must belong to the server's user, and others must "
							   "not write to it",
							   cache_directory())));
}

void
cache_remove_leftovers(void)
{
	DIR *directory = AllocateDir(cache_directory());
	struct dirent *entry;

	while ((entry = ReadDirExtended(directory, cache_directory(), LOG)) != NULL)
	{
		long pid;

		if (strncmp(entry->d_name, CACHE_TEMPORARY, strlen(CACHE_TEMPORARY)) != 0)
			continue;
		pid = strtol(entry->d_name + strlen(CACHE_TEMPORARY), NULL, 10);
		if (pid > 0 && pid != MyProcPid && kill((pid_t) pid, 0) != 0 && errno == ESRCH)
			(void) unlink(psprintf("%s/%s", cache_directory(), entry->d_name));
	}
	FreeDir(directory);
}

/* Prepared files begin with a content address in hexadecimal; data of jobs do not. */
static bool
is_prepared(const char *name)
{
	return strspn(name, "0123456789abcdef") == 2 * SHA256_BYTES && name[2 * SHA256_BYTES] == '.';
}

static int
compare_age(const ListCell *a, const ListCell *b)
{
	const RoomFile *x = lfirst(a);
	const RoomFile *y = lfirst(b);

	if (x->made.tv_sec != y->made.tv_sec)
		return x->made.tv_sec < y->made.tv_sec ? -1 : 1;
	return x->made.tv_nsec < y->made.tv_nsec ? -1 : x->made.tv_nsec > y->made.tv_nsec;
}

/* Prepared files, and the bytes of all files. */
static List *
list_files(uint64 *total)
{
	DIR *directory = AllocateDir(cache_directory());
	struct dirent *entry;
	List *files = NIL;

	*total = 0;
	while ((entry = ReadDirExtended(directory, cache_directory(), LOG)) != NULL)
	{
		RoomFile *file = palloc(sizeof *file);
		struct stat state;

		file->path = psprintf("%s/%s", cache_directory(), entry->d_name);
		if (lstat(file->path, &state) != 0 || !S_ISREG(state.st_mode))
			continue;
		file->bytes = (uint64) state.st_size;
		file->made = state.st_mtim;
		*total += file->bytes;
		if (is_prepared(entry->d_name))
			files = lappend(files, file);
	}
	FreeDir(directory);
	return files;
}

bool
cache_has_room(size_t bytes)
{
	uint64 limit = (uint64) guc_max_cache_size * 1024 * 1024;
	List *files;
	ListCell *cell;
	uint64 total;

	if (guc_max_cache_size == 0)
		return true;
	files = list_files(&total);
	list_sort(files, compare_age);
	foreach (cell, files)
	{
		const RoomFile *file = lfirst(cell);

		if (total + bytes <= limit || bytes > limit)
			break;
		if (unlink(file->path) == 0)
			total -= file->bytes;
	}
	return total + bytes <= limit;
}

void
cache_make_room(size_t bytes)
{
	if (!cache_has_room(bytes))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("the files in \"%s\" would take more than %d MB", cache_directory(),
						guc_max_cache_size),
				 errhint("The limit is bert.max_cache_size. Raise it, or drop jobs that have "
						 "ended with bert.drop_job.")));
}
