/*
 * chunk_rows.c: rows whose texts are cut into chunks anew.
 *
 * A row is locked while that is done, for it takes milliseconds and chunks of a text that is not
 * the row's must not appear; what others hold is left for later. Chunks that are as they should be
 * stay untouched. Of the others the embeddings are kept for new ones of the same text: what
 * remains without is for bert.auto_embed, which follows the table of chunks.
 */
#include "pg/server/compat.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "pg/column/auto_work.h"
#include "pg/column/chunk_trigger.h"
#include "pg/column/value_text.h"
#include "pg/infer/chunk.h"
#include "pg/infer/embedding.h"
#include "pg/server/detoast.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"
#include "pg/server/role.h"

/* texts that one transaction cuts: their rows are locked meanwhile */
#define BATCH_BYTES ((Size) 1024 * 1024)

bool
chunk_rows_find(const AutoColumn *automatic, Relation relation, ChunkRows *chunks)
{
	Relation source = try_table_open(automatic->relation, AccessShareLock);
	bool found =
		source != NULL && chunk_trigger_columns(source, automatic->number, &chunks->columns);

	if (found && source->rd_id != relation->rd_id)
		chunk_columns_map(&chunks->columns, source->rd_id, relation->rd_id);
	if (source != NULL)
		table_close(source, NoLock);
	return found;
}

void
chunk_rows_open(const AutoColumn *automatic, Oid table, Oid me, ChunkRows *chunks)
{
	const char *why =
		chunk_table_open(automatic, &chunks->columns, table, RowExclusiveLock, &chunks->table);

	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg_internal("%s", why),
				 errhint("Call bert.stop_auto_chunk, and bert.auto_chunk for a new one.")));
	/* its triggers run as who writes there */
	if (superuser_arg(me) && chunks->table.owner != me)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("a superuser's rows are not cut into another owner's table of "
							   "chunks"),
						errhint("Give table and chunks the same owner.")));
	template_parse(automatic->template, true, &chunks->template);
	for (int i = 0; i < chunks->columns.n_texts; i++)
		chunks->names[i] = quote_identifier(get_attname(table, chunks->columns.texts[i], false));
}

/* --- Reading --- */

/* The texts of one row. */
typedef struct SourceRow
{
	int number;   /* of the chosen rows */
	char **texts; /* (n_texts) the source's, then the template's columns; NULL: NULL */
} SourceRow;

typedef struct SourceRows
{
	const ChunkRows *chunks;
	MemoryContext context;
	ValueText values[1 + TEMPLATE_MAX_COLUMNS];
	SourceRow *rows;
	int n;
	Size bytes;
	bool cut; /* there are more */
} SourceRows;

static bool
take_row(void *context, TupleTableSlot *slot)
{
	SourceRows *rows = context;
	int n_texts = rows->chunks->columns.n_texts;
	MemoryContext previous;
	SourceRow *row = &rows->rows[rows->n];
	int level = value_text_begin();

	slot_getallattrs(slot);
	previous = MemoryContextSwitchTo(rows->context);
	row->number = DatumGetInt32(slot->tts_values[0]);
	row->texts = palloc((Size) n_texts * sizeof *row->texts);
	for (int i = 0; i < n_texts; i++)
	{
		if (rows->n == 0)
			value_text_describe(&rows->values[i],
								TupleDescAttr(slot->tts_tupleDescriptor, i + 1)->atttypid);
		row->texts[i] =
			slot->tts_isnull[i + 1] ? NULL : value_text(&rows->values[i], slot->tts_values[i + 1]);
		rows->bytes += row->texts[i] == NULL ? 0 : strlen(row->texts[i]);
	}
	MemoryContextSwitchTo(previous);
	value_text_end(level);
	rows->n++;
	rows->cut = rows->bytes > BATCH_BYTES;
	return !rows->cut;
}

