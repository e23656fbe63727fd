/*
 * torch_fixture.h: files as torch.save makes them, and as it never would: bytes put together,
 * pickles of one tensor, ZIP archives whose every field can be wrong. Memory is the arena's.
 */
#ifndef BERT_TEST_TORCH_FIXTURE_H
#define BERT_TEST_TORCH_FIXTURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/hash.h"

typedef struct Bytes
{
	Arena *arena;
	unsigned char *bytes;
	size_t size;
	size_t capacity;
} Bytes;

static inline void
put(Bytes *to, const void *bytes, size_t n)
{
	if (to->capacity - to->size < n)
	{
		size_t capacity = to->capacity * 2 > to->size + n ? to->capacity * 2 : to->size + n;
		unsigned char *larger = arena_alloc(to->arena, capacity);

		if (larger == NULL)
			abort();
		if (to->size > 0)
			memcpy(larger, to->bytes, to->size);
		to->bytes = larger;
		to->capacity = capacity;
	}
	if (n > 0)
		memcpy(to->bytes + to->size, bytes, n);
	to->size += n;
}

/* A literal, NULs in it included. */
#define PUT(to, literal) put(to, literal, sizeof literal - 1)

static inline void
put_number(Bytes *to, uint64_t number, int n)
{
	for (; n > 0; n--, number >>= 8)
	{
		unsigned char byte = (unsigned char) number;

		put(to, &byte, 1);
	}
}

/* BINUNICODE */
static inline void
put_text(Bytes *to, const char *text)
{
	PUT(to, "X");
	put_number(to, strlen(text), 4);
	put(to, text, strlen(text));
}

/* BININT */
static inline void
put_int(Bytes *to, int64_t number)
{
	PUT(to, "J");
	put_number(to, (uint64_t) number, 4);
}

/* A tensor of a pickle, and its storage. */
typedef struct Sample
{
	const char *storage; /* the class, in torch */
	const char *key;
	int64_t elements; /* of the storage */
	int64_t offset;
	int rank;
	int64_t shape[9];
	int64_t strides[9];
} Sample;

static const Sample plain_sample = {"FloatStorage", "0", 6, 0, 2, {2, 3}, {3, 1}};

static inline void
put_sizes(Bytes *to, const int64_t *sizes, int n)
{
	PUT(to, "(");
	for (int i = 0; i < n; i++)
	{
		PUT(to, "\x8A\x08");
		put_number(to, (uint64_t) sizes[i], 8);
	}
	PUT(to, "t");
}

static inline void
put_tensor(Bytes *to, const Sample *sample)
{
	PUT(to, "ctorch._utils\n_rebuild_tensor_v2\n((");
	put_text(to, "storage");
	PUT(to, "ctorch\n");
	put(to, sample->storage, strlen(sample->storage));
	PUT(to, "\n");
	put_text(to, sample->key);
	put_text(to, "cpu");
	PUT(to, "\x8A\x08");
	put_number(to, (uint64_t) sample->elements, 8);
	PUT(to, "tQ\x8A\x08");
	put_number(to, (uint64_t) sample->offset, 8);
	put_sizes(to, sample->shape, sample->rank);
	put_sizes(to, sample->strides, sample->rank);
	PUT(to, "\x89"
			"ccollections\nOrderedDict\n)RtR");
}

/* {"a": tensor} */
static inline Bytes
sample_pickle(Arena *arena, const Sample *sample)
{
	Bytes pickle = {.arena = arena};

	PUT(&pickle, "\x80\x02}(");
	put_text(&pickle, "a");
	put_tensor(&pickle, sample);
	PUT(&pickle, "u.");
	return pickle;
}

/* An entry of an archive; what is not given is as it should be. */
typedef struct Entry
{
	const char *name;
	const void *bytes;
	size_t size;
	const char *local_name; /* in the local header */
	int method;
	int flags;
	uint32_t crc_error; /* added to the right one */
	int64_t local_size_error;
	int64_t size_error;            /* in the directory */
	int64_t compressed_size_error; /* in the directory */
	int64_t header_error;          /* of the offset in the directory */
	bool zip64;                    /* sizes and offset in the extra field */
	bool folded;                   /* shares the local header of the entry before it */
} Entry;

/* What can be wrong with the end records. */
typedef struct End
{
	bool zip64;
	int64_t count_error;
	int64_t size_error;
	int64_t offset_error;
	int64_t record_error; /* of the ZIP64 record's offset in its locator */
	int disk;
	int comment;      /* bytes */
	int comment_said; /* more than there are */
	int junk;         /* bytes before the end records */
} End;

