/*
 * rows.h: a batch of rows: read, embedded, written.
 *
 * No row is locked while the model computes. Afterwards those rows are locked that still have the
 * same text and no embedding, but none that somebody else holds: so a batch never waits while it
 * holds locks, and cannot be part of a deadlock. What is left out is for a later pass. All of it
 * happens in the caller's transaction, as the current user, at READ COMMITTED.
 */
#ifndef BERT_PG_COLUMN_ROWS_H
#define BERT_PG_COLUMN_ROWS_H

#include "storage/itemptr.h"
#include "pg/column/column.h"

typedef struct EmbedRow
{
	int number; /* the caller's */
	Oid table;  /* the one of the tree that holds it */
	ItemPointerData tid;
	Datum text;
	Datum embedding; /* real[] */
	bool written;
} EmbedRow;

typedef struct EmbedRows
{
	EmbedRow *rows;
	int n;
	int capacity;
	Size row_bytes;       /* that an embedding takes */
	Size bytes;           /* of texts and embeddings */
	const char *function; /* for bert.stats; embed_column unless somebody says otherwise */
	bool cut;             /* reading stopped before the statement's end: these were too many */
} EmbedRows;

extern void embed_rows_begin(EmbedRows *rows, int capacity, const TableColumn *column,
							 const ModelHandle *model);

/*
 * Adds what a SELECT gives: number int4, tableoid, ctid, and table_column_texts_sql, where the
 * source is not NULL. In CurrentMemoryContext.
 */
struct InputRows;
extern void embed_rows_read(EmbedRows *rows, const TableColumn *column, const char *sql,
							const struct InputRows *input);

/* Computes and writes; returns how many rows were updated. */
extern int embed_rows_write(EmbedRows *rows, const TableColumn *column, ModelHandle *model);

/* Waits until whoever holds the row has ended, and locks it until the transaction ends. */
extern void embed_rows_wait(const EmbedRow *row, const TableColumn *column);

#endif
