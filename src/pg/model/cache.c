/* cache.c: files of prepared data and their mappings. */
#include "pg/server/compat.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "pg/model/cache.h"
#include "pg/model/cache_pages.h"
#include "pg/server/settings.h"
#include "pg/server/shared.h"

#define CACHE_MAGIC "BERTCACH"
#define CACHE_VERSION 2
#define HEADER_BYTES 4096
#define STEP_BYTES (1024 * 1024) /* between two interrupt checks */
/* a file is filled up to whole large pages when that is at most a fifth of it */
#define MAX_PADDING_PART 5

typedef struct CacheHeader
{
	char magic[8];
	uint32 version;
	uint32 payload_crc; /* CRC-32C */
	uint64 payload_bytes;
	char name[CACHE_NAME_LENGTH];
	uint32 header_crc; /* of all before it */
} CacheHeader;

struct CacheFile
{
	char name[CACHE_NAME_LENGTH]; /* the key of the hash table */
	int references;
	void *address;
	size_t length; /* bytes mapped: header, payload, padding */
	size_t payload_bytes;
	dev_t device;
	ino_t inode;
	uint64 fingerprint;
	volatile sig_atomic_t cut; /* a page was found missing while it was read */
};

CacheMade cache_made;

/* The files this backend has mapped. */
static HTAB *mapped_files;

/* Content addresses to forget when the transaction commits: hexadecimal, TopTransactionContext. */
static List *forgotten;
static bool callback_registered;

/* Names of files made in this transaction; they go with it if it adds models and is rolled back. */
static List *made;
static bool adds_models;

const char *
cache_directory(void)
{
	return guc_cache_directory[0] != '\0' ? guc_cache_directory : "pgsql_tmp_bert";
}

static char *
path_of(const char *name)
{
	return psprintf("%s/%s", cache_directory(), name);
}

static void
hex(const unsigned char *bytes, char *out)
{
	hex_encode((const char *) bytes, SHA256_BYTES, out);
	out[2 * SHA256_BYTES] = '\0';
}

static void
make_name(const CacheKey *key, char *name)
{
	char content[2 * SHA256_BYTES + 1];

	hex(key->content, content);
	snprintf(name, CACHE_NAME_LENGTH, "%s.%s.%s.%s.%08x.%u.%016llx", content, key->kind,
			 key->precision, key->kernel, key->layout, key->version,
			 (unsigned long long) key->rest);
}

static uint64
fingerprint_of(const struct stat *state)
{
	uint64 parts[7] = {state->st_dev,
					   state->st_ino,
					   (uint64) state->st_size,
					   (uint64) state->st_mtim.tv_sec,
					   (uint64) state->st_mtim.tv_nsec,
					   (uint64) state->st_ctim.tv_sec,
					   (uint64) state->st_ctim.tv_nsec};
	uint64 hash = hash_bytes_extended((const unsigned char *) parts, sizeof parts, 0x62657274);

	return hash == 0 ? 1 : hash; /* 0 marks a free entry */
}

static pg_crc32c
crc_of(pg_crc32c crc, const void *bytes, size_t length)
{
	for (size_t done = 0; done < length; done += Min(length - done, (size_t) STEP_BYTES))
	{
		CHECK_FOR_INTERRUPTS();
		COMP_CRC32C(crc, (const char *) bytes + done, Min(length - done, (size_t) STEP_BYTES));
	}
	return crc;
}

static pg_crc32c
payload_crc(const void *bytes, size_t length)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	crc = crc_of(crc, bytes, length);
	FIN_CRC32C(crc);
	return crc;
}

static pg_crc32c
header_crc(const CacheHeader *header)
{
	return payload_crc(header, offsetof(CacheHeader, header_crc));
}

/*
 * The length of the file with such a payload, which must be at most SIZE_MAX - HEADER_BYTES -
 * LARGE_PAGE.
 */
static size_t
file_bytes(size_t payload_bytes)
{
	size_t length = HEADER_BYTES + payload_bytes;
	size_t padding = (LARGE_PAGE - length % LARGE_PAGE) % LARGE_PAGE;

	return padding <= length / MAX_PADDING_PART ? length + padding : length;
}

/* --- Reading --- */