static inline void
put_local(Bytes *zip, const Entry *entry, uint32_t crc)
{
	const char *name = entry->local_name != NULL ? entry->local_name : entry->name;
	uint64_t size = entry->size + (uint64_t) entry->local_size_error;

	PUT(zip, "PK\003\004");
	put_number(zip, 45, 2);
	put_number(zip, (uint64_t) entry->flags, 2);
	put_number(zip, (uint64_t) entry->method, 2);
	put_number(zip, 0, 4);
	put_number(zip, crc, 4);
	put_number(zip, size, 4);
	put_number(zip, size, 4);
	put_number(zip, strlen(name), 2);
	put_number(zip, 3, 2);
	put(zip, name, strlen(name));
	PUT(zip, "FB\0");
	put(zip, entry->bytes, entry->size);
}

static inline void
put_central(Bytes *zip, const Entry *entry, uint64_t header, uint32_t crc)
{
	uint64_t size = entry->size + (uint64_t) entry->size_error;
	uint64_t compressed = entry->size + (uint64_t) entry->compressed_size_error;

	header += (uint64_t) entry->header_error;
	PUT(zip, "PK\001\002");
	put_number(zip, 45, 2);
	put_number(zip, 45, 2);
	put_number(zip, (uint64_t) entry->flags, 2);
	put_number(zip, (uint64_t) entry->method, 2);
	put_number(zip, 0, 4);
	put_number(zip, crc, 4);
	put_number(zip, entry->zip64 ? UINT32_MAX : compressed, 4);
	put_number(zip, entry->zip64 ? UINT32_MAX : size, 4);
	put_number(zip, strlen(entry->name), 2);
	put_number(zip, entry->zip64 ? 28 : 0, 2);
	put_number(zip, 0, 2 + 2 + 2 + 4);
	put_number(zip, entry->zip64 ? UINT32_MAX : header, 4);
	put(zip, entry->name, strlen(entry->name));
	if (entry->zip64)
	{
		PUT(zip, "\x01\0\x18\0");
		put_number(zip, size, 8);
		put_number(zip, compressed, 8);
		put_number(zip, header, 8);
	}
}

static inline void
put_end(Bytes *zip, const End *end, uint64_t count, uint64_t directory)
{
	uint64_t size = zip->size - directory;

	count += (uint64_t) end->count_error;
	directory += (uint64_t) end->offset_error;
	size += (uint64_t) end->size_error;
	for (int i = 0; i < end->junk; i++)
		PUT(zip, "j");
	if (end->zip64)
	{
		uint64_t record = zip->size + (uint64_t) end->record_error;

		PUT(zip, "PK\006\006\x2C\0\0\0\0\0\0\0\x2D\0\x2D\0");
		put_number(zip, (uint64_t) end->disk, 4);
		put_number(zip, 0, 4);
		put_number(zip, count, 8);
		put_number(zip, count, 8);
		put_number(zip, size, 8);
		put_number(zip, directory, 8);
		PUT(zip, "PK\006\007\0\0\0\0");
		put_number(zip, record, 8);
		put_number(zip, 1, 4);
	}
	PUT(zip, "PK\005\006");
	put_number(zip, (uint64_t) end->disk, 2);
	put_number(zip, 0, 2);
	put_number(zip, end->zip64 ? UINT16_MAX : count, 2);
	put_number(zip, end->zip64 ? UINT16_MAX : count, 2);
	put_number(zip, end->zip64 ? UINT32_MAX : size, 4);
	put_number(zip, end->zip64 ? UINT32_MAX : directory, 4);
	put_number(zip, (uint64_t) (end->comment + end->comment_said), 2);
	for (int i = 0; i < end->comment; i++)
		PUT(zip, "c");
}

static inline Bytes
make_zip(Arena *arena, const Entry *entries, size_t n, const End *end)
{
	Bytes zip = {.arena = arena};
	uint64_t *headers = arena_alloc_array(arena, n + 1, sizeof *headers);
	uint64_t directory;

	if (headers == NULL)
		abort();
	for (size_t i = 0; i < n; i++)
	{
		headers[i] = entries[i].folded ? headers[i - 1] : zip.size;
		if (!entries[i].folded)
			put_local(&zip, &entries[i],
					  crc32_zip(0, entries[i].bytes, entries[i].size) + entries[i].crc_error);
	}
	directory = zip.size;
	for (size_t i = 0; i < n; i++)
		put_central(&zip, &entries[i], headers[i],
					crc32_zip(0, entries[i].bytes, entries[i].size) + entries[i].crc_error);
	put_end(&zip, end, n, directory);
	return zip;
}

/* The bytes of a storage of float. */
static const float sample_floats[] = {1, 2, 3, 4, 5, 6};

/* The archive of a pickle and one storage. */
static inline Bytes
archive_of(Arena *arena, const Bytes *pickle)
{
	Entry entries[] = {{.name = "m/data.pkl", .bytes = pickle->bytes, .size = pickle->size},
					   {.name = "m/byteorder", .bytes = "little", .size = 6},
					   {.name = "m/data/0", .bytes = sample_floats, .size = sizeof sample_floats},
					   {.name = "m/version", .bytes = "3\n", .size = 2}};

	return make_zip(arena, entries, 4, &(End){0});
}

#endif
