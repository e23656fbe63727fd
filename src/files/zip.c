/* zip.c: end records, directory, local headers. */
#include "files/zip.h"

#include <stdlib.h>
#include <string.h>

#include "core/hash.h"

#define END_BYTES 22
#define END64_BYTES 56
#define LOCATOR_BYTES 20
#define CENTRAL_BYTES 46
#define LOCAL_BYTES 30
#define MAX_COMMENT 65535
#define MAX_ENTRIES 65600
#define MAX_DIRECTORY ((uint64_t) 16 * 1024 * 1024)
#define MAX_NAME 512
#define QUESTION_STEP 256 /* entries between two questions */

#define SIGNATURE_LOCAL 0x04034B50u
#define SIGNATURE_CENTRAL 0x02014B50u
#define SIGNATURE_END 0x06054B50u
#define SIGNATURE_END64 0x06064B50u
#define SIGNATURE_LOCATOR 0x07064B50u

#define FLAG_DESCRIPTOR 0x0008
#define FLAGS_ENCRYPTED (0x0001 | 0x0040 | 0x2000)
#define EXTRA_ZIP64 0x0001
#define NOT_HERE 0xFFFFFFFFu /* the number is in the ZIP64 record */

#define damaged(status, what) status_fail(status, STATUS_INVALID_DATA, "the ZIP archive %s", what)

/* Where the directory lies. */
typedef struct Directory
{
	uint64_t offset;
	uint64_t size;
	uint64_t count;
	uint64_t end; /* of what must follow the directory: its end record */
} Directory;

static uint64_t
load(const unsigned char *bytes, int n)
{
	uint64_t value = 0;

	for (int i = n - 1; i >= 0; i--)
		value = value << 8 | bytes[i];
	return value;
}

/* The end record: it ends, with its comment, where the file ends. *at: its offset. */
static bool
find_end(Arena *arena, ByteSource *source, unsigned char end[END_BYTES], uint64_t *at,
		 Status *status)
{
	size_t length =
		source->size < END_BYTES + MAX_COMMENT ? (size_t) source->size : END_BYTES + MAX_COMMENT;
	ArenaMark mark = arena_mark(arena);
	unsigned char *tail = arena_alloc(arena, length);
	bool found = false;

	if (tail == NULL)
		return arena_fail(arena, status, "the archive's end", length);
	if (!source->read(source, source->size - length, tail, length, status))
		return false;
	for (size_t i = length < END_BYTES ? 0 : length - END_BYTES + 1; !found && i-- > 0;)
	{
		found =
			load(tail + i, 4) == SIGNATURE_END && load(tail + i + 20, 2) == length - i - END_BYTES;
		if (found)
		{
			memcpy(end, tail + i, END_BYTES);
			*at = source->size - length + i;
		}
	}
	arena_rewind(arena, mark);
	return found || damaged(status, "has no end record: the file is not complete");
}

/* The ZIP64 end record, if its locator stands before the end record at `at`. */
static bool
read_end64(ByteSource *source, uint64_t at, Directory *directory, Status *status)
{
	unsigned char bytes[END64_BYTES];
	uint64_t record;
	uint64_t locator;

	if (at < LOCATOR_BYTES + END64_BYTES)
		return true;
	locator = at - LOCATOR_BYTES;
	if (!source->read(source, locator, bytes, LOCATOR_BYTES, status))
		return false;
	if (load(bytes, 4) != SIGNATURE_LOCATOR)
		return true;
	record = load(bytes + 8, 8);
	if (load(bytes + 4, 4) != 0 || load(bytes + 16, 4) > 1)
		return damaged(status, "has several parts");
	if (record > locator - END64_BYTES)
		return damaged(status, "has a ZIP64 record outside of itself");
	if (!source->read(source, record, bytes, END64_BYTES, status))
		return false;
	if (load(bytes, 4) != SIGNATURE_END64 || load(bytes + 4, 8) != locator - record - 12 ||
		load(bytes + 16, 4) != 0 || load(bytes + 20, 4) != 0 ||
		load(bytes + 24, 8) != load(bytes + 32, 8))
		return damaged(status, "has a ZIP64 record that is not one");
	directory->count = load(bytes + 32, 8);
	directory->size = load(bytes + 40, 8);
	directory->offset = load(bytes + 48, 8);
	directory->end = record;
	return true;
}

static bool
find_directory(Arena *arena, ByteSource *source, Directory *directory, Status *status)
{
	unsigned char end[END_BYTES];

	if (!find_end(arena, source, end, &directory->end, status))
		return false;
	if (load(end + 4, 2) != 0 || load(end + 6, 2) != 0 || load(end + 8, 2) != load(end + 10, 2))
		return damaged(status, "has several parts");
	directory->count = load(end + 10, 2);
	directory->size = load(end + 12, 4);
	directory->offset = load(end + 16, 4);
	if (!read_end64(source, directory->end, directory, status))
		return false;
	if (directory->count > MAX_ENTRIES || directory->size > MAX_DIRECTORY)
		return status_fail(status, STATUS_LIMIT,
						   "the ZIP archive has %llu entries in a directory of %llu bytes, more "
						   "than %d and %llu",
						   (unsigned long long) directory->count,
						   (unsigned long long) directory->size, MAX_ENTRIES,
						   (unsigned long long) MAX_DIRECTORY);
	if (directory->size > directory->end || directory->offset != directory->end - directory->size)
		return damaged(status, "has a directory that does not lie before its end record");
	if (directory->count > directory->size / CENTRAL_BYTES)
		return damaged(status, "has a directory too short for its entries");
	return true;
}