/* Header, length, owner; the contents are not looked at. */
static bool
header_sound(int fd, const char *name, size_t payload_bytes, struct stat *state,
			 CacheHeader *header)
{
	return fstat(fd, state) == 0 && S_ISREG(state->st_mode) && state->st_uid == geteuid() &&
		   (state->st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
		   pread(fd, header, sizeof *header, 0) == (ssize_t) sizeof *header &&
		   memcmp(header->magic, CACHE_MAGIC, sizeof header->magic) == 0 &&
		   header->version == CACHE_VERSION && header->header_crc == header_crc(header) &&
		   strncmp(header->name, name, CACHE_NAME_LENGTH) == 0 &&
		   header->payload_bytes <= SIZE_MAX - HEADER_BYTES - LARGE_PAGE &&
		   (uint64) state->st_size == file_bytes(header->payload_bytes) &&
		   (payload_bytes == 0 || payload_bytes == header->payload_bytes);
}

/* The CRC of the payload as read from the file; *ok is false if it cannot be read whole. */
static pg_crc32c
read_crc(int fd, uint64 length, bool *ok)
{
	char *buffer = palloc(STEP_BYTES);
	pg_crc32c crc;

	*ok = true;
	INIT_CRC32C(crc);
	for (uint64 done = 0; *ok && done < length;)
	{
		size_t n = Min(length - done, (uint64) STEP_BYTES);

		CHECK_FOR_INTERRUPTS();
		*ok = pread(fd, buffer, n, (off_t) (HEADER_BYTES + done)) == (ssize_t) n;
		if (*ok)
			COMP_CRC32C(crc, buffer, n);
		done += n;
	}
	FIN_CRC32C(crc);
	pfree(buffer);
	return crc;
}

/*
 * True when the contents fit the header, or somebody has found so since the file was last changed.
 */
static bool
contents_sound(int fd, const struct stat *state, const CacheHeader *header)
{
	uint64 fingerprint = fingerprint_of(state);
	struct stat after;
	bool ok;

	if (shared_is_verified(fingerprint))
		return true;
	cache_read_in(fd, (size_t) state->st_size);
	if (read_crc(fd, header->payload_bytes, &ok) != header->payload_crc || !ok ||
		fstat(fd, &after) != 0 || fingerprint_of(&after) != fingerprint)
		return false;
	shared_set_verified(fingerprint);
	return true;
}

/*
 * Opens and checks the file; -1 if it is missing (errno ENOENT) or unsound. The caller closes it.
 * *payload_bytes: what it must have, 0 for any; what it has.
 */
static int
open_sound(const char *path, const char *name, size_t *payload_bytes, struct stat *state)
{
	int fd = OpenTransientFile(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	CacheHeader header;

	if (fd < 0)
		return -1;
	if (header_sound(fd, name, *payload_bytes, state, &header) &&
		contents_sound(fd, state, &header))
	{
		*payload_bytes = header.payload_bytes;
		return fd;
	}
	CloseTransientFile(fd);
	errno = 0;
	return -1;
}

/* Maps the open file at the address given, or anywhere. */
static void *
map_file(int fd, const char *path, void *address, size_t length)
{
	address = cache_map(fd, address, length);
	if (address == MAP_FAILED)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not map file \"%s\": %m", path)));
	return address;
}

static void
remember_state(CacheFile *file, const struct stat *state)
{
	file->device = state->st_dev;
	file->inode = state->st_ino;
	file->fingerprint = fingerprint_of(state);
	file->cut = false;
}

/* --- Files that are cut while they are read --- */

/*
 * Reading a page that somebody has just cut off a mapped file is a SIGBUS, which would take the
 * whole server down. It comes synchronously, from our own code, so it can be dealt with: zeros take
 * the place of the rest of the file, the statement is cancelled before its result, now wrong, gets
 * anywhere, and the next one has the file made again.
 */
#define MAX_GUARDED 1024

static CacheFile *guarded[MAX_GUARDED];
static size_t page_bytes;
static struct sigaction previous_action;

