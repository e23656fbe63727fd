/* output_folder.c: writing a directory through held descriptors. */
#include "pg/server/compat.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "storage/fd.h"
#include "utils/memutils.h"

#include "files/path.h"
#include "pg/model/output_folder.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"
#include "pg/server/progress.h"

#define WRITE_BYTES (1024 * 1024)
#define DIRECTORY_MODE (S_IRWXU | S_IRGRP | S_IXGRP | S_IROTH | S_IXOTH)
#define FILE_MODE (S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH)
#define PREFIX ".bert-export-"
#define RANDOM_BYTES 12

typedef struct OutputEntry
{
	bool made;
	bool is_directory;
	char name[FLEXIBLE_ARRAY_MEMBER];
} OutputEntry;

void
output_folder_init(OutputFolder *folder, const char *path)
{
	memset(folder, 0, sizeof *folder);
	folder->path = pstrdup(path);
	folder->parent_fd = -1;
	folder->fd = -1;
	folder->file_fd = -1;
	folder->context = CurrentMemoryContext;
}

/* An error of the system about the folder's parent; who may not is told how he may. */
static void
parent_error(const OutputFolder *folder, const char *what)
{
	bool denied = errno == EACCES || errno == EPERM || errno == EROFS;
	bool linked = errno == ELOOP;

	ereport(ERROR,
			(linked ? errcode(ERRCODE_INSUFFICIENT_PRIVILEGE) : errcode_for_file_access(),
			 errmsg("could not %s \"%s\": %m", what, folder->path),
			 denied ? errdetail("The server runs as the operating-system user \"%s\".", path_user())
					: 0,
			 denied
				 ? errhint("Let this user write to the directory \"%s\" and enter those above it, "
						   "or name a directory elsewhere.",
						   folder->parent)
			 : linked ? errhint("Symbolic links are not followed, in no part of the path; name the "
								"directory itself.")
					  : 0));
}

/* True when the directory holds nothing but itself. */
static bool
is_empty(int fd)
{
	DIR *directory = fdopendir(fd);
	struct dirent *entry;
	bool empty = directory != NULL;

	while (empty && (entry = readdir(directory)) != NULL)
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	if (directory == NULL)
		close(fd);
	else
		closedir(directory);
	return empty;
}

static void
check_target(const OutputFolder *folder)
{
	struct stat state;
	int fd;

	if (fstatat(folder->parent_fd, folder->name, &state, AT_SYMLINK_NOFOLLOW) != 0)
	{
		if (errno != ENOENT)
			parent_error(folder, "look at");
		return;
	}
	fd = openat(folder->parent_fd, folder->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || !is_empty(fd))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_FILE),
						errmsg("\"%s\" exists and is no empty directory", folder->path),
						errhint("Name a directory that does not exist yet.")));
}

static void
open_parent(OutputFolder *folder)
{
	char *last;

	canonicalize_path(folder->path);
	last = strrchr(folder->path, '/');
	if (!is_absolute_path(folder->path))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME), errmsg("relative path not allowed for export"),
				 errdetail("The path is \"%s\".", folder->path)));
	folder->parent =
		last == folder->path ? pstrdup("/") : pnstrdup(folder->path, last - folder->path);
	folder->name = pstrdup(last + 1);
	if (folder->name[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_FILE),
						errmsg("\"%s\" exists and is no empty directory", folder->path),
						errhint("Name a directory that does not exist yet.")));
	folder->parent_fd = path_open(AT_FDCWD, folder->parent, PATH_DIRECTORY);
	if (folder->parent_fd < 0)
		parent_error(folder, "create directory");
}

/* A new directory under a name that nobody could guess, opened and found to be ours. */
void
output_folder_begin(OutputFolder *folder)
{
	unsigned char bytes[RANDOM_BYTES];
	size_t used = strlen(PREFIX);

	open_parent(folder);
	check_target(folder);
	if (!pg_strong_random(bytes, sizeof bytes))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not make a random name")));
	strlcpy(folder->temporary, PREFIX, sizeof folder->temporary);
	for (int i = 0; i < RANDOM_BYTES; i++, used += 2)
		snprintf(folder->temporary + used, sizeof folder->temporary - used, "%02x", bytes[i]);
	if (mkdirat(folder->parent_fd, folder->temporary, DIRECTORY_MODE) != 0)
		parent_error(folder, "create directory");
	folder->made = true;
	folder->fd = openat(folder->parent_fd, folder->temporary,
						O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder->fd < 0 || fstat(folder->fd, &folder->identity) != 0)
		parent_error(folder, "create directory");
	if (folder->identity.st_uid != geteuid() || !is_empty(dup(folder->fd)))
	{
		folder->made = false; /* somebody has put another one in its place */
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("directory \"%s\" is being changed by somebody else", folder->parent)));
	}
}

