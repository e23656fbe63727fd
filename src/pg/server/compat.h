/*
 * compat.h: includes postgres.h for every file of src/pg, and holds all differences between
 * PostgreSQL versions (15 to 18). No other file tests PG_VERSION_NUM.
 */
#ifndef BERT_PG_SERVER_COMPAT_H
#define BERT_PG_SERVER_COMPAT_H

/*
 * Before version 16 PGDLLEXPORT is empty outside Windows; we build with hidden visibility
 * everywhere.
 */
#define PGDLLEXPORT __attribute__((visibility("default")))

#include "postgres.h"

#include "fmgr.h"

/* Before version 16 the macro does not export the function itself. */
#if PG_VERSION_NUM < 160000
#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(funcname)                                               \
	extern PGDLLEXPORT Datum funcname(PG_FUNCTION_ARGS);                            \
	extern PGDLLEXPORT const Pg_finfo_record *CppConcat(pg_finfo_, funcname)(void); \
	const Pg_finfo_record *CppConcat(pg_finfo_, funcname)(void)                     \
	{                                                                               \
		static const Pg_finfo_record my_finfo = {1};                                \
		return &my_finfo;                                                           \
	}                                                                               \
	extern int no_such_variable
#endif

/* Version 18 puts it in front of the declaration: "pg_noreturn extern void f(void)". */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/*
 * Where a query keeps the permissions that a table needs: requiredPerms, selectedCols, updatedCols.
 */
#if PG_VERSION_NUM < 160000
#define QUERY_PERMISSIONS(query, rte) (rte)
#define QUERY_HAS_PERMISSIONS(rte) true
#else
#define QUERY_PERMISSIONS(query, rte) getRTEPermissionInfo((query)->rteperminfos, rte)
#define QUERY_HAS_PERMISSIONS(rte) ((rte)->perminfoindex != 0)
#endif

/* What pg_stat_activity.wait_event says; before version 17 "Extension" for all. */
#if PG_VERSION_NUM < 170000
#define WAIT_EVENT(name) PG_WAIT_EXTENSION
#else
#include "utils/wait_event.h"
#define WAIT_EVENT(name) WaitEventExtensionNew(name)
#endif

#if PG_VERSION_NUM < 180000
#define RUN_EXECUTOR(desc) ExecutorRun(desc, ForwardScanDirection, 0, true)
#else
#define RUN_EXECUTOR(desc) ExecutorRun(desc, ForwardScanDirection, 0)
#endif

/* ExplainProperty...() */
#if PG_VERSION_NUM < 180000
#include "commands/explain.h"
#else
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

/* All settings of the server: struct config_generic ** and their number. */
#if PG_VERSION_NUM < 160000
#define ALL_SETTINGS(n) (*(n) = GetNumConfigOptions(), get_guc_variables())
#else
#define ALL_SETTINGS(n) get_guc_variables(n)
#endif

/* A name with its schema, as a list. */
#if PG_VERSION_NUM < 160000
#define QUALIFIED_NAME(text) stringToQualifiedNameList(text)
#else
#define QUALIFIED_NAME(text) stringToQualifiedNameList(text, NULL)
#endif

/* A type's name, as in SQL, to its number and modifier; an error if there is none. */
#if PG_VERSION_NUM < 160000
#define PARSE_TYPE(name, type, modifier) parseTypeString(name, type, modifier, false)
#else
#define PARSE_TYPE(name, type, modifier) (void) parseTypeString(name, type, modifier, NULL)
#endif

/* May the member SET ROLE to the role? */
#if PG_VERSION_NUM < 160000
#define CAN_SET_ROLE(member, role) is_member_of_role(member, role)
#else
#define CAN_SET_ROLE(member, role) member_can_set_role(member, role)
#endif

#if PG_VERSION_NUM < 160000
#define CAN_CONNECT(database, role) \
	(pg_database_aclcheck(database, role, ACL_CONNECT) == ACLCHECK_OK)
#else
#define CAN_CONNECT(database, role) \
	(object_aclcheck(DatabaseRelationId, database, role, ACL_CONNECT) == ACLCHECK_OK)
#endif

#if PG_VERSION_NUM < 160000
#define OWNS_TABLE(relation, role) pg_class_ownercheck(relation, role)
#define CHECK_MAY_BECOME(user, role) check_is_member_of_role(user, role)
#else
#define OWNS_TABLE(relation, role) object_ownercheck(RelationRelationId, relation, role)
#define CHECK_MAY_BECOME(user, role) check_can_set_role(user, role)
#endif

#endif
