/*
 * template.h: what is embedded of a row, '{title}: {body}', or of a chunk, '{title}: {chunk}'.
 * Names in braces are columns of its table; {chunk} is the chunk, which stands there once; {{ and
 * }} are braces.
 */
#ifndef BERT_PG_COLUMN_TEMPLATE_H
#define BERT_PG_COLUMN_TEMPLATE_H

#include "lib/stringinfo.h"

#define TEMPLATE_MAX_COLUMNS 32

typedef struct TemplatePiece
{
	char *text; /* NULL: a column or the chunk */
	int column; /* index of names; -1: the chunk */
} TemplatePiece;

typedef struct Template
{
	int n_pieces;
	TemplatePiece *pieces;
	int n_columns;
	char *names[TEMPLATE_MAX_COLUMNS]; /* each once, in the order of their first places */
} Template;

/* 22023 for one that is none. of_chunks: {chunk} is no column. */
extern void template_parse(const char *text, bool of_chunks, Template *template);

/*
 * What stands before the chunk and after it; without chunks all is before. values (n_columns),
 * NULL: nothing.
 */
extern void template_around(const Template *template, char *const *values, StringInfo before,
							StringInfo after);

/* The template with other names for its columns (n_columns). */
extern char *template_with_names(const Template *template, char *const *names);

#endif
