/*
 * chunk_table.h: a table of chunks as bert.auto_chunk makes it, and the columns of the table whose
 * texts they are.
 *
 * Its first columns are the key of the source's rows, then come chunk, start_pos, end_pos, text and
 * embedding. They are known by their places, which neither renaming nor dump and restore change;
 * what a user adds stands behind them. The source's columns are known from its trigger's condition.
 */
#ifndef BERT_PG_COLUMN_CHUNK_TABLE_H
#define BERT_PG_COLUMN_CHUNK_TABLE_H

#include "pg/column/auto_column.h"
#include "pg/column/auto_key.h"
#include "pg/column/template.h"

/* Of the source, or of a partition of it. */
typedef struct ChunkColumns
{
	int n_texts;
	AttrNumber texts[1 + TEMPLATE_MAX_COLUMNS]; /* the source's, then the template's */
	int n_key;
	AttrNumber key[AUTO_MAX_KEY];
} ChunkColumns;

/* From one table's numbers to those of another one that has columns of the same names. */
extern void chunk_columns_map(ChunkColumns *columns, Oid from, Oid to);

/* Columns of a table of chunks, behind its key. */
typedef enum ChunkColumn
{
	CHUNK_NUMBER,
	CHUNK_START,
	CHUNK_END,
	CHUNK_TEXT,
	CHUNK_EMBEDDING,
	CHUNK_COLUMNS
} ChunkColumn;

typedef struct ChunkTable
{
	Oid relation;
	Oid owner;
	const char *sql; /* "ONLY schema.name", quoted */
	int n_key;
	AutoKeyColumn key[AUTO_MAX_KEY];    /* compared as the source's key, with the names here */
	const char *columns[CHUNK_COLUMNS]; /* quoted */
	Oid embedding_type;
} ChunkTable;

/*
 * NULL, and the table of chunks (locked, until the transaction ends); else why there is none, as a
 * message. columns: of the table described, the source or a partition of it.
 */
extern const char *chunk_table_open(const AutoColumn *automatic, const ChunkColumns *columns,
									Oid described, LOCKMODE mode, ChunkTable *table);

/* " AND l.key = k.k0 ...", where l is the table of chunks. */
extern const char *chunk_table_condition(const ChunkTable *table);
/* "key, key2" */
extern const char *chunk_table_key_names(const ChunkTable *table);

#endif
