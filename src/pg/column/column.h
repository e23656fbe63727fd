/*
 * column.h: a table with a column of texts and a column for their embeddings.
 *
 * Between transactions the two are known by their numbers, so that renaming is not noticed; names
 * for statements are made anew in each transaction, quoted.
 */
#ifndef BERT_PG_COLUMN_COLUMN_H
#define BERT_PG_COLUMN_COLUMN_H

#include "access/attnum.h"
#include "fmgr.h"
#include "pg/column/template.h"
#include "pg/model/handle.h"

/* What the texts are and how they are embedded, beside the model. */
typedef struct ColumnForm
{
	const char *prompt_name; /* one of the model's prompts; NULL: its one for documents */
	int dimensions;          /* the first so many; 0: all */
	const char *template;    /* what a row's text is; NULL: the source */
} ColumnForm;

/* The columns that a text is made of, by a template; none without one. */
typedef struct TextColumns
{
	int n;
	AttrNumber numbers[TEMPLATE_MAX_COLUMNS];
} TextColumns;

typedef struct TableColumn
{
	Oid relation;
	AttrNumber source;
	AttrNumber target; /* 0: none was named */
	const char *name;  /* of the table, for messages */
	const char *source_name;
	const char *target_name;
	const char *table_sql;  /* schema-qualified and quoted */
	const char *source_sql; /* quoted */
	const char *target_sql;
	int dimensions;    /* that the target's type demands; 0: any */
	bool sparse;       /* the target is a sparsevec: weights of words, if the model gives these */
	bool has_children; /* partitions or inheritance */
	bool temporary;    /* other processes cannot read it */
	ColumnForm form;   /* the caller's to set; nothing is asked for when a column is opened */
	Template template; /* of the form, set by table_column_find_texts or _know_texts */
	TextColumns texts; /* of the template */
	const char *texts_sql[TEMPLATE_MAX_COLUMNS]; /* quoted */
} TableColumn;

/*
 * Opens a table by name of columns (AccessShareLock, until the transaction ends), or again by their
 * numbers to write it (RowExclusiveLock), and refuses what cannot be filled: 42809 no table, 42703
 * no such column, 42804 wrong type, 428C9 generated, 42P01 dropped since. target NULL or 0: a table
 * whose texts are read only.
 */
extern void table_column_open(Oid relation, const char *source, const char *target,
							  TableColumn *column);
extern void table_column_reopen(Oid relation, AttrNumber source, AttrNumber target,
								TableColumn *column);

/*
 * The columns that the form's template names, by their names, or again by their numbers: 22023 for
 * a template that is none, or does not name the source; 42703 for names that are none.
 */
extern void table_column_find_texts(TableColumn *column);
extern void table_column_know_texts(TableColumn *column, const TextColumns *texts);

/* "l.title, l.body": what a row's text is made of; the source as text, without a template. */
extern const char *table_column_texts_sql(const TableColumn *column, const char *table);

/*
 * 42501 unless the role may read both columns, and the template's, and write the target; without
 * one, some column.
 */
extern void table_column_check_rights(const TableColumn *column, Oid role);

/* Whether the column gets weights of words from the model, not embeddings. */
extern bool table_column_takes_weights(const TableColumn *column, const ModelHandle *model);
/* Numbers of a value of this type that the model gives. */
extern int column_type_dimensions(Oid type, const ModelHandle *model);

/*
 * Whether values of the type can be embeddings; sized: whether it is one of pgvector's, whose
 * modifier is the number of dimensions.
 */
extern bool column_type_holds_embeddings(Oid type, bool *sized);

/* 42501 unless the role may read this column as well. */
extern void table_column_check_readable(const TableColumn *column, const char *name, Oid role);

/*
 * 42804 when the target's type wants another number of dimensions than the model and the form give;
 * 22023 for a form that the model does not know.
 */
extern void table_column_check_form(const TableColumn *column, const ModelHandle *model);
/* From three arguments; checked later, with the table and the model. */
extern ColumnForm column_form_arguments(FunctionCallInfo fcinfo, int prompt_name, int dimensions,
										int template);

/* The most blocks that one table of the tree has. */
extern uint32 table_column_blocks(const TableColumn *column);

/* An estimate of all its rows, from the last VACUUM or ANALYZE; -1: none. */
extern double table_column_rows(const TableColumn *column);

#endif