/* What the directory's record says in 64 bits where 32 do not do. */
static bool
read_extra(const unsigned char *extra, size_t length, ZipEntry *entry, uint64_t *compressed,
		   Status *status)
{
	while (length >= 4)
	{
		size_t size = load(extra + 2, 2);
		uint64_t *const wanted[] = {&entry->size, compressed, &entry->header};
		size_t at = 4;

		if (size > length - 4)
			break;
		for (int i = 0; i < 3 && load(extra, 2) == EXTRA_ZIP64; i++)
			if (*wanted[i] == NOT_HERE && at + 8 <= size + 4)
			{
				*wanted[i] = load(extra + at, 8);
				at += 8;
			}
		extra += size + 4;
		length -= size + 4;
	}
	return length == 0 || damaged(status, "has a record that is cut off");
}

static bool
check_stored(const char *name, uint64_t flags, uint64_t method, Status *status)
{
	if ((flags & FLAGS_ENCRYPTED) != 0)
		return status_fail(status, STATUS_UNSUPPORTED, "entry \"%.100s\" is encrypted", name);
	if (method == 0)
		return true;
	status_fail(status, STATUS_UNSUPPORTED, "entry \"%.100s\" is compressed (%s)", name,
				method == 8 ? "deflate" : "not deflate");
	return status_hint(status,
					   "torch.save stores what it writes, and only that is read. Unpack the "
					   "file and pack it again with \"zip -0 -r\", or save it anew: "
					   "torch.save(torch.load(file, weights_only=True), file).");
}

/* One record of the directory; *length is what it takes, *flags its flags. */
static bool
read_record(Arena *arena, const unsigned char *bytes, size_t left, ZipEntry *entry, size_t *length,
			Status *status)
{
	size_t name_length;
	size_t extra_length;
	uint64_t compressed;

	if (left < CENTRAL_BYTES || load(bytes, 4) != SIGNATURE_CENTRAL)
		return damaged(status, "has a directory that is not one");
	name_length = load(bytes + 28, 2);
	extra_length = load(bytes + 30, 2);
	*length = CENTRAL_BYTES + name_length + extra_length + load(bytes + 32, 2);
	if (*length > left)
		return damaged(status, "has a record that is cut off");
	if (name_length > MAX_NAME || memchr(bytes + CENTRAL_BYTES, '\0', name_length) != NULL)
		return damaged(status, "has an entry whose name is no name");
	entry->name = arena_strndup(arena, (const char *) bytes + CENTRAL_BYTES, name_length);
	if (entry->name == NULL)
		return arena_fail(arena, status, "an entry's name", name_length);
	entry->crc = (uint32_t) load(bytes + 16, 4);
	compressed = load(bytes + 20, 4);
	entry->size = load(bytes + 24, 4);
	entry->header = load(bytes + 42, 4);
	if (!check_stored(entry->name, load(bytes + 8, 2), load(bytes + 10, 2), status) ||
		!read_extra(bytes + CENTRAL_BYTES + name_length, extra_length, entry, &compressed, status))
		return false;
	if (load(bytes + 34, 2) != 0)
		return damaged(status, "has several parts");
	return compressed == entry->size ||
		   status_fail(status, STATUS_INVALID_DATA, "entry \"%.100s\" is stored, with two sizes",
					   entry->name);
}

/* A folder's own entry: nothing is in it. */
static bool
is_folder(const ZipEntry *entry)
{
	size_t length = strlen(entry->name);

	return length > 1 && entry->name[length - 1] == '/' && entry->size == 0;
}

static bool
read_directory(Arena *arena, const Directory *directory, ZipArchive *archive, Status *status)
{
	size_t left = (size_t) directory->size;
	unsigned char *bytes = arena_alloc(arena, left);

	archive->entries = arena_alloc_array(arena, directory->count, sizeof *archive->entries);
	if (bytes == NULL || archive->entries == NULL)
		return arena_fail(arena, status, "the archive's directory", left);
	if (!source_read(archive->source, directory->offset, bytes, left, arena_question(arena),
					 status))
		return false;
	for (uint64_t i = 0; i < directory->count; i++)
	{
		ZipEntry *entry = &archive->entries[archive->n_entries];
		size_t length;

		if ((i % QUESTION_STEP == 0 && !arena_may_continue(arena, status)) ||
			!read_record(arena, bytes, left, entry, &length, status))
			return false;
		bytes += length;
		left -= length;
		if (is_folder(entry))
			continue;
		if (!source_name_allowed(entry->name))
			return status_fail(status, STATUS_INVALID_DATA,
							   "entry \"%.100s\" has a name that leads out of the archive",
							   entry->name);
		archive->n_entries++;
	}
	return left == 0 || damaged(status, "has a directory longer than its entries");
}

