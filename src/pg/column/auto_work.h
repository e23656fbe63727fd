/*
 * auto_work.h: a batch of the queue: of bert.auto_embed (auto_work.c), of bert.auto_chunk
 * (chunk_rows.c). All of it in one transaction, as the role that acts.
 */
#ifndef BERT_PG_COLUMN_AUTO_WORK_H
#define BERT_PG_COLUMN_AUTO_WORK_H

#include "pg/column/auto_batch.h"
#include "pg/column/auto_column.h"
#include "pg/column/auto_trigger.h"
#include "pg/column/chunk_table.h"

typedef enum AutoOpened
{
	AUTO_OPENED,
	AUTO_GONE,    /* its trigger is, and with it the reason to be here */
	AUTO_NOT_MINE /* another role acts by now */
} AutoOpened;

/* Of bert.auto_chunk. */
typedef struct ChunkRows
{
	ChunkColumns columns;
	ChunkTable table;
	Template template;
	const char *names[1 + TEMPLATE_MAX_COLUMNS]; /* quoted: the columns of the texts */
} ChunkRows;

typedef struct AutoWork
{
	const AutoColumn *automatic;
	EmbedColumns embeds;
	TableColumn column; /* without a target, of bert.auto_chunk */
	ModelHandle *model;
	ChunkRows chunks;
} AutoWork;

extern AutoOpened auto_work_open(const AutoColumn *automatic, Oid me, AutoWork *work);
/* taken: of QueuedRow *, at least one */
extern void auto_work_run(AutoWork *work, List *taken);

/* false: the triggers are gone */
extern bool chunk_rows_find(const AutoColumn *automatic, Relation relation, ChunkRows *chunks);
/* The table of chunks and all rights; table: the source's or a partition of it. */
extern void chunk_rows_open(const AutoColumn *automatic, Oid table, Oid me, ChunkRows *chunks);
extern void chunk_rows_run(AutoWork *work, AutoBatchRows *chosen, const AutoBatchKeys *keys);

#endif
