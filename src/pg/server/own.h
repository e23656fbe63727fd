/*
 * own.h: the extension's own tables and schemas, found as its members (pg_depend), never by name
 * alone: whoever may rename a schema could put other tables at the old names.
 *
 * Code that reads tables directly opens what own_relation gives. SQL text names the schema "bert";
 * own_check_names says whether these names still mean the members, and is asked before any
 * statement runs as the tables' owner.
 */
#ifndef BERT_PG_SERVER_OWN_H
#define BERT_PG_SERVER_OWN_H

#include "access/tupdesc.h"

/* The schema of the functions that stand for owned objects; see owner.h. */
#define OWN_OWNER_SCHEMA "bert_owner"

/* A table or sequence of the extension by its name. 42P01 if it is not there. */
extern Oid own_relation(const char *name);
/* The same, InvalidOid if the extension or the member is missing. */
extern Oid own_relation_if_any(const char *name);

/* The schema bert_owner. 3F000 if it is no member. */
extern Oid own_owner_schema(void);

/* 55000 when "bert.model" and so on are not the extension's tables. */
extern void own_check_names(void);

/*
 * The number of a column of one of our tables. XX001 when it is missing or of another type.
 */
extern AttrNumber own_column(TupleDesc desc, const char *table, const char *column, Oid type);

#endif