/* The header before the entry's data says the same as the directory. limit: the directory's. */
static bool
read_local(ByteSource *source, uint64_t limit, ZipEntry *entry, Status *status)
{
	size_t name_length = strlen(entry->name);
	unsigned char bytes[LOCAL_BYTES + MAX_NAME];
	uint64_t taken = LOCAL_BYTES + name_length;
	uint64_t flags;

	if (entry->header > limit || limit - entry->header < taken)
		return status_fail(status, STATUS_INVALID_DATA, "entry \"%.100s\" lies outside the archive",
						   entry->name);
	if (!source->read(source, entry->header, bytes, (size_t) taken, status))
		return false;
	flags = load(bytes + 6, 2);
	if (load(bytes, 4) != SIGNATURE_LOCAL || load(bytes + 26, 2) != name_length ||
		memcmp(bytes + LOCAL_BYTES, entry->name, name_length) != 0)
		return status_fail(status, STATUS_INVALID_DATA,
						   "entry \"%.100s\" is not where the archive's directory says",
						   entry->name);
	if (!check_stored(entry->name, flags, load(bytes + 8, 2), status))
		return false;
	if ((flags & FLAG_DESCRIPTOR) == 0)
		for (int at = 18; at <= 22; at += 4)
			if (load(bytes + at, 4) != NOT_HERE && load(bytes + at, 4) != entry->size)
				return status_fail(status, STATUS_INVALID_DATA,
								   "entry \"%.100s\" has another size in the archive's directory",
								   entry->name);
	taken += load(bytes + 28, 2);
	if (limit - entry->header < taken || limit - entry->header - taken < entry->size)
		return status_fail(status, STATUS_INVALID_DATA, "entry \"%.100s\" lies outside the archive",
						   entry->name);
	entry->offset = entry->header + taken;
	return true;
}

static int
compare_header(const void *a, const void *b)
{
	const ZipEntry *left = a;
	const ZipEntry *right = b;

	return (left->header > right->header) - (left->header < right->header);
}

static int
compare_name(const void *a, const void *b)
{
	return strcmp(((const ZipEntry *) a)->name, ((const ZipEntry *) b)->name);
}

bool
zip_open(Arena *arena, ByteSource *source, ZipArchive *archive, Status *status)
{
	Directory directory;
	ZipEntry *entries;

	memset(archive, 0, sizeof *archive);
	archive->source = source;
	if (!find_directory(arena, source, &directory, status) ||
		!read_directory(arena, &directory, archive, status))
		return false;
	entries = archive->entries;
	qsort(entries, archive->n_entries, sizeof *entries, compare_header);
	for (size_t i = 0; i < archive->n_entries; i++)
	{
		if ((i % QUESTION_STEP == 0 && !arena_may_continue(arena, status)) ||
			!read_local(source, directory.offset, &entries[i], status))
			return false;
		if (i > 0 && entries[i].header < entries[i - 1].offset + entries[i - 1].size)
			return status_fail(status, STATUS_INVALID_DATA,
							   "entries \"%.100s\" and \"%.100s\" overlap", entries[i - 1].name,
							   entries[i].name);
	}
	qsort(entries, archive->n_entries, sizeof *entries, compare_name);
	for (size_t i = 1; i < archive->n_entries; i++)
		if (strcmp(entries[i - 1].name, entries[i].name) == 0)
			return status_fail(status, STATUS_INVALID_DATA, "entry \"%.100s\" is there twice",
							   entries[i].name);
	return true;
}

const ZipEntry *
zip_find(const ZipArchive *archive, const char *name)
{
	ZipEntry key = {.name = name};

	if (archive->n_entries == 0)
		return NULL;
	return bsearch(&key, archive->entries, archive->n_entries, sizeof key, compare_name);
}

char *
zip_read_all(Arena *arena, const ZipArchive *archive, const ZipEntry *entry, size_t limit,
			 Status *status)
{
	char *bytes;

	if (entry->size > limit)
	{
		status_fail(status, STATUS_LIMIT, "entry \"%.100s\" has %llu bytes, more than %zu",
					entry->name, (unsigned long long) entry->size, limit);
		return NULL;
	}
	bytes = arena_alloc(arena, (size_t) entry->size + 1);
	if (bytes == NULL)
	{
		arena_fail(arena, status, entry->name, (size_t) entry->size);
		return NULL;
	}
	if (!source_read(archive->source, entry->offset, bytes, (size_t) entry->size,
					 arena_question(arena), status))
		return NULL;
	bytes[entry->size] = '\0';
	if (entry->crc != 0 && crc32_zip(0, bytes, (size_t) entry->size) != entry->crc)
	{
		status_fail(status, STATUS_INVALID_DATA,
					"entry \"%.100s\" is damaged: its checksum is another one", entry->name);
		return NULL;
	}
	return bytes;
}
