/* spill.c: writing, verifying and reading the file of tokenized samples. */
#include "train/spill.h"

#include <errno.h>
#include <stddef.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/rng.h"

#define BUFFER_SIZE ((size_t) 256 * 1024)
#define SHUFFLE_STREAM UINT64_C(0x73687566666c6500) /* "shuffle" */

static const char magic[8] = "bertspl2";

/*
 * Fixed part of a record; lengths, ids, labels, values, starts, ends, words, types, context and
 * answer follow in this order.
 */
typedef struct RecordHeader
{
	uint32_t bytes; /* of the whole record */
	uint32_t n_sequences;
	uint32_t n_tokens;
	uint32_t n_labels;
	uint32_t n_values;
	uint32_t n_places; /* 0 or n_tokens */
	uint64_t row;
	uint32_t n_context;
	uint32_t n_answer;
} RecordHeader;

typedef struct Footer
{
	char magic[8];
	uint64_t count;
	uint64_t index_offset;              /* of count uint64_t record offsets */
	unsigned char digest[SHA256_BYTES]; /* of the bytes before the footer */
	uint32_t unused;
	uint32_t crc; /* of the footer up to here */
} Footer;

struct SpillWriter
{
	Arena *arena;
	const char *path;
	int fd; /* -1 once finished or abandoned */
	unsigned char *buffer;
	size_t filled;
	uint64_t written; /* bytes, the buffer's included */
	uint64_t count;
	uint64_t capacity;
	uint64_t *offsets;
	Sha256 hash;
};

struct SpillReader
{
	const char *path;
	int fd;
	Footer footer;
};

SpillWriter *
spill_create(Arena *arena, const char *path, Status *status)
{
	SpillWriter *writer = arena_alloc_zero(arena, sizeof *writer);

	if (writer == NULL || (writer->path = arena_strdup(arena, path)) == NULL ||
		(writer->buffer = arena_alloc(arena, BUFFER_SIZE)) == NULL)
	{
		arena_fail(arena, status, "the training set's writer", BUFFER_SIZE);
		return NULL;
	}
	writer->arena = arena;
	writer->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (writer->fd < 0)
	{
		status_fail_errno(status, errno, "could not create file \"%s\"", path);
		return NULL;
	}
	sha256_init(&writer->hash);
	return writer;
}

