/* checkpoint.c: see checkpoint.h. */
#include "pg/server/compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "pg/job/checkpoint.h"
#include "pg/server/own_statement.h"

#define CHUNK ((Size) 1024 * 1024)

static void
begin_statement(OwnStatement *statement, int64 number, const char *kind)
{
	own_begin(statement);
	own_add_int64(statement, number);
	own_add_text(statement, kind);
}

static void
append_chunk(const JobCheckpoint *checkpoint, int chunk, const void *bytes, Size length)
{
	OwnStatement statement;

	begin_statement(&statement, checkpoint->job, checkpoint->kind);
	own_add_int64(&statement, chunk);
	own_add_int64(&statement, checkpoint->step);
	own_add_bytes(&statement, bytes, length);
	own_run_alone(&statement, "INSERT INTO bert.job_checkpoint (job, kind, chunk, step, data) "
							  "VALUES ($1, $2, $3::pg_catalog.int4, $4, $5)");
}

/* Chunks of a new one, as they are filled. */
typedef struct ChunkWriter
{
	const JobCheckpoint *checkpoint;
	char *buffer; /* (CHUNK) */
	Size filled;
	int chunk;
} ChunkWriter;

static void
flush_chunk(ChunkWriter *writer)
{
	if (writer->filled > 0)
		append_chunk(writer->checkpoint, writer->chunk++, writer->buffer, writer->filled);
	writer->filled = 0;
	CHECK_FOR_INTERRUPTS();
}

static void
begin_chunks(ChunkWriter *writer, const JobCheckpoint *checkpoint)
{
	OwnStatement statement;

	*writer = (ChunkWriter){checkpoint, palloc(CHUNK), 0, 0};
	begin_statement(&statement, checkpoint->job, checkpoint->kind);
	own_run_alone(&statement, "DELETE FROM bert.job_checkpoint WHERE job = $1 AND kind = $2");
}

void
job_checkpoint_save(const JobCheckpoint *checkpoint, const StateRange *ranges, int n_ranges)
{
	ChunkWriter writer;

	begin_chunks(&writer, checkpoint);
	for (int i = 0; i < n_ranges; i++)
		for (Size at = 0; at < ranges[i].size;)
		{
			Size n = Min(ranges[i].size - at, CHUNK - writer.filled);

			memcpy(writer.buffer + writer.filled, (const char *) ranges[i].bytes + at, n);
			writer.filled += n;
			at += n;
			if (writer.filled == CHUNK)
				flush_chunk(&writer);
		}
	flush_chunk(&writer);
	pfree(writer.buffer);
}

void
checkpoint_file_copy(const CheckpointFile *file, const JobCheckpoint *checkpoint)
{
	ChunkWriter writer;
	uint64 size = checkpoint_file_size(file);

	begin_chunks(&writer, checkpoint);
	for (uint64 at = 0; at < size; at += CHUNK)
	{
		writer.filled = Min(size - at, CHUNK);
		checkpoint_file_read(file, at, writer.buffer, writer.filled);
		flush_chunk(&writer);
	}
	pfree(writer.buffer);
}

int64
job_checkpoint_step(int64 number, const char *kind)
{
	OwnStatement statement;
	int64 step = -1;
	bool is_null;

	begin_statement(&statement, number, kind);
	if (own_run(
			&statement,
			"SELECT step FROM bert.job_checkpoint WHERE job = $1 AND kind = $2 AND chunk = 0") == 1)
		step = DatumGetInt64(own_result(0, 1, &is_null));
	own_end(&statement);
	return step;
}

/* NULL after the last. */
static bytea *
read_chunk(int64 number, const char *kind, int chunk)
{
	OwnStatement statement;
	bytea *data = NULL;
	bool is_null;

	begin_statement(&statement, number, kind);
	own_add_int64(&statement, chunk);
	if (own_run(
			&statement,
			"SELECT data FROM bert.job_checkpoint WHERE job = $1 AND kind = $2 AND chunk = $3") ==
		1)
	{
		MemoryContext spi = MemoryContextSwitchTo(statement.caller);

		data = DatumGetByteaPCopy(own_result(0, 1, &is_null));
		MemoryContextSwitchTo(spi);
	}
	own_end(&statement);
	return data;
}

bool
job_checkpoint_begin(int64 number, const char *kind, void *bytes, Size size)
{
	bytea *data = read_chunk(number, kind, 0);
	bool enough = data != NULL && VARSIZE_ANY_EXHDR(data) >= size;

	if (enough)
		memcpy(bytes, VARDATA_ANY(data), size);
	if (data != NULL)
		pfree(data);
	return enough;
}

bool
job_checkpoint_load(int64 number, const char *kind, const StateRange *ranges, int n_ranges)
{
	bytea *data = NULL;
	Size taken = 0;
	int chunk = 0;

	for (int i = 0; i < n_ranges; i++)
		for (Size at = 0; at < ranges[i].size;)
		{
			Size n;

			if (data == NULL || taken == VARSIZE_ANY_EXHDR(data))
			{
				if (data != NULL)
					pfree(data);
				data = read_chunk(number, kind, chunk++);
				taken = 0;
				if (data == NULL)
					return false;
			}
			n = Min(ranges[i].size - at, VARSIZE_ANY_EXHDR(data) - taken);
			memcpy((char *) ranges[i].bytes + at, VARDATA_ANY(data) + taken, n);
			taken += n;
			at += n;
		}
	return (data == NULL || taken == VARSIZE_ANY_EXHDR(data)) &&
		   read_chunk(number, kind, chunk) == NULL;
}

void
job_checkpoint_drop(int64 number)
{
	OwnStatement statement;

	own_begin(&statement);
	own_add_int64(&statement, number);
	own_run_alone(&statement, "DELETE FROM bert.job_checkpoint WHERE job = $1");
}