/* Room for an entry before it is made: a list that cannot grow leaves nothing behind. */
static OutputEntry *
new_entry(OutputFolder *folder, const char *name, bool is_directory)
{
	MemoryContext previous = MemoryContextSwitchTo(folder->context);
	OutputEntry *entry = palloc(offsetof(OutputEntry, name) + strlen(name) + 1);

	entry->made = false;
	entry->is_directory = is_directory;
	strcpy(entry->name, name);
	folder->entries = lcons(entry, folder->entries);
	MemoryContextSwitchTo(previous);
	return entry;
}

void
output_folder_make(OutputFolder *folder, const char *name)
{
	OutputEntry *entry = new_entry(folder, name, true);

	if (mkdirat(folder->fd, name, DIRECTORY_MODE) != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not create directory \"%s/%s\": %m", folder->path, name)));
	entry->made = true;
}

void
output_open(OutputFolder *folder, const char *name)
{
	OutputEntry *entry = new_entry(folder, name, false);

	folder->file_path = psprintf("%s/%s", folder->path, name);
	folder->file_fd =
		openat(folder->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
	if (folder->file_fd < 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not create file \"%s\": %m", folder->file_path)));
	entry->made = true;
}

bool
output_write(void *context, const void *bytes, size_t length, Status *status)
{
	OutputFolder *folder = context;

	for (size_t done = 0; done < length;)
	{
		size_t step = Min(length - done, (size_t) WRITE_BYTES);
		ssize_t n;

		if (!may_continue(&backend_may_continue, status))
			return false;
		errno = 0;
		n = write(folder->file_fd, (const char *) bytes + done, step);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return status_fail_errno(status, errno == 0 ? ENOSPC : errno,
									 "could not write file \"%s\"", folder->file_path);
		done += (size_t) n;
		progress_add(n);
	}
	return true;
}

void
output_close(OutputFolder *folder)
{
	int fd = folder->file_fd;
	int error = pg_fsync(fd) == 0 ? 0 : errno;

	folder->file_fd = -1;
	if (close(fd) != 0 && error == 0)
		error = errno;
	errno = error;
	if (error != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not sync file \"%s\": %m", folder->file_path)));
}

void
output_folder_write(OutputFolder *folder, const char *name, const char *text, size_t length)
{
	Status status;

	output_open(folder, name);
	REPORT_UNLESS(output_write(folder, text, length, &status), &status);
	output_close(folder);
}

/* True while the temporary name leads to the directory that we made. */
static bool
still_ours(const OutputFolder *folder)
{
	struct stat state;

	return fstatat(folder->parent_fd, folder->temporary, &state, AT_SYMLINK_NOFOLLOW) == 0 &&
		   S_ISDIR(state.st_mode) && state.st_dev == folder->identity.st_dev &&
		   state.st_ino == folder->identity.st_ino;
}

/* As far as the directory may be read and its file system syncs directories. */
static void
sync_directory(const OutputFolder *folder, int at, const char *name, int level)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int error;

	if (fd < 0)
		return;
	error = pg_fsync(fd) == 0 ? 0 : errno;
	close(fd);
	errno = error;
	if (error != 0 && error != EBADF && error != EINVAL)
		ereport(level, (errcode_for_file_access(),
						errmsg("could not sync directory \"%s\": %m", folder->path)));
}

static void
close_all(OutputFolder *folder)
{
	if (folder->file_fd >= 0)
		close(folder->file_fd);
	if (folder->fd >= 0)
		close(folder->fd);
	if (folder->parent_fd >= 0)
		close(folder->parent_fd);
	folder->file_fd = folder->fd = folder->parent_fd = -1;
	folder->made = false;
	folder->entries = NIL;
}

void
output_folder_commit(OutputFolder *folder)
{
	ListCell *cell;

	foreach (cell, folder->entries)
		if (((OutputEntry *) lfirst(cell))->is_directory)
			sync_directory(folder, folder->fd, ((OutputEntry *) lfirst(cell))->name, ERROR);
	sync_directory(folder, folder->fd, ".", ERROR);
	if (!still_ours(folder))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("directory \"%s\" is being changed by somebody else", folder->parent)));
	if (renameat(folder->parent_fd, folder->temporary, folder->parent_fd, folder->name) != 0)
		parent_error(folder, "rename the finished directory to");
	sync_directory(folder, folder->parent_fd, ".", WARNING); /* it is there all the same */
	close_all(folder);
}

void
output_folder_abandon(OutputFolder *folder)
{
	ListCell *cell;

	if (folder->made && folder->fd >= 0)
	{
		foreach (cell, folder->entries)
		{
			const OutputEntry *entry = lfirst(cell);

			if (entry->made)
				(void) unlinkat(folder->fd, entry->name, entry->is_directory ? AT_REMOVEDIR : 0);
		}
		if (still_ours(folder))
			(void) unlinkat(folder->parent_fd, folder->temporary, AT_REMOVEDIR);
	}
	else if (folder->made) /* made, but not opened: nothing is in it */
		(void) unlinkat(folder->parent_fd, folder->temporary, AT_REMOVEDIR);
	close_all(folder);
}