static void
handle_cut(int signal_number, siginfo_t *info, void *context)
{
	char *address = info->si_addr;

	for (int i = 0; i < MAX_GUARDED; i++)
	{
		CacheFile *file = guarded[i];
		char *page = (char *) TYPEALIGN_DOWN(page_bytes, address);

		if (file == NULL || address < (char *) file->address ||
			address >= (char *) file->address + file->length)
			continue;
		if (mmap(page, (size_t) ((char *) file->address + file->length - page), PROT_READ,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			break;
		file->cut = true;
		QueryCancelPending = true;
		InterruptPending = true;
		return;
	}
	/* Not ours: as if we were not there, when the instruction is tried again. */
	sigaction(signal_number, &previous_action, NULL);
}

static void
guard(CacheFile *file)
{
	static bool installed;
	struct sigaction action = {0};

	if (!installed)
	{
		page_bytes = (size_t) sysconf(_SC_PAGESIZE);
		action.sa_sigaction = handle_cut;
		action.sa_flags = SA_SIGINFO | SA_ONSTACK;
		sigemptyset(&action.sa_mask);
		installed = sigaction(SIGBUS, &action, &previous_action) == 0;
	}
	for (int i = 0; i < MAX_GUARDED; i++)
		if (guarded[i] == NULL)
		{
			guarded[i] = file;
			break;
		}
}

static void
unguard(const CacheFile *file)
{
	for (int i = 0; i < MAX_GUARDED; i++)
		if (guarded[i] == file)
			guarded[i] = NULL;
}

static HTAB *
files(void)
{
	if (mapped_files == NULL)
	{
		HASHCTL control = {0};

		control.keysize = CACHE_NAME_LENGTH;
		control.entrysize = sizeof(CacheFile);
		control.hcxt = CacheMemoryContext;
		mapped_files =
			hash_create("bert cache files", 64, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	return mapped_files;
}

CacheFile *
cache_open(const CacheKey *key, size_t size)
{
	char name[CACHE_NAME_LENGTH];
	CacheFile *file;
	struct stat state;
	char *path;
	void *address;
	int fd;

	make_name(key, name);
	file = hash_search(files(), name, HASH_FIND, NULL);
	if (file != NULL)
	{
		file->references++;
		return file;
	}
	path = path_of(name);
	fd = open_sound(path, name, &size, &state);
	if (fd < 0)
	{
		if (errno != ENOENT)
		{
			ereport(LOG, (errmsg("cache file \"%s\" is damaged and will be made again", path)));
			(void) unlink(path);
		}
		pfree(path);
		return NULL;
	}
	address = map_file(fd, path, NULL, (size_t) state.st_size);
	CloseTransientFile(fd);
	file = hash_search(files(), name, HASH_ENTER_NULL, NULL);
	if (file == NULL)
	{
		munmap(address, (size_t) state.st_size);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	file->references = 1;
	file->address = address;
	file->length = (size_t) state.st_size;
	file->payload_bytes = size;
	remember_state(file, &state);
	guard(file);
	pfree(path);
	return file;
}

const void *
cache_payload(const CacheFile *file, size_t *size)
{
	*size = file->payload_bytes;
	return (const char *) file->address + HEADER_BYTES;
}

void
cache_retain(CacheFile *file)
{
	file->references++;
}

void
cache_release(CacheFile *file)
{
	if (--file->references > 0)
		return;
	unguard(file);
	munmap(file->address, file->length);
	hash_search(files(), file->name, HASH_REMOVE, NULL);
}

void
cache_remove(CacheFile *file)
{
	(void) unlink(path_of(file->name));
}

/* --- At the end of the transaction --- */

/*
 * No error may be raised. What could not be removed is found by nobody and does no harm.
 */
static void
at_transaction_end(XactEvent event, void *context)
{
	DIR *directory;
	struct dirent *entry;
	ListCell *cell;

	if (event == XACT_EVENT_COMMIT && forgotten != NIL &&
		(directory = opendir(cache_directory())) != NULL)
	{
		while ((entry = readdir(directory)) != NULL)
			foreach (cell, forgotten)
				if (strncmp(entry->d_name, lfirst(cell), 2 * SHA256_BYTES) == 0)
					(void) unlinkat(dirfd(directory), entry->d_name, 0);
		closedir(directory);
	}
	if (event == XACT_EVENT_ABORT && adds_models)
		foreach (cell, made)
		{
			char path[MAXPGPATH];

			snprintf(path, sizeof path, "%s/%s", cache_directory(), (char *) lfirst(cell));
			(void) unlink(path);
		}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		forgotten = made = NIL; /* freed with their context */
		adds_models = false;
	}
}

static void
watch_transaction(void)
{
	if (!callback_registered)
		RegisterXactCallback(at_transaction_end, NULL);
	callback_registered = true;
}

void
cache_adds_models(void)
{
	watch_transaction();
	adds_models = true;
}

static void
note_made(const char *name)
{
	MemoryContext previous = MemoryContextSwitchTo(TopTransactionContext);

	watch_transaction();
	made = lappend(made, pstrdup(name));
	MemoryContextSwitchTo(previous);
}

void
cache_forget_at_commit(const unsigned char content[SHA256_BYTES])
{
	MemoryContext previous = MemoryContextSwitchTo(TopTransactionContext);
	char *name = palloc(2 * SHA256_BYTES + 1);

	watch_transaction();
	hex(content, name);
	forgotten = lappend(forgotten, name);
	MemoryContextSwitchTo(previous);
}

/* --- Writing --- */

static void
write_all(int fd, const char *path, const void *bytes, size_t length)
{
	for (size_t done = 0; done < length;)
	{
		size_t n = Min(length - done, LARGE_PAGE - done % LARGE_PAGE);
		ssize_t written;

		CHECK_FOR_INTERRUPTS();
		errno = 0;
		written = pwrite(fd, (const char *) bytes + done, n, (off_t) done);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
		{
			if (errno == 0)
				errno = ENOSPC;
			ereport(ERROR,
					(errcode_for_file_access(), errmsg("could not write file \"%s\": %m", path)));
		}
		done += (size_t) written;
	}
}

/* Nobody has written to the file between the two. */
static bool
same_contents(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		   a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/*
 * image: the file to be, file_bytes(size) long, with the payload in its place and zeros elsewhere.
 */
static void
write_file(const char *name, const char *temporary, char *image, size_t size)
{
	CacheHeader *header = (CacheHeader *) image;
	const char *payload = image + HEADER_BYTES;
	size_t length = file_bytes(size);
	char *path = path_of(name);
	struct stat before;
	struct stat after;
	bool read_back;
	int fd;
	int error;
	bool ok;

	memcpy(header->magic, CACHE_MAGIC, sizeof header->magic);
	header->version = CACHE_VERSION;
	header->payload_crc = payload_crc(payload, size);
	header->payload_bytes = size;
	strlcpy(header->name, name, CACHE_NAME_LENGTH);
	header->header_crc = header_crc(header);

	fd = OpenTransientFilePerm(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
							   S_IRUSR | S_IWUSR);
	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not create file \"%s\": %m", temporary)));
	do
	{
		CHECK_FOR_INTERRUPTS();
		error = posix_fallocate(fd, 0, (off_t) length);
	} while (error == EINTR);
	if (error != 0)
	{
		errno = error;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not reserve %zu bytes for file \"%s\": %m", length, temporary)));
	}
	write_all(fd, temporary, image, length);
	read_back = fstat(fd, &before) == 0;
	if (read_crc(fd, size, &ok) != header->payload_crc || !ok)
		ereport(ERROR, (errcode(ERRCODE_IO_ERROR),
						errmsg("file \"%s\" does not read back as it was written", temporary)));
	if (pg_fsync(fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not fsync file \"%s\": %m", temporary)));
	if (rename(temporary, path) != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not rename file \"%s\" to \"%s\": %m", temporary, path)));
	/* what was read back needs no reading again; a rename changes the ctime alone */
	if (read_back && fstat(fd, &after) == 0 && same_contents(&before, &after))
		shared_set_verified(fingerprint_of(&after));
	if (CloseTransientFile(fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not close file \"%s\": %m", path)));
	fsync_fname(cache_directory(), true);
}

