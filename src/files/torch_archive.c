/* torch_archive.c: the two containers: a ZIP archive, and the stream that came before it. */
#include "files/torch_archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files/torch_dictionary.h"
#include "files/zip.h"

#define MAX_SMALL_ENTRY ((size_t) 64)
#define MAX_VERSION 10 /* of the archive's format */
#define STREAM_VERSION 1001
#define LENGTH_BYTES 8

static const char zip_start[] = "PK\003\004";
static const char zip_empty[] = "PK\005\006";

/* 0x1950a86a20f9469cfc6c, which the stream's first pickle holds */
static const unsigned char stream_magic[] = {0x6C, 0xFC, 0x9C, 0x46, 0xF9,
											 0x20, 0x6A, 0xA8, 0x50, 0x19};

bool
torch_recognize(const unsigned char *start, size_t n)
{
	return n >= 4 && (memcmp(start, zip_start, 4) == 0 || memcmp(start, zip_empty, 4) == 0 ||
					  (start[0] == 0x80 && start[1] <= 5 && start[2] != 0));
}

static bool
wrong_byte_order(Status *status)
{
	status_fail(status, STATUS_UNSUPPORTED, "the tensors are big-endian");
	return status_hint(status, "Save the file anew on a little-endian machine: "
							   "torch.save(torch.load(file, weights_only=True), file).");
}

/* --- ZIP --- */

/* The folder of the archive that holds data.pkl; its name with the slash. */
static const char *
find_folder(Arena *arena, const ZipArchive *archive, Status *status)
{
	static const char suffix[] = "/data.pkl";
	const char *folder = NULL;

	for (size_t i = 0; i < archive->n_entries; i++)
	{
		const char *name = archive->entries[i].name;
		const char *slash = strchr(name, '/');

		if (slash == NULL || strcmp(slash, suffix) != 0)
			continue;
		if (folder != NULL)
		{
			status_fail(status, STATUS_INVALID_DATA,
						"the ZIP archive has two data.pkl: in \"%.80s\" and \"%.80s\"", folder,
						name);
			return NULL;
		}
		folder = arena_strndup(arena, name, (size_t) (slash - name) + 1);
		if (folder == NULL)
		{
			arena_fail(arena, status, "a name", strlen(name));
			return NULL;
		}
	}
	if (folder == NULL)
	{
		status_fail(status, STATUS_INVALID_DATA,
					"the ZIP archive has no data.pkl: torch.save has not made it");
		status_hint(status, "%s", torch_save_hint);
	}
	return folder;
}

/* An entry of the folder. name: FOLDER_NAME bytes of its own. */
static const ZipEntry *
find_entry(const ZipArchive *archive, const char *folder, const char *name)
{
	char path[1024];

	snprintf(path, sizeof path, "%s%s", folder, name);
	return zip_find(archive, path);
}

static bool
check_version(Arena *arena, const ZipArchive *archive, const char *folder, Status *status)
{
	const ZipEntry *entry = find_entry(archive, folder, "version");
	const char *text;
	long version;
	char *end;

	if (entry == NULL)
		return true;
	text = zip_read_all(arena, archive, entry, MAX_SMALL_ENTRY, status);
	if (text == NULL)
		return false;
	version = strtol(text, &end, 10);
	return (end != text && (*end == '\0' || *end == '\n') && version >= 1 &&
			version <= MAX_VERSION) ||
		   status_fail(status, STATUS_UNSUPPORTED,
					   "the archive's format has version \"%.20s\", not 1 to %d", text,
					   MAX_VERSION);
}

static bool
check_byte_order(Arena *arena, const ZipArchive *archive, const char *folder, Status *status)
{
	const ZipEntry *entry = find_entry(archive, folder, "byteorder");
	const char *text;

	if (entry == NULL) /* PyTorch before 2.1 */
		return true;
	text = zip_read_all(arena, archive, entry, MAX_SMALL_ENTRY, status);
	if (text == NULL)
		return false;
	if (strcmp(text, "big") == 0)
		return wrong_byte_order(status);
	return strcmp(text, "little") == 0 ||
		   status_fail(status, STATUS_INVALID_DATA, "the archive's byte order is \"%.20s\"", text);
}