static void
read_rows(const AutoWork *work, const AutoBatchKeys *keys, SourceRows *rows)
{
	StringInfoData sql;
	InputRows input;

	*rows = (SourceRows){.chunks = &work->chunks, .context = CurrentMemoryContext};
	rows->rows = palloc((Size) keys->n * sizeof *rows->rows);
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT k.n");
	for (int i = 0; i < work->chunks.columns.n_texts; i++)
		appendStringInfo(&sql, ", l.%s", work->chunks.names[i]);
	appendStringInfo(&sql,
					 " FROM bert_batch AS k, %s AS l WHERE true%s"
					 " FOR NO KEY UPDATE OF l SKIP LOCKED",
					 work->column.table_sql, keys->condition);
	auto_batch_key_input(keys, &input);
	(void) table_statement_run(sql.data, work->column.relation, false, &input, take_row, rows);
	input_rows_end(&input);
}

static bool
note_there(void *context, TupleTableSlot *slot)
{
	bool *there = context;

	slot_getallattrs(slot);
	there[DatumGetInt32(slot->tts_values[0])] = true;
	return true;
}

/* Takes from the queue what is done: also rows that are gone, but not those that others hold. */
static void
finish_queue(const AutoWork *work, AutoBatchRows *chosen, const AutoBatchKeys *keys,
			 const SourceRows *rows)
{
	bool *there = palloc0((Size) chosen->n * sizeof *there);
	int *busy = palloc((Size) chosen->n * sizeof *busy);
	int n_busy = 0;
	InputRows input;

	if (rows->cut)
	{
		chosen->n_ids = 0;
		for (int i = 0; i < rows->n; i++)
			chosen->ids[chosen->n_ids++] = chosen->rows[rows->rows[i].number]->id;
	}
	else if (rows->n < chosen->n)
	{
		auto_batch_key_input(keys, &input);
		(void) table_statement_run(psprintf("SELECT k.n FROM bert_batch AS k, %s AS l WHERE true%s",
											work->column.table_sql, keys->condition),
								   work->column.relation, true, &input, note_there, there);
		input_rows_end(&input);
		for (int i = 0; i < rows->n; i++)
			there[rows->rows[i].number] = false;
		for (int i = 0; i < chosen->n; i++)
			if (there[i])
				busy[n_busy++] = i;
	}
	auto_batch_delay(chosen, busy, n_busy);
	auto_queue_delete(chosen->ids, chosen->n_ids);
}

/* --- Cutting --- */

typedef struct Chunk
{
	int row;      /* of the chosen rows */
	int32 number; /* from 1; 0: the row has none */
	int32 start;
	int32 end;
	text *text;
	Datum embedding; /* of a chunk that was there with this text */
	bool embedded;
} Chunk;

typedef struct Chunks
{
	Chunk *chunks;
	int n;
	int capacity;
} Chunks;

static Chunk *
add_chunk(Chunks *chunks, int row)
{
	if (chunks->n == chunks->capacity)
	{
		chunks->capacity = Max(2 * chunks->capacity, 256);
		chunks->chunks =
			chunks->chunks == NULL
				? palloc((Size) chunks->capacity * sizeof *chunks->chunks)
				: repalloc(chunks->chunks, (Size) chunks->capacity * sizeof *chunks->chunks);
	}
	chunks->chunks[chunks->n] = (Chunk){.row = row};
	return &chunks->chunks[chunks->n++];
}

static int
tokens_of(Call *call, const char *words)
{
	InputText input;

	input_text(cstring_to_text(words), &input);
	return (int) Min(count_tokens(call, &input), INT_MAX / 4);
}

/* How long chunks may be that stand between these texts: a quarter of the model's at least. */
static int
room_between(Call *call, const AutoWork *work, const char *before, const char *after)
{
	int room = chunk_room(call);
	int taken = tokens_of(call, before) + tokens_of(call, after);

	if (taken > room - Max(room / 4, 1))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the template leaves too little room for chunks"),
				 errdetail("Of the %d tokens that model \"%s\" reads of a text it takes %d.", room,
						   call->handle->name, taken),
				 errhint("Name shorter columns, or an expression of them in a generated column.")));
	room -= taken;
	return work->automatic->max_tokens > 0 ? Min(work->automatic->max_tokens, room) : room;
}

