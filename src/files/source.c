/* source.c: directories, memory and sets of named sources. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_PATH */
#endif
#include "files/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/checked.h"
#include "files/path.h"

/* bytes; tens of milliseconds from a slow disk */
#define READ_PIECE ((size_t) 4 * 1024 * 1024)

static bool
memory_read(ByteSource *source, uint64_t offset, void *buffer, size_t length, Status *status)
{
	(void) status;
	if (length > 0)
		memcpy(buffer, (const char *) source->memory + offset, length);
	return true;
}

void
source_from_memory(ByteSource *source, const char *name, const void *bytes, size_t size)
{
	memset(source, 0, sizeof *source);
	source->name = name;
	source->size = size;
	source->read = memory_read;
	source->memory = bytes;
	source->fd = -1;
}

static bool
file_read(ByteSource *source, uint64_t offset, void *buffer, size_t length, Status *status)
{
	char *at = buffer;

	while (length > 0)
	{
		ssize_t n = pread(source->fd, at, length, (off_t) offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return status_fail_errno(status, errno, "could not read file \"%s\"", source->name);
		if (n == 0)
			return status_fail(status, STATUS_INVALID_DATA,
							   "file \"%s\" became shorter while it was read", source->name);
		at += n;
		offset += (uint64_t) n;
		length -= (size_t) n;
	}
	return true;
}

bool
source_read(ByteSource *source, uint64_t offset, void *buffer, size_t length,
			const MayContinue *question, Status *status)
{
	for (size_t done = 0; done < length;)
	{
		size_t n = size_min(length - done, READ_PIECE);

		if (!source->read(source, offset + done, (char *) buffer + done, n, status))
			return false;
		done += n;
		if (done < length && !may_continue(question, status))
			return false;
	}
	return true;
}

bool
source_check_pointer(const void *start, size_t n, Status *status)
{
	static const char pointer[] = "version https://git-lfs.github.com/spec/";

	if (n < sizeof pointer - 1 || memcmp(start, pointer, sizeof pointer - 1) != 0)
		return true;
	status_fail(status, STATUS_INVALID_DATA,
				"the file is a pointer of Git LFS, not the file itself");
	return status_hint(status, "It was not downloaded: run \"git lfs pull\" in the folder, or get "
							   "the model with \"hf download NAME --local-dir FOLDER\".");
}

char *
source_read_all(Arena *arena, ByteSource *source, size_t limit, Status *status)
{
	char *text;

	if (source->size > limit)
	{
		status_fail(status, STATUS_LIMIT, "\"%s\" has %llu bytes, more than the %zu allowed",
					source->name, (unsigned long long) source->size, limit);
		return NULL;
	}
	text = arena_alloc(arena, (size_t) source->size + 1);
	if (text == NULL)
	{
		arena_fail(arena, status, source->name, (size_t) source->size);
		return NULL;
	}
	if (!source_read(source, 0, text, (size_t) source->size, arena_question(arena), status))
		return NULL;
	text[source->size] = '\0';
	if (!source_check_pointer(text, (size_t) source->size, status))
	{
		status_prefix(status, "%s", source->name);
		return NULL;
	}
	return text;
}

void
modelsource_close(ModelSource *source)
{
	if (source != NULL)
		source->close(source);
}

bool
source_name_allowed(const char *name)
{
	if (name[0] == '\0' || strlen(name) > 1024)
		return false;
	for (const char *at = name; *at != '\0';)
	{
		size_t length = strcspn(at, "/");

		if (length == 0 || (length == 1 && at[0] == '.') ||
			(length == 2 && at[0] == '.' && at[1] == '.'))
			return false;
		at += length;
		if (*at == '/' && *++at == '\0')
			return false;
	}
	for (const char *at = name; *at != '\0'; at++)
		if (*at == '\\' || (unsigned char) *at < 0x20)
			return false;
	return true;
}

static bool
check_name(const char *name, Status *status)
{
	return source_name_allowed(name) ||
		   status_fail(status, STATUS_INVALID_DATA,
					   "\"%.100s\" is not the name of a file inside the model's directory", name);
}

/* A directory: its descriptor and the files opened so far, newest first. */
typedef struct OpenFile
{
	ByteSource source; /* first: a ByteSource * is an OpenFile * */
	struct OpenFile *older;
} OpenFile;

typedef struct Directory
{
	ModelSource base; /* first */
	Arena *arena;
	int fd;
	bool links_allowed; /* of the installation */
	OpenFile *files;
} Directory;

/*
 * A hard link shows a file of another place under a name of the model's; who may write to the
 * directory need not be allowed to read that file.
 */
static bool
refuse_file(Status *status, const struct stat *st, const char *name)
{
	if (!S_ISREG(st->st_mode))
		return status_fail(status, STATUS_PERMISSION, "\"%s\" is not a regular file", name);
	status_fail(status, STATUS_PERMISSION, "\"%s\" has more than one name (hard link)", name);
	return status_hint(status, "Copy the files to a directory of their own.");
}

/*
 * A file that could not be opened. Where it is a link of Hugging Face's cache, whose folders are
 * made of links to blobs, there is a better hint than for others.
 */
static bool
open_failed(const Directory *directory, const char *name, int errnum, Status *status)
{
	char target[256];
	struct stat st;
	ssize_t n = errnum == ELOOP ? readlinkat(directory->fd, name, target, sizeof target - 1) : -1;

	path_open_failed(status, errnum, directory->base.name, name);
	if (n < 0)
		return false;
	target[n] = '\0';
	if (strncmp(target, "../", 3) != 0 || strstr(target, "/blobs/") == NULL)
		return false;
	if (fstatat(directory->fd, name, &st, 0) != 0)
		return status_hint(status, "It is a link of Hugging Face's cache to a file that is not "
								   "there: the download is not complete. Use \"hf download NAME "
								   "--local-dir FOLDER\".");
	return status_hint(status, "It is a link of Hugging Face's cache, and links are not followed: "
							   "copy the folder with \"cp -rL\", or use \"hf download NAME "
							   "--local-dir FOLDER\".");
}

static bool
directory_open(ModelSource *base, const char *name, ByteSource **out, bool *found, Status *status)
{
	Directory *directory = (Directory *) base;
	OpenFile *file;
	struct stat st;
	int fd;

	*found = false;
	if (!check_name(name, status))
		return false;
	if (directory->links_allowed)
		fd = openat(directory->fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	else
		fd = path_open(directory->fd, name,
					   O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return true;
	if (fd < 0)
		return open_failed(directory, name, errno, status);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
		(st.st_nlink > 1 && !directory->links_allowed))
	{
		close(fd);
		return refuse_file(status, &st, name);
	}
	file = arena_alloc_zero(directory->arena, sizeof *file);
	if (file != NULL)
		file->source.name = arena_strdup(directory->arena, name);
	if (file == NULL || file->source.name == NULL)
	{
		close(fd);
		return arena_fail(directory->arena, status, name, sizeof *file);
	}
	file->source.size = (uint64_t) st.st_size;
	file->source.read = file_read;
	file->source.fd = fd;
	file->older = directory->files;
	directory->files = file;
	*out = &file->source;
	*found = true;
	return true;
}

static void
directory_close(ModelSource *base)
{
	Directory *directory = (Directory *) base;

	for (OpenFile *file = directory->files; file != NULL; file = file->older)
		close(file->source.fd);
	directory->files = NULL;
	if (directory->fd >= 0)
		close(directory->fd);
	directory->fd = -1;
}

static ModelSource *
open_directory(Arena *arena, const char *path, bool links_allowed, Status *status)
{
	Directory *directory = arena_alloc_zero(arena, sizeof *directory);

	if (directory == NULL || (directory->base.name = arena_strdup(arena, path)) == NULL)
	{
		arena_fail(arena, status, "the model's directory", sizeof *directory);
		return NULL;
	}
	if (path[0] == '\0')
	{
		status_fail(status, STATUS_INVALID_ARGUMENT, "the model's directory is an empty string");
		return NULL;
	}
	directory->base.open = directory_open;
	directory->base.close = directory_close;
	directory->arena = arena;
	directory->links_allowed = links_allowed;
	directory->fd = links_allowed ? open(path, PATH_DIRECTORY & ~O_NOFOLLOW)
								  : path_open(AT_FDCWD, path, PATH_DIRECTORY);
	if (directory->fd < 0)
	{
		if (errno == ENOENT)
			status_fail(status, STATUS_NOT_FOUND, "directory \"%s\" does not exist", path);
		else
			path_open_failed(status, errno, NULL, path);
		return NULL;
	}
	return &directory->base;
}

ModelSource *
modelsource_open_directory(Arena *arena, const char *path, Status *status)
{
	return open_directory(arena, path, false, status);
}

ModelSource *
modelsource_open_installed(Arena *arena, const char *path, Status *status)
{
	return open_directory(arena, path, true, status);
}

typedef struct SourceSet
{
	ModelSource base; /* first */
	ByteSource *sources;
	size_t count;
} SourceSet;

static bool
set_open(ModelSource *base, const char *name, ByteSource **out, bool *found, Status *status)
{
	SourceSet *set = (SourceSet *) base;

	*found = false;
	if (!check_name(name, status))
		return false;
	for (size_t i = 0; i < set->count; i++)
		if (strcmp(set->sources[i].name, name) == 0)
		{
			*out = &set->sources[i];
			*found = true;
		}
	return true;
}

static void
set_close(ModelSource *base)
{
	(void) base;
}

ModelSource *
modelsource_from_sources(Arena *arena, const char *name, ByteSource *sources, size_t count,
						 Status *status)
{
	SourceSet *set = arena_alloc_zero(arena, sizeof *set);

	if (set == NULL || (set->base.name = arena_strdup(arena, name)) == NULL)
	{
		arena_fail(arena, status, "the model's sources", sizeof *set);
		return NULL;
	}
	set->base.open = set_open;
	set->base.close = set_close;
	set->sources = sources;
	set->count = count;
	return &set->base;
}

typedef struct Subfolder
{
	ModelSource base; /* first */
	Arena *arena;
	ModelSource *source;
	const char *path;
} Subfolder;

static bool
subfolder_open(ModelSource *base, const char *name, ByteSource **out, bool *found, Status *status)
{
	Subfolder *folder = (Subfolder *) base;
	size_t length = strlen(folder->path) + strlen(name) + 2;
	char *path;

	*found = false;
	if (!check_name(name, status))
		return false;
	path = arena_alloc(folder->arena, length);
	if (path == NULL)
		return arena_fail(folder->arena, status, "a file's name", length);
	snprintf(path, length, "%s/%s", folder->path, name);
	return folder->source->open(folder->source, path, out, found, status);
}

ModelSource *
modelsource_subfolder(Arena *arena, ModelSource *source, const char *path, Status *status)
{
	Subfolder *folder;

	if (path[0] == '\0')
		return source;
	folder = arena_alloc_zero(arena, sizeof *folder);
	if (folder == NULL || (folder->path = arena_strdup(arena, path)) == NULL)
	{
		arena_fail(arena, status, "the model's folder", sizeof *folder);
		return NULL;
	}
	folder->base.name = folder->path;
	folder->base.open = subfolder_open;
	folder->base.close = set_close;
	folder->arena = arena;
	folder->source = source;
	return &folder->base;
}
