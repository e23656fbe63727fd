/*
 * checkpoint_file.c: see checkpoint.h. A file is a header and the bytes. It is written under a
 * temporary name, synced and renamed, so one with its proper name is whole; all the same owner,
 * length and CRC-32C of both parts are checked before a byte of it is used.
 */
#include "pg/server/compat.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"

#include "pg/job/checkpoint.h"
#include "pg/model/cache.h"

#define MAGIC "BERTCKP1"
#define PIECE ((Size) 1024 * 1024) /* bytes between two interrupt checks */
#define TEMPORARY ".new"           /* one a kind: who writes it has the job's lock */

typedef struct FileHeader
{
	char magic[8];
	uint64 size; /* of the stream, which follows */
	int64 step;
	unsigned char identity[SHA256_BYTES];
	char kind[8];
	uint32 stream_crc; /* CRC-32C */
	uint32 header_crc; /* of all before it */
} FileHeader;

struct CheckpointFile
{
	MemoryContextCallback callback;
	char *name;
	int fd; /* -1: closed */
	uint64 size;
	int64 step;
};

static const char *const kinds[] = {"last", "best"};

static char *
name_of(int64 number, const char *kind)
{
	return psprintf("job_%u_%lld.%s", MyDatabaseId, (long long) number, kind);
}

static void
file_error(const char *what, const char *name)
{
	int error = errno;

	errno = error == 0 ? ENOSPC : error; /* a write that was short */
	ereport(ERROR, (errcode_for_file_access(),
					errmsg("could not %s file \"%s/%s\": %m", what, cache_directory(), name)));
}