/* The pages of a file that was just written, put together: nobody may have it open for writing. */
static void
prefer_large_pages(const char *name, size_t length)
{
	int fd = OpenTransientFile(path_of(name), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	cache_read_in(fd, length);
	CloseTransientFile(fd);
}

/*
 * Fills and writes the file. Two backends may do so at once: both write the same, the last rename
 * stays.
 */
static void
make_file(const char *name, size_t size, CacheFill fill, void *context)
{
	static uint32 counter;
	TimestampTz started = GetCurrentTimestamp();
	MemoryContext memory =
		AllocSetContextCreate(CurrentMemoryContext, "bert prepared block", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(memory);
	char *temporary;
	char *image;

	cache_make_directory();
	cache_remove_leftovers();
	cache_make_room(file_bytes(size));
	image = MemoryContextAllocHuge(memory, file_bytes(size) + HEADER_BYTES);
	image = (char *) TYPEALIGN(HEADER_BYTES, image);
	memset(image, 0, HEADER_BYTES);
	memset(image + HEADER_BYTES + size, 0, file_bytes(size) - HEADER_BYTES - size);
	fill(context, image + HEADER_BYTES, size);
	temporary = path_of(psprintf("%s%d.%u", CACHE_TEMPORARY, MyProcPid, ++counter));
	PG_TRY();
	{
		write_file(name, temporary, image, size);
	}
	PG_CATCH();
	{
		int saved = errno;

		(void) unlink(temporary);
		errno = saved;
		PG_RE_THROW();
	}
	PG_END_TRY();
	prefer_large_pages(name, file_bytes(size));
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(memory);
	note_made(name);
	cache_made.bytes += size;
	cache_made.ms += (double) (GetCurrentTimestamp() - started) / 1000.0;
}

CacheFile *
cache_get(const CacheKey *key, size_t size, CacheFill fill, void *context)
{
	char name[CACHE_NAME_LENGTH];
	CacheFile *file = cache_open(key, size);

	/*
	 * What was just written may be gone again if somebody empties the directory; not three times in
	 * a row.
	 */
	for (int attempt = 0; file == NULL; attempt++)
	{
		make_name(key, name);
		if (attempt == 3)
			ereport(ERROR,
					(errcode(ERRCODE_IO_ERROR),
					 errmsg("file \"%s\" is damaged or removed again and again", path_of(name))));
		make_file(name, size, fill, context);
		file = cache_open(key, size);
	}
	return file;
}

/* --- Damage while mapped --- */

/* Maps the sound file of the name, if there is one, in place of the old mapping. */
static bool
map_again(CacheFile *file, const char *path)
{
	struct stat state;
	size_t payload_bytes = file->payload_bytes;
	int fd = open_sound(path, file->name, &payload_bytes, &state);

	if (fd < 0)
		return false;
	(void) map_file(fd, path, file->address, file->length);
	CloseTransientFile(fd);
	remember_state(file, &state);
	return true;
}

void
cache_keep_sound(CacheFile *file, CacheFill fill, void *context)
{
	char path[MAXPGPATH];
	struct stat state;

	snprintf(path, sizeof path, "%s/%s", cache_directory(), file->name);
	/* Removed or replaced: nobody can get at ours any more, it stays as it was. */
	if (!file->cut &&
		(lstat(path, &state) != 0 || state.st_dev != file->device || state.st_ino != file->inode))
		return;
	if ((!file->cut && fingerprint_of(&state) == file->fingerprint) || map_again(file, path))
		return;
	ereport(LOG, (errmsg("cache file \"%s\" was damaged while in use and is made again", path)));
	(void) unlink(path);
	make_file(file->name, file->payload_bytes, fill, context);
	if (!map_again(file, path))
		ereport(ERROR, (errcode(ERRCODE_IO_ERROR),
						errmsg("file \"%s\" is damaged or removed again and again", path)));
}

/* --- Listing --- */

/* Takes the next part of a name, up to a dot; false if it does not fit. */
static bool
take_part(const char **name, char *out, size_t size)
{
	size_t length = strcspn(*name, ".");

	if (length >= size || (*name)[length] != '.')
		return false;
	memcpy(out, *name, length);
	out[length] = '\0';
	*name += length + 1;
	return true;
}

List *
cache_list(void)
{
	DIR *directory = opendir(cache_directory());
	struct dirent *entry;
	List *entries = NIL;

	if (directory == NULL)
		return NIL;
	closedir(directory);
	directory = AllocateDir(cache_directory());
	while ((entry = ReadDir(directory, cache_directory())) != NULL)
	{
		CacheEntry *out = palloc0(sizeof *out);
		const char *name = entry->d_name;
		struct stat state;

		if (strlcpy(out->file, entry->d_name, sizeof out->file) >= sizeof out->file ||
			!take_part(&name, out->content, sizeof out->content) ||
			!take_part(&name, out->kind, sizeof out->kind) ||
			!take_part(&name, out->precision, sizeof out->precision) ||
			!take_part(&name, out->kernel, sizeof out->kernel) ||
			lstat(path_of(entry->d_name), &state) != 0 || !S_ISREG(state.st_mode))
			continue;
		out->size = state.st_size;
		out->mapped = hash_search(files(), out->file, HASH_FIND, NULL) != NULL;
		entries = lappend(entries, out);
	}
	FreeDir(directory);
	return entries;
}
