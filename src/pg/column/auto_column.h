/*
 * auto_column.h: a column that fills itself, as a row of bert.auto_column; who acts for it; how
 * often workers have begun with it. The functions on tables run as their owner and need a
 * transaction.
 */
#ifndef BERT_PG_COLUMN_AUTO_COLUMN_H
#define BERT_PG_COLUMN_AUTO_COLUMN_H

#include "nodes/pg_list.h"
#include "pg/column/column.h"
#include "utils/rel.h"

typedef struct AutoColumn
{
	int64 number;
	Oid relation;
	Oid role; /* as stored */
	char *model;
	char *search_path;
	ColumnForm form; /* of bert.auto_embed */
	bool by_owner;   /* the owner of each row's table acts, not role */
	Oid part;        /* that table, of rows that are due; InvalidOid: all of them */
	char *template;  /* NULL: none */
	/* for bert.auto_chunk */
	bool cuts;      /* it is not bert.auto_embed's */
	Oid chunks;     /* the table of chunks; InvalidOid: it is gone */
	int max_tokens; /* 0: what the model reads */
	int overlap;
} AutoColumn;

/* The column was made for this table, or for one that it is a partition of. */
extern bool auto_belongs(const AutoColumn *column, Relation relation);
/* Whether the owner of each row's table acts for it. */
extern bool auto_owners_act(const AutoColumn *column);
/* who acts for rows of this table */
extern Oid auto_acting_role(const AutoColumn *column, Oid relation);

extern int64 auto_column_insert(const AutoColumn *column);
extern bool auto_column_load(int64 number, AutoColumn *column);
/* of AutoColumn *: those with rows to embed now, oldest first */
extern List *auto_columns_due(void);
extern void auto_column_delete(int64 number); /* with its queue */
/* it, or the rows of its part, is paused for a while; NULL: it is well again */
extern void auto_column_fail(const AutoColumn *column, const char *sqlstate, const char *error);
/*
 * Notes that a worker of this role begins with it; false, and it is paused until it is begun anew,
 * if workers have crashed there twice. To be committed before anything else is done.
 */
extern bool auto_attempt_begin(const AutoColumn *column, Oid role);
extern void auto_attempt_end(int64 number, Oid role); /* number 0: with all */
extern List *auto_columns_of(Oid relation);           /* of AutoColumn *, auto_embed's */
extern List *auto_columns_into(Oid chunks);           /* of AutoColumn *, auto_chunk's */
extern void auto_columns_sweep(void);                 /* forgets tables that are gone */

#endif