static bool
write_all(SpillWriter *writer, const void *bytes, size_t length, Status *status)
{
	const unsigned char *at = bytes;

	while (length > 0)
	{
		ssize_t n = write(writer->fd, at, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return status_fail_errno(status, n == 0 ? ENOSPC : errno, "could not write file \"%s\"",
									 writer->path);
		at += n;
		length -= (size_t) n;
	}
	return true;
}

static bool
flush(SpillWriter *writer, Status *status)
{
	bool ok = write_all(writer, writer->buffer, writer->filled, status);

	writer->filled = 0;
	return ok;
}

/* Buffers bytes that belong to the digest. */
static bool
put(SpillWriter *writer, const void *bytes, size_t length, Status *status)
{
	const unsigned char *at = bytes;

	sha256_update(&writer->hash, bytes, length);
	writer->written += length;
	while (length > 0)
	{
		size_t room = BUFFER_SIZE - writer->filled;
		size_t n = length < room ? length : room;

		memcpy(writer->buffer + writer->filled, at, n);
		writer->filled += n;
		at += n;
		length -= n;
		if (writer->filled == BUFFER_SIZE && !flush(writer, status))
			return false;
	}
	return true;
}

/* Bytes of the record but for its padding. */
static size_t
used_bytes(const RecordHeader *header)
{
	return sizeof *header +
		   4 * ((size_t) header->n_sequences + header->n_labels + header->n_values) +
		   5 * (size_t) header->n_tokens + 12 * (size_t) header->n_places + header->n_context +
		   header->n_answer;
}

static size_t
record_bytes(const RecordHeader *header)
{
	return (used_bytes(header) + 7) & ~(size_t) 7;
}

static bool
in_limits(const RecordHeader *header)
{
	return header->n_sequences > 0 && header->n_sequences <= SPILL_MAX_SEQUENCES &&
		   header->n_tokens <= SPILL_MAX_TOKENS && header->n_labels <= SPILL_MAX_TOKENS &&
		   header->n_values <= SPILL_MAX_TOKENS && header->n_context <= SPILL_MAX_TEXT &&
		   header->n_answer <= SPILL_MAX_TEXT &&
		   (header->n_places == 0 || header->n_places == header->n_tokens);
}

static bool
remember_offset(SpillWriter *writer, Status *status)
{
	if (writer->count == writer->capacity)
	{
		uint64_t capacity = writer->capacity == 0 ? 4096 : writer->capacity * 2;
		uint64_t *offsets = arena_alloc_array(writer->arena, capacity, sizeof *offsets);

		if (offsets == NULL)
			return arena_fail(writer->arena, status, "the training set's index",
							  capacity * sizeof *offsets);
		if (writer->count > 0)
			memcpy(offsets, writer->offsets, writer->count * sizeof *offsets);
		writer->offsets = offsets;
		writer->capacity = capacity;
	}
	writer->offsets[writer->count++] = writer->written;
	return true;
}

bool
spill_append(SpillWriter *writer, const Sample *sample, Status *status)
{
	RecordHeader header = {.n_sequences = sample->n_sequences,
						   .n_tokens = sample->n_tokens,
						   .n_labels = sample->n_labels,
						   .n_values = sample->n_values,
						   .n_places = sample->starts == NULL ? 0 : sample->n_tokens,
						   .n_context = sample->n_context,
						   .n_answer = sample->n_answer,
						   .row = sample->row};
	static const unsigned char zeros[8] = {0};
	size_t bytes;

	if (!in_limits(&header))
		return status_fail(status, STATUS_LIMIT, "row %llu of the training set is too large",
						   (unsigned long long) sample->row + 1);
	if (writer->count == UINT32_MAX)
		return status_fail(status, STATUS_LIMIT, "the training set has more than %u samples",
						   UINT32_MAX);
	bytes = record_bytes(&header);
	header.bytes = (uint32_t) bytes;
	return remember_offset(writer, status) && put(writer, &header, sizeof header, status) &&
		   put(writer, sample->lengths, (size_t) sample->n_sequences * 4, status) &&
		   put(writer, sample->input_ids, (size_t) sample->n_tokens * 4, status) &&
		   put(writer, sample->labels, (size_t) sample->n_labels * 4, status) &&
		   put(writer, sample->values, (size_t) sample->n_values * 4, status) &&
		   put(writer, sample->starts, (size_t) header.n_places * 4, status) &&
		   put(writer, sample->ends, (size_t) header.n_places * 4, status) &&
		   put(writer, sample->words, (size_t) header.n_places * 4, status) &&
		   put(writer, sample->token_type_ids, sample->n_tokens, status) &&
		   put(writer, sample->context, sample->n_context, status) &&
		   put(writer, sample->answer, sample->n_answer, status) &&
		   put(writer, zeros, bytes - used_bytes(&header), status);
}

uint64_t
spill_count(const SpillWriter *writer)
{
	return writer->count;
}

static void
close_writer(SpillWriter *writer)
{
	close(writer->fd);
	writer->fd = -1;
}

bool
spill_finish(SpillWriter *writer, unsigned char digest[SHA256_BYTES], Status *status)
{
	Footer footer = {0};

	memcpy(footer.magic, magic, sizeof footer.magic);
	footer.count = writer->count;
	footer.index_offset = writer->written;
	if (!put(writer, writer->offsets, writer->count * sizeof *writer->offsets, status) ||
		!flush(writer, status))
		return false;
	sha256_final(&writer->hash, footer.digest);
	footer.crc = crc32c(0, &footer, offsetof(Footer, crc));
	if (!write_all(writer, &footer, sizeof footer, status))
		return false;
	if (fsync(writer->fd) != 0)
		return status_fail_errno(status, errno, "could not fsync file \"%s\"", writer->path);
	close_writer(writer);
	memcpy(digest, footer.digest, SHA256_BYTES);
	return true;
}

void
spill_abandon(SpillWriter *writer)
{
	if (writer == NULL || writer->fd < 0)
		return;
	close_writer(writer);
	unlink(writer->path);
}

static bool
read_exactly(const SpillReader *reader, uint64_t offset, void *buffer, size_t length,
			 Status *status)
{
	unsigned char *at = buffer;

	while (length > 0)
	{
		ssize_t n = pread(reader->fd, at, length, (off_t) offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return status_fail_errno(status, errno, "could not read file \"%s\"", reader->path);
		if (n == 0)
			return status_fail(status, STATUS_INVALID_DATA, "file \"%s\" is cut short",
							   reader->path);
		at += n;
		offset += (uint64_t) n;
		length -= (size_t) n;
	}
	return true;
}

static bool
verify(SpillReader *reader, Arena *arena, Status *status)
{
	struct stat st;
	Footer *footer = &reader->footer;
	uint64_t data;
	Sha256 hash;
	unsigned char digest[SHA256_BYTES];
	ArenaMark mark = arena_mark(arena);
	unsigned char *buffer = arena_alloc(arena, BUFFER_SIZE);

	if (buffer == NULL)
		return arena_fail(arena, status, "the training set's reader", BUFFER_SIZE);
	if (fstat(reader->fd, &st) != 0)
		return status_fail_errno(status, errno, "could not stat file \"%s\"", reader->path);
	if (!S_ISREG(st.st_mode) || (uint64_t) st.st_size < sizeof *footer)
		return status_fail(status, STATUS_INVALID_DATA, "file \"%s\" is no training set",
						   reader->path);
	data = (uint64_t) st.st_size - sizeof *footer;
	if (!read_exactly(reader, data, footer, sizeof *footer, status))
		return false;
	if (memcmp(footer->magic, magic, sizeof footer->magic) != 0 ||
		footer->crc != crc32c(0, footer, offsetof(Footer, crc)) || footer->count > UINT32_MAX ||
		footer->index_offset > data ||
		data - footer->index_offset != footer->count * sizeof(uint64_t))
		return status_fail(status, STATUS_INVALID_DATA, "file \"%s\" is damaged", reader->path);
	sha256_init(&hash);
	for (uint64_t offset = 0; offset < data;)
	{
		size_t n = data - offset < BUFFER_SIZE ? (size_t) (data - offset) : BUFFER_SIZE;

		if (!read_exactly(reader, offset, buffer, n, status))
			return false;
		sha256_update(&hash, buffer, n);
		offset += n;
	}
	sha256_final(&hash, digest);
	arena_rewind(arena, mark);
	if (memcmp(digest, footer->digest, SHA256_BYTES) != 0)
		return status_fail(status, STATUS_INVALID_DATA, "file \"%s\" is damaged", reader->path);
	return true;
}

SpillReader *
spill_open(Arena *arena, const char *path, Status *status)
{
	SpillReader *reader = arena_alloc_zero(arena, sizeof *reader);

	if (reader == NULL || (reader->path = arena_strdup(arena, path)) == NULL)
	{
		arena_fail(arena, status, "the training set's reader", sizeof *reader);
		return NULL;
	}
	reader->fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (reader->fd < 0)
	{
		status_fail_errno(status, errno, "could not open file \"%s\"", path);
		return NULL;
	}
	if (!verify(reader, arena, status))
	{
		spill_close(reader);
		return NULL;
	}
	return reader;
}

void
spill_close(SpillReader *reader)
{
	if (reader == NULL || reader->fd < 0)
		return;
	close(reader->fd);
	reader->fd = -1;
}

uint64_t
spill_samples(const SpillReader *reader)
{
	return reader->footer.count;
}

const unsigned char *
spill_digest(const SpillReader *reader)
{
	return reader->footer.digest;
}

bool
spill_read(SpillReader *reader, uint64_t index, Arena *arena, Sample *sample, Status *status)
{
	RecordHeader header;
	uint64_t offset;
	unsigned char *record;

	if (index >= reader->footer.count)
		return status_fail(status, STATUS_INTERNAL, "sample %llu is outside the training set",
						   (unsigned long long) index);
	if (!read_exactly(reader, reader->footer.index_offset + index * sizeof offset, &offset,
					  sizeof offset, status))
		return false;
	if (offset > reader->footer.index_offset ||
		reader->footer.index_offset - offset < sizeof header)
		return status_fail(status, STATUS_INVALID_DATA, "file \"%s\" is damaged", reader->path);
	if (!read_exactly(reader, offset, &header, sizeof header, status))
		return false;
	if (!in_limits(&header) || header.bytes != record_bytes(&header) ||
		header.bytes > reader->footer.index_offset - offset)
		return status_fail(status, STATUS_INVALID_DATA, "file \"%s\" is damaged", reader->path);
	record = arena_alloc(arena, header.bytes - sizeof header);
	if (record == NULL)
		return arena_fail(arena, status, "a training sample", header.bytes);
	if (!read_exactly(reader, offset + sizeof header, record, header.bytes - sizeof header, status))
		return false;
	sample->n_sequences = header.n_sequences;
	sample->n_tokens = header.n_tokens;
	sample->n_labels = header.n_labels;
	sample->n_values = header.n_values;
	sample->n_context = header.n_context;
	sample->n_answer = header.n_answer;
	sample->row = header.row;
	sample->lengths = (uint32_t *) record;
	sample->input_ids = (int32_t *) (sample->lengths + header.n_sequences);
	sample->labels = sample->input_ids + header.n_tokens;
	sample->values = (float *) (sample->labels + header.n_labels);
	sample->starts = (uint32_t *) (sample->values + header.n_values);
	sample->ends = sample->starts + header.n_places;
	sample->words = (int32_t *) (sample->ends + header.n_places);
	sample->token_type_ids = (uint8_t *) (sample->words + header.n_places);
	sample->context = (char *) (sample->token_type_ids + header.n_tokens);
	sample->answer = sample->context + header.n_context;
	if (header.n_places == 0)
	{
		sample->starts = sample->ends = NULL;
		sample->words = NULL;
	}
	return true;
}

void
spill_shuffle(uint64_t seed, uint64_t epoch, uint32_t count, uint32_t *order)
{
	Rng rng;

	rng_init(&rng, seed, SHUFFLE_STREAM + epoch);
	for (uint32_t i = 0; i < count; i++)
		order[i] = i;
	for (uint32_t i = count; i > 1; i--)
	{
		uint32_t j = (uint32_t) rng_below(&rng, i);
		uint32_t swap = order[i - 1];

		order[i - 1] = order[j];
		order[j] = swap;
	}
}
