/*
 * compat.h: includes postgres.h for every file of src/pg, and holds all differences between PostgreSQL versions
 * (15 to 18). No other file tests PG_VERSION_NUM.
 */
#ifndef BERT_PG_COMPAT_H
#define BERT_PG_COMPAT_H

/* Before version 16 PGDLLEXPORT is empty outside Windows; we build with hidden visibility everywhere. */
#define PGDLLEXPORT __attribute__((visibility("default")))

#include "postgres.h"

#include "fmgr.h"

/* Version 18 puts it in front of the declaration: "pg_noreturn extern void f(void)". */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

#endif