/* All work on files goes from this descriptor. */
static int
open_directory(void)
{
	int fd;

	cache_make_directory();
	fd = OpenTransientFile(cache_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		file_error("open", ".");
	return fd;
}

/* --- Writing --- */

static void
write_all(int fd, const char *name, const void *bytes, Size size)
{
	const char *at = bytes;

	while (size > 0)
	{
		ssize_t n;

		errno = 0;
		n = write(fd, at, Min(size, PIECE));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			file_error("write", name);
		at += n;
		size -= (Size) n;
	}
}

static void
write_file(int fd, const char *name, FileHeader *header, const StateRange *ranges, int n_ranges)
{
	write_all(fd, name, header, sizeof *header);
	for (int i = 0; i < n_ranges; i++)
		for (Size at = 0; at < ranges[i].size;)
		{
			const char *piece = (const char *) ranges[i].bytes + at;
			Size n = Min(ranges[i].size - at, PIECE);

			CHECK_FOR_INTERRUPTS();
			header->stream_crc = crc32c(header->stream_crc, piece, n);
			header->size += n;
			write_all(fd, name, piece, n);
			at += n;
		}
	header->header_crc = crc32c(0, header, offsetof(FileHeader, header_crc));
	if (lseek(fd, 0, SEEK_SET) != 0)
		file_error("seek in", name);
	write_all(fd, name, header, sizeof *header);
	if (fsync(fd) != 0)
		file_error("fsync", name);
}

void
checkpoint_file_write(const JobCheckpoint *checkpoint, const StateRange *ranges, int n_ranges)
{
	char *name = name_of(checkpoint->job, checkpoint->kind);
	char *temporary = psprintf("%s" TEMPORARY, name);
	int directory = open_directory();
	FileHeader header = {.magic = MAGIC, .step = checkpoint->step};
	int fd;

	memcpy(header.identity, checkpoint->identity, sizeof header.identity);
	strlcpy(header.kind, checkpoint->kind, sizeof header.kind);
	(void) unlinkat(directory, temporary, 0);
	fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		file_error("create", temporary);
	PG_TRY();
	{
		write_file(fd, temporary, &header, ranges, n_ranges);
		if (renameat(directory, temporary, directory, name) != 0)
			file_error("rename", temporary);
	}
	PG_CATCH();
	{
		close(fd);
		(void) unlinkat(directory, temporary, 0);
		PG_RE_THROW();
	}
	PG_END_TRY();
	close(fd);
	if (fsync(directory) != 0)
		file_error("fsync", ".");
	CloseTransientFile(directory);
}

/* --- Reading --- */

/* false if there are fewer; CHECK_FOR_INTERRUPTS in between */
static bool
read_all(int fd, uint64 at, void *bytes, Size size)
{
	for (Size done = 0; done < size;)
	{
		ssize_t n;

		CHECK_FOR_INTERRUPTS();
		n = pread(fd, (char *) bytes + done, Min(size - done, PIECE), (off_t) (at + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (Size) n;
	}
	return true;
}

static bool
header_sound(int fd, const JobCheckpoint *checkpoint, uint64 size, FileHeader *header)
{
	struct stat state;

	return fstat(fd, &state) == 0 && S_ISREG(state.st_mode) && state.st_uid == geteuid() &&
		   state.st_nlink == 1 && (state.st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
		   read_all(fd, 0, header, sizeof *header) &&
		   memcmp(header->magic, MAGIC, sizeof header->magic) == 0 &&
		   header->header_crc == crc32c(0, header, offsetof(FileHeader, header_crc)) &&
		   strncmp(header->kind, checkpoint->kind, sizeof header->kind) == 0 &&
		   memcmp(header->identity, checkpoint->identity, sizeof header->identity) == 0 &&
		   header->size == size && (uint64) state.st_size == sizeof *header + size &&
		   header->step >= 0;
}

static bool
stream_sound(int fd, const FileHeader *header)
{
	char *buffer = palloc(PIECE);
	uint32 crc = 0;
	bool ok = true;

	for (uint64 at = 0; ok && at < header->size; at += PIECE)
	{
		Size n = Min(header->size - at, PIECE);

		ok = read_all(fd, sizeof *header + at, buffer, n);
		if (ok)
			crc = crc32c(crc, buffer, n);
	}
	pfree(buffer);
	return ok && crc == header->stream_crc;
}

static void
close_fd(void *argument)
{
	CheckpointFile *file = argument;

	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

CheckpointFile *
checkpoint_file_open(const JobCheckpoint *checkpoint, uint64 size)
{
	CheckpointFile *file = palloc0(sizeof *file);
	int directory = open_directory();
	FileHeader header;

	file->name = name_of(checkpoint->job, checkpoint->kind);
	file->fd = openat(directory, file->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	file->callback.func = close_fd;
	file->callback.arg = file;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &file->callback);
	if (file->fd >= 0 && header_sound(file->fd, checkpoint, size, &header) &&
		stream_sound(file->fd, &header))
	{
		CloseTransientFile(directory);
		file->size = size;
		file->step = header.step;
		return file;
	}
	if (file->fd < 0 && errno != ENOENT && errno != ELOOP)
		file_error("open", file->name);
	if (file->fd >= 0 || errno == ELOOP)
	{
		ereport(LOG, (errmsg("bert job %lld: file \"%s/%s\" is damaged, or of other data, and is "
							 "removed",
							 (long long) checkpoint->job, cache_directory(), file->name)));
		(void) unlinkat(directory, file->name, 0);
	}
	close_fd(file);
	CloseTransientFile(directory);
	return NULL;
}

int64
checkpoint_file_step(const CheckpointFile *file)
{
	return file->step;
}

uint64
checkpoint_file_size(const CheckpointFile *file)
{
	return file->size;
}

void
checkpoint_file_read(const CheckpointFile *file, uint64 at, void *bytes, Size size)
{
	if (!read_all(file->fd, sizeof(FileHeader) + at, bytes, size))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED), errmsg("file \"%s/%s\" was cut while it was read",
														 cache_directory(), file->name)));
}

void
checkpoint_file_close(CheckpointFile *file)
{
	if (file != NULL)
		close_fd(file);
}

void
checkpoint_files_remove(int64 number)
{
	for (size_t i = 0; i < lengthof(kinds); i++)
	{
		char *name = name_of(number, kinds[i]);

		(void) unlink(psprintf("%s/%s", cache_directory(), name));
		(void) unlink(psprintf("%s/%s" TEMPORARY, cache_directory(), name));
	}
}
