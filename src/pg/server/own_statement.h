/*
 * own_statement.h: a statement with parameters on the extension's own tables, as their owner.
 * Between own_begin and own_end SPI is connected; results are SPI's.
 */
#ifndef BERT_PG_SERVER_OWN_STATEMENT_H
#define BERT_PG_SERVER_OWN_STATEMENT_H

#include "executor/spi.h"
#include "utils/jsonb.h"

#include "pg/server/role.h"

#define OWN_MAX_PARAMETERS 18

typedef struct OwnStatement
{
	RoleSwitch role;
	MemoryContext caller; /* where results are to go that outlive SPI */
	int n;
	Oid types[OWN_MAX_PARAMETERS];
	Datum values[OWN_MAX_PARAMETERS];
	char nulls[OWN_MAX_PARAMETERS];
} OwnStatement;

extern void own_begin(OwnStatement *statement);
extern void own_end(OwnStatement *statement);

/* Without parameters again, for another statement. */
extern void own_clear(OwnStatement *statement);
/* The next parameter; a text, bytes or jsonb that is NULL is an SQL NULL. */
extern void own_add(OwnStatement *statement, Oid type, Datum value, bool is_null);
extern void own_add_int64(OwnStatement *statement, int64 value);
extern void own_add_float(OwnStatement *statement, double value); /* NaN: NULL */
extern void own_add_text(OwnStatement *statement, const char *value);
extern void own_add_bool(OwnStatement *statement, bool value);
extern void own_add_bytes(OwnStatement *statement, const void *bytes, size_t length);
/* (n) UTF-8 */
extern void own_add_texts(OwnStatement *statement, int n, const char *const *values);
extern void own_add_jsonb(OwnStatement *statement, Jsonb *value);

/* Returns the number of rows. */
extern uint64 own_run(OwnStatement *statement, const char *sql);
/* The same, with a snapshot younger than all locks, whatever the transaction's isolation. */
extern uint64 own_run_latest(OwnStatement *statement, const char *sql);
/* A column, from 1 on, of a row of its result. */
extern Datum own_result(uint64 row, int column, bool *is_null);
/* For a statement that returns nothing of interest: run and end. */
extern void own_run_alone(OwnStatement *statement, const char *sql);

#endif
