/* auto_key.h: the key by which queued rows are found again. */
#ifndef BERT_PG_COLUMN_AUTO_KEY_H
#define BERT_PG_COLUMN_AUTO_KEY_H

#include "lib/stringinfo.h"
#include "utils/rel.h"

#define AUTO_MAX_KEY 32

typedef struct AutoKeyColumn
{
	char *name;
	Oid type;   /* of values as text */
	bool plain; /* reads back as the same whatever the settings */
	char *equality;
	char *cast; /* to the operator's type */
	char *collate;
} AutoKeyColumn;

typedef struct AutoKey
{
	int n;
	AutoKeyColumn columns[AUTO_MAX_KEY];
} AutoKey;

/*
 * NULL, and the primary key, or another unique key whose columns are NOT NULL; a deferrable one is
 * as good, for the worker sees what is committed. Else why there is none: a sentence, or "".
 */
extern const char *auto_key(Relation relation, AutoKey *key);
/* One of the key's columns, or another one that was of the key once; an error if it is none. */
extern void auto_key_column(Relation relation, const char *name, const AutoKey *key,
							AutoKeyColumn *out);
/* " COLLATE ..."; "" for the default */
extern char *auto_key_collate(Oid collation);
/* Appends " AND l.column = k.kn". */
extern void auto_key_condition(StringInfo sql, const AutoKeyColumn *column, int n);

#endif