static text *
joined(const StringInfoData *before, const text *chunk, const StringInfoData *after)
{
	StringInfoData all;

	initStringInfo(&all);
	appendBinaryStringInfo(&all, before->data, before->len);
	appendBinaryStringInfo(&all, VARDATA_ANY(chunk), (int) VARSIZE_ANY_EXHDR(chunk));
	appendBinaryStringInfo(&all, after->data, after->len);
	return cstring_to_text_with_len(all.data, all.len);
}

static void
cut_row(const AutoWork *work, const SourceRow *row, Chunks *chunks)
{
	StringInfoData before;
	StringInfoData after;
	Call call;
	InputText input;
	ChunkWalk walk;
	int32 number = 0;
	int max_tokens;

	initStringInfo(&before);
	initStringInfo(&after);
	template_around(&work->chunks.template, row->texts + 1, &before, &after);
	call_begin_with(&call, work->model, "auto_chunk");
	use_prompt(&call, NULL, NULL, PROMPT_DOCUMENT);
	max_tokens = room_between(&call, work, before.data, after.data);
	input_text(cstring_to_text(row->texts[0]), &input);
	chunk_walk_begin(&walk, &call, &input, max_tokens,
					 work->automatic->overlap < max_tokens ? work->automatic->overlap
														   : max_tokens / 2);
	while (chunk_walk_next(&walk))
	{
		Chunk *chunk = add_chunk(chunks, row->number);

		chunk->number = ++number;
		chunk->start = input_position(&call, &input, walk.start);
		chunk->end = input_position(&call, &input, walk.end);
		chunk->text = joined(&before, input_slice(&call, &input, walk.start, walk.end), &after);
	}
}

static void
cut_rows(const AutoWork *work, const SourceRows *rows, Chunks *chunks)
{
	*chunks = (Chunks){0};
	for (int i = 0; i < rows->n; i++)
	{
		int n = chunks->n;

		if (rows->rows[i].texts[0] != NULL)
			cut_row(work, &rows->rows[i], chunks);
		if (chunks->n == n) /* what is there of it goes */
			add_chunk(chunks, rows->rows[i].number)->text = cstring_to_text("");
	}
}

/* --- Writing --- */

#define N_MORE 5

static void
chunks_input(const Chunks *chunks, const AutoBatchKeys *keys, Oid embedding_type, InputRows *input)
{
	static const char *const names[] = {"chunk", "start_pos", "end_pos", "text", "embedding"};
	Oid types[N_MORE] = {INT4OID, INT4OID, INT4OID, TEXTOID, embedding_type};

	auto_batch_input(keys, N_MORE, names, types, input);
	for (int i = 0; i < chunks->n; i++)
	{
		const Chunk *chunk = &chunks->chunks[i];
		Datum more[N_MORE] = {Int32GetDatum(chunk->number), Int32GetDatum(chunk->start),
							  Int32GetDatum(chunk->end), PointerGetDatum(chunk->text),
							  chunk->embedding};
		bool nulls[N_MORE] = {false, false, false, false, !chunk->embedded};

		auto_batch_add(keys, chunk->row, N_MORE, more, nulls, input);
	}
}

typedef struct Kept
{
	Chunks *chunks;
	MemoryContext context;
} Kept;