/* Where the storages' bytes are: an entry each, data/KEY. */
static bool
place_entries(const TorchDictionary *dictionary, const ZipArchive *archive, const char *folder,
			  Status *status)
{
	for (size_t i = 0; i < dictionary->n_storages; i++)
	{
		TorchStorage *storage = dictionary->storages[i];
		const ZipEntry *entry;
		char name[32];

		if (i > 0 && storage->key == dictionary->storages[i - 1]->key)
		{
			storage->offset = dictionary->storages[i - 1]->offset;
			storage->checksum = dictionary->storages[i - 1]->checksum;
			continue;
		}
		snprintf(name, sizeof name, "data/%llu", (unsigned long long) storage->key);
		entry = find_entry(archive, folder, name);
		if (entry == NULL)
			return status_fail(status, STATUS_INVALID_DATA, "the archive has no entry \"%s\"",
							   name);
		if (entry->size != storage->elements * storage->dtype->bytes)
			return status_fail(status, STATUS_INVALID_DATA,
							   "entry \"%s\" has %llu bytes, which its %llu elements of dtype %s "
							   "do not give",
							   name, (unsigned long long) entry->size,
							   (unsigned long long) storage->elements, storage->dtype->name);
		storage->offset = entry->offset;
		if (entry->crc == 0)
			continue;
		storage->checksum = arena_alloc_zero(dictionary->arena, sizeof *storage->checksum);
		if (storage->checksum == NULL)
			return arena_fail(dictionary->arena, status, "a checksum", sizeof *storage->checksum);
		storage->checksum->expected = entry->crc;
	}
	return true;
}

static bool
open_zip(Arena *arena, ByteSource *file, Checkpoint *part, Status *status)
{
	ZipArchive archive;
	const char *folder;
	const ZipEntry *entry;
	ByteSource pickle;
	PickleReader reader;
	TorchDictionary dictionary;
	char *bytes;

	if (!zip_open(arena, file, &archive, status))
		return false;
	folder = find_folder(arena, &archive, status);
	if (folder == NULL)
		return false;
	if (find_entry(&archive, folder, "constants.pkl") != NULL)
		return status_fail(status, STATUS_UNSUPPORTED,
						   "the file is a TorchScript archive, a compiled program") ||
			   status_hint(status, "%s", torch_save_hint);
	if (!check_version(arena, &archive, folder, status) ||
		!check_byte_order(arena, &archive, folder, status))
		return false;
	entry = find_entry(&archive, folder, "data.pkl");
	bytes = zip_read_all(arena, &archive, entry, PICKLE_MAX_BYTES, status);
	if (bytes == NULL)
		return false;
	source_from_memory(&pickle, entry->name, bytes, (size_t) entry->size);
	pickle_reader_init(&reader, &pickle, 0);
	return torch_dictionary_read(arena, &reader, &dictionary, status) &&
		   place_entries(&dictionary, &archive, folder, status) &&
		   torch_dictionary_tensors(&dictionary, file, part, status);
}

/* --- Stream --- */

/* The first three pickles: magic number, version, machine. */
static bool
read_heading(Arena *arena, PickleReader *reader, Status *status)
{
	PickleValue value;

	if (!pickle_read(arena, reader, &torch_plain_values, &value, status))
		return false;
	if (value.kind != PICKLE_BIG || value.as.string->length != sizeof stream_magic ||
		memcmp(value.as.string->bytes, stream_magic, sizeof stream_magic) != 0)
		return status_fail(status, STATUS_INVALID_DATA,
						   "the file is a pickle, but none of torch.save") ||
			   status_hint(status, "%s", torch_save_hint);
	if (!pickle_read(arena, reader, &torch_plain_values, &value, status))
		return false;
	if (value.kind != PICKLE_INT || value.as.integer != STREAM_VERSION)
		return status_fail(status, STATUS_UNSUPPORTED, "torch.save's protocol is not %d",
						   STREAM_VERSION);
	if (!pickle_read(arena, reader, &torch_plain_values, &value, status))
		return false;
	if (value.kind != PICKLE_DICT)
		return status_fail(status, STATUS_INVALID_DATA, "the description of the machine is %s",
						   pickle_kind_name(value.kind));
	for (size_t i = 0; i < value.as.items->n; i += 2)
	{
		const PickleValue *member = &value.as.items->values[i];

		if (pickle_is_text(&member[0], "little_endian") &&
			(member[1].kind != PICKLE_BOOL || member[1].as.integer == 0))
			return wrong_byte_order(status);
	}
	return true;
}

