/* chunk_trigger.h: the triggers by which chunks follow the rows whose texts they are. */
#ifndef BERT_PG_COLUMN_CHUNK_TRIGGER_H
#define BERT_PG_COLUMN_CHUNK_TRIGGER_H

#include "pg/column/chunk_table.h"
#include "pg/column/column.h"

/* false: no such trigger on this table */
extern bool chunk_trigger_columns(Relation relation, int64 number, ChunkColumns *columns);

/* They vanish with the table of chunks. The template's columns are named as in the template. */
extern void chunk_triggers_create(const TableColumn *column, const AutoColumn *automatic,
								  const Template *template, const AutoKey *key);

#endif