/* A chunk that was there goes: its embedding is for those of the same text. */
static bool
keep_embedding(void *context, TupleTableSlot *slot)
{
	Kept *kept = context;
	MemoryContext previous;
	const text *words;
	int row;

	slot_getallattrs(slot);
	if (slot->tts_isnull[0] || slot->tts_isnull[1] || slot->tts_isnull[2])
		return true;
	row = DatumGetInt32(slot->tts_values[0]);
	words = (text *) detoast_packed(slot->tts_values[1]);
	for (int i = 0; i < kept->chunks->n; i++)
	{
		Chunk *chunk = &kept->chunks->chunks[i];

		if (chunk->row != row || chunk->embedded ||
			VARSIZE_ANY_EXHDR(chunk->text) != VARSIZE_ANY_EXHDR(words) ||
			memcmp(VARDATA_ANY(chunk->text), VARDATA_ANY(words), VARSIZE_ANY_EXHDR(words)) != 0)
			continue;
		previous = MemoryContextSwitchTo(kept->context);
		chunk->embedding = PointerGetDatum(detoast_copy(slot->tts_values[2]));
		MemoryContextSwitchTo(previous);
		chunk->embedded = true;
	}
	return true;
}

static void
remove_old(const ChunkTable *table, Chunks *chunks, const AutoBatchKeys *keys)
{
	Kept kept = {chunks, CurrentMemoryContext};
	const char *const *columns = table->columns;
	InputRows input;

	chunks_input(chunks, keys, table->embedding_type, &input);
	(void) table_statement_run(
		psprintf("DELETE FROM %s AS l USING (SELECT DISTINCT ON (b.n) b.* FROM bert_batch AS b) AS "
				 "k WHERE true%s AND NOT EXISTS (SELECT FROM bert_batch AS b"
				 " WHERE b.n OPERATOR(pg_catalog.=) k.n"
				 " AND b.chunk OPERATOR(pg_catalog.=) l.%s"
				 " AND b.start_pos OPERATOR(pg_catalog.=) l.%s"
				 " AND b.end_pos OPERATOR(pg_catalog.=) l.%s"
				 " AND b.text COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.=) l.%s)"
				 " RETURNING k.n, l.%s, l.%s",
				 table->sql, chunk_table_condition(table), columns[CHUNK_NUMBER],
				 columns[CHUNK_START], columns[CHUNK_END], columns[CHUNK_TEXT], columns[CHUNK_TEXT],
				 columns[CHUNK_EMBEDDING]),
		table->relation, false, &input, keep_embedding, &kept);
	input_rows_end(&input);
}

static void
add_new(const ChunkTable *table, const Chunks *chunks, const AutoBatchKeys *keys)
{
	const char *const *columns = table->columns;
	StringInfoData key;
	InputRows input;

	initStringInfo(&key);
	for (int i = 0; i < table->n_key; i++)
		appendStringInfo(&key, "k.k%d, ", i);
	chunks_input(chunks, keys, table->embedding_type, &input);
	(void) table_statement_run(
		psprintf("INSERT INTO %s (%s, %s, %s, %s, %s, %s)"
				 " SELECT %sk.chunk, k.start_pos, k.end_pos, k.text, k.embedding"
				 " FROM bert_batch AS k WHERE k.chunk OPERATOR(pg_catalog.>) 0"
				 " AND NOT EXISTS (SELECT FROM %s AS l"
				 " WHERE l.%s OPERATOR(pg_catalog.=) k.chunk%s)",
				 table->sql + strlen("ONLY "), chunk_table_key_names(table), columns[CHUNK_NUMBER],
				 columns[CHUNK_START], columns[CHUNK_END], columns[CHUNK_TEXT],
				 columns[CHUNK_EMBEDDING], key.data, table->sql, columns[CHUNK_NUMBER],
				 chunk_table_condition(table)),
		table->relation, false, &input, NULL, NULL);
	input_rows_end(&input);
}

void
chunk_rows_run(AutoWork *work, AutoBatchRows *chosen, const AutoBatchKeys *keys)
{
	const ChunkTable *table = &work->chunks.table;
	SourceRows rows;
	Chunks chunks;

	read_rows(work, keys, &rows);
	if (rows.n > 0)
	{
		cut_rows(work, &rows, &chunks);
		remove_old(table, &chunks, keys);
		add_new(table, &chunks, keys);
	}
	finish_queue(work, chosen, keys, &rows);
}