/* The first mention of a storage, or the dictionary's end. */
static size_t
find_storage(const TorchDictionary *dictionary, uint64_t key)
{
	size_t low = 0;
	size_t high = dictionary->n_storages;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;

		if (dictionary->storages[middle]->key < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low < dictionary->n_storages && dictionary->storages[low]->key == key
			   ? low
			   : dictionary->n_storages;
}

/* The next storage in the file: how many elements, then they. *at moves behind them. */
static bool
place_storage(const TorchDictionary *dictionary, uint64_t key, ByteSource *file, uint64_t *at,
			  Status *status)
{
	size_t i = find_storage(dictionary, key);
	unsigned char bytes[LENGTH_BYTES];
	uint64_t elements = 0;
	const TorchStorage *first;

	if (i == dictionary->n_storages || dictionary->storages[i]->offset != 0)
		return status_fail(status, STATUS_INVALID_DATA, "storage %llu %s", (unsigned long long) key,
						   i == dictionary->n_storages ? "belongs to no tensor" : "is there twice");
	first = dictionary->storages[i];
	if (file->size - *at < LENGTH_BYTES)
		return status_fail(status, STATUS_INVALID_DATA, "the file ends before storage %llu",
						   (unsigned long long) key);
	if (!file->read(file, *at, bytes, LENGTH_BYTES, status))
		return false;
	*at += LENGTH_BYTES;
	for (int b = LENGTH_BYTES - 1; b >= 0; b--)
		elements = elements << 8 | bytes[b];
	if (elements != first->elements || elements * first->dtype->bytes > file->size - *at)
		return status_fail(status, STATUS_INVALID_DATA, "storage %llu has %llu elements %s",
						   (unsigned long long) key, (unsigned long long) elements,
						   elements != first->elements ? "where the pickle says another number"
													   : "and the file ends before the last");
	for (; i < dictionary->n_storages && dictionary->storages[i]->key == key; i++)
		dictionary->storages[i]->offset = *at;
	*at += elements * first->dtype->bytes;
	return true;
}

/* Where the storages' bytes are: one after the other, in the order of a list of keys. */
static bool
place_stream(Arena *arena, const TorchDictionary *dictionary, PickleReader *reader,
			 ByteSource *file, Status *status)
{
	PickleValue keys;
	uint64_t at;

	if (!pickle_read(arena, reader, &torch_plain_values, &keys, status))
		return false;
	if (keys.kind != PICKLE_LIST)
		return status_fail(status, STATUS_INVALID_DATA, "the list of storages is %s",
						   pickle_kind_name(keys.kind));
	at = reader->at;
	for (size_t i = 0; i < keys.as.items->n; i++)
	{
		uint64_t key;

		if (!torch_storage_key(&keys.as.items->values[i], &key))
			return status_fail(status, STATUS_INVALID_DATA,
							   "the list of storages names one by what is no number");
		if (!arena_may_continue(arena, status) ||
			!place_storage(dictionary, key, file, &at, status))
			return false;
	}
	if (at != file->size)
		return status_fail(status, STATUS_INVALID_DATA,
						   "%llu bytes of the file belong to no storage",
						   (unsigned long long) (file->size - at));
	for (size_t i = 0; i < dictionary->n_storages; i++)
		if (dictionary->storages[i]->offset == 0)
			return status_fail(status, STATUS_INVALID_DATA, "storage %llu is not in the file",
							   (unsigned long long) dictionary->storages[i]->key);
	return true;
}

static bool
open_stream(Arena *arena, ByteSource *file, Checkpoint *part, Status *status)
{
	TorchDictionary dictionary;
	PickleReader reader;

	pickle_reader_init(&reader, file, 0);
	return read_heading(arena, &reader, status) &&
		   torch_dictionary_read(arena, &reader, &dictionary, status) &&
		   place_stream(arena, &dictionary, &reader, file, status) &&
		   torch_dictionary_tensors(&dictionary, file, part, status);
}

bool
torch_open(Arena *arena, ByteSource *file, Checkpoint *part, Status *status)
{
	unsigned char start[4];

	if (file->size < sizeof start)
		return status_fail(status, STATUS_INVALID_DATA, "the file has only %llu bytes",
						   (unsigned long long) file->size);
	if (!file->read(file, 0, start, sizeof start, status))
		return false;
	return start[0] == 0x80 ? open_stream(arena, file, part, status)
							: open_zip(arena, file, part, status);
}
