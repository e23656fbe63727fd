/*
 * mine_table.h: the documents of a table whose embeddings are in a column of pgvector's, nearest
 * first. The server searches them, through an index where the column has one.
 *
 * SPI must be connected from mine_table_open to mine_table_close.
 */
#ifndef BERT_PG_JOB_MINE_TABLE_H
#define BERT_PG_JOB_MINE_TABLE_H

#include "files/sentence.h"

typedef struct MineTable
{
	char *table; /* NULL: none */
	char *text;
	char *embedding;
} MineTable;

typedef struct TableSearch TableSearch;

/* columns: numbers of the model's embeddings, which the column's must have, too */
extern TableSearch *mine_table_open(const MineTable *table, Similarity similarity, size_t columns);

/* Whether to go on; text: UTF-8; score: larger is more alike. */
typedef bool (*VisitDocument)(void *context, const char *utf8, size_t length, double score);

/*
 * Visits the documents nearest to the query (columns), best first, until it is told to stop or the
 * search finds no more. wanted: how many it will take, about. A document is visited once.
 */
extern void mine_table_search(TableSearch *search, const float *query, size_t wanted,
							  VisitDocument visit, void *context);

extern void mine_table_close(TableSearch *search);

#endif
