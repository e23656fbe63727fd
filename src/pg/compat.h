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

/* Before version 16 the macro does not export the function itself. */
#if PG_VERSION_NUM < 160000
#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(funcname) \
	extern PGDLLEXPORT Datum funcname(PG_FUNCTION_ARGS); \
	extern PGDLLEXPORT const Pg_finfo_record *CppConcat(pg_finfo_, funcname)(void); \
	const Pg_finfo_record * \
	CppConcat(pg_finfo_, funcname)(void) \
	{ \
		static const Pg_finfo_record my_finfo = {1}; \
		return &my_finfo; \
	} \
	extern int no_such_variable
#endif

/* Version 18 puts it in front of the declaration: "pg_noreturn extern void f(void)". */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

#endif
