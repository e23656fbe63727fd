/* owner.c: the functions that stand for owned objects. */
#include "pg/server/compat.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "pg/server/own.h"
#include "pg/server/owner.h"
#include "pg/server/role.h"

static const struct
{
	const char *prefix;
	const char *argument; /* its type as SQL text */
	Oid type;             /* InvalidOid: no argument */
} kinds[] = {
	[OWNED_MODEL] = {"", "", InvalidOid},
	[OWNED_JOB] = {"job_", "pg_catalog.int8", INT8OID},
	[OWNED_COLUMN] = {"auto_embed_", "pg_catalog.regclass", REGCLASSOID},
};

char *
owned_name(OwnedKind kind, int64 number)
{
	return psprintf("%s" INT64_FORMAT, kinds[kind].prefix, number);
}

int64
owned_number(OwnedKind kind, const char *name)
{
	size_t length = strlen(kinds[kind].prefix);

	return strncmp(name, kinds[kind].prefix, length) == 0 ? strtoll(name + length, NULL, 10) : 0;
}

/* The function, to be released; NULL if there is none, or one that we have not made. */
static HeapTuple
find_function(OwnedKind kind, const char *name)
{
	oidvector *arguments = buildoidvector(&kinds[kind].type, OidIsValid(kinds[kind].type) ? 1 : 0);
	HeapTuple tuple =
		SearchSysCache3(PROCNAMEARGSNSP, CStringGetDatum(name), PointerGetDatum(arguments),
						ObjectIdGetDatum(own_owner_schema()));

	pfree(arguments);
	if (HeapTupleIsValid(tuple) && ((Form_pg_proc) GETSTRUCT(tuple))->prolang != ClanguageId)
	{
		ReleaseSysCache(tuple);
		return NULL;
	}
	return tuple;
}

Oid
owner_find(OwnedKind kind, const char *name)
{
	HeapTuple tuple = find_function(kind, name);
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* Grantees of EXECUTE other than owner and PUBLIC, a list of Oid. */
static List *
grantees(HeapTuple tuple)
{
	Oid owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	bool is_null;
	Datum value = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proacl, &is_null);
	List *roles = NIL;
	Acl *acl;

	if (is_null)
		return NIL;
	acl = DatumGetAclP(value);
	for (int i = 0; i < ACL_NUM(acl); i++)
	{
		const AclItem *item = &ACL_DAT(acl)[i];

		if ((ACLITEM_GET_PRIVS(*item) & ACL_EXECUTE) != 0 && item->ai_grantee != ACL_ID_PUBLIC &&
			item->ai_grantee != owner)
			roles = list_append_unique_oid(roles, item->ai_grantee);
	}
	return roles;
}

static List *
grantees_of(OwnedKind kind, const char *name)
{
	HeapTuple tuple = find_function(kind, name);
	List *roles;

	if (!HeapTupleIsValid(tuple))
		return NIL;
	roles = grantees(tuple);
	ReleaseSysCache(tuple);
	return roles;
}

bool
owner_has_grant(OwnedKind kind, const char *name, Oid role)
{
	ListCell *cell;

	foreach (cell, grantees_of(kind, name))
		if (has_privs_of_role(role, lfirst_oid(cell)))
			return true;
	return false;
}

/* --- Changes: as the bootstrap superuser, for only superusers make functions in C --- */

typedef struct Change
{
	RoleSwitch role;
	char *function; /* quoted, with its argument */
} Change;

static void
begin(Change *change, OwnedKind kind, const char *name)
{
	change->function =
		psprintf(OWN_OWNER_SCHEMA ".%s(%s)", quote_identifier(name), kinds[kind].argument);
	role_become_owner(&change->role);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
						   change->role.security_context | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
}

static void
run(const char *statement)
{
	int result = SPI_execute(statement, false, 0);

	if (result < 0)
		elog(ERROR, "%s: %s", statement, SPI_result_code_string(result));
}

static void
end(Change *change)
{
	SPI_finish();
	role_restore(&change->role);
	pfree(change->function);
	CommandCounterIncrement();
}

static const char *
quoted_role(Oid role)
{
	return quote_identifier(GetUserNameFromId(role, false));
}

static void
revoke_from(const Change *change, const char *role)
{
	run(psprintf("REVOKE ALL ON FUNCTION %s FROM %s CASCADE", change->function, role));
}

/*
 * What ALTER FUNCTION ... DEPENDS ON EXTENSION does, without its lock: that one would keep others
 * from making anything until the transaction ends.
 */
static void
depend_on_extension(OwnedKind kind, const char *name)
{
	HeapTuple tuple;
	ObjectAddress function;
	ObjectAddress extension;

	ObjectAddressSet(extension, ExtensionRelationId, get_extension_oid("bert", false));
	LockDatabaseObject(extension.classId, extension.objectId, 0, AccessShareLock);
	CommandCounterIncrement();
	tuple = find_function(kind, name);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "function \"%s\" is missing", name);
	ObjectAddressSet(function, ProcedureRelationId, ((Form_pg_proc) GETSTRUCT(tuple))->oid);
	ReleaseSysCache(tuple);
	recordDependencyOn(&function, &extension, DEPENDENCY_AUTO_EXTENSION);
}

void
owner_create(OwnedKind kind, const char *name, Oid role)
{
	Change change;
	ListCell *cell;

	owner_drop(kind, name);
	begin(&change, kind, name);
	run(psprintf("CREATE FUNCTION %s RETURNS pg_catalog.void AS '$libdir/bert', 'bert_owned' "
				 "LANGUAGE c",
				 change.function));
	depend_on_extension(kind, name);
	/* ALTER DEFAULT PRIVILEGES may have given it to others */
	revoke_from(&change, "PUBLIC");
	foreach (cell, grantees_of(kind, name))
		revoke_from(&change, quoted_role(lfirst_oid(cell)));
	run(psprintf("ALTER FUNCTION %s OWNER TO %s", change.function, quoted_role(role)));
	end(&change);
}

void
owner_set(OwnedKind kind, const char *name, Oid role)
{
	Change change;

	if (!OidIsValid(owner_find(kind, name)))
	{
		owner_create(kind, name, role);
		return;
	}
	begin(&change, kind, name);
	run(psprintf("ALTER FUNCTION %s OWNER TO %s", change.function, quoted_role(role)));
	end(&change);
}

void
owner_drop(OwnedKind kind, const char *name)
{
	HeapTuple tuple = find_function(kind, name);
	ObjectAddress address;

	if (!HeapTupleIsValid(tuple))
		return;
	ObjectAddressSet(address, ProcedureRelationId, ((Form_pg_proc) GETSTRUCT(tuple))->oid);
	ReleaseSysCache(tuple);
	performDeletion(&address, DROP_CASCADE, PERFORM_DELETION_INTERNAL);
	CommandCounterIncrement();
}

void
owner_rename(OwnedKind kind, const char *name, const char *new_name)
{
	Change change;

	owner_drop(kind, new_name);
	if (new_name[0] == '\0' || strlen(new_name) >= NAMEDATALEN)
		owner_drop(kind, name); /* a row that the extension does not write */
	if (!OidIsValid(owner_find(kind, name)))
		return;
	begin(&change, kind, name);
	run(psprintf("ALTER FUNCTION %s RENAME TO %s", change.function, quote_identifier(new_name)));
	end(&change);
}

void
owner_grant(OwnedKind kind, const char *name, Oid role)
{
	Change change;

	begin(&change, kind, name);
	run(psprintf("GRANT EXECUTE ON FUNCTION %s TO %s", change.function, quoted_role(role)));
	end(&change);
}

bool
owner_revoke(OwnedKind kind, const char *name, Oid role)
{
	Change change;

	if (!list_member_oid(grantees_of(kind, name), role))
		return false;
	begin(&change, kind, name);
	revoke_from(&change, quoted_role(role));
	end(&change);
	return true;
}

/* What those functions are. */
PG_FUNCTION_INFO_V1(bert_owned);
PGDLLEXPORT Datum
bert_owned(PG_FUNCTION_ARGS)
{
	PG_RETURN_VOID();
}

/* --- For SQL --- */

static Datum
role_or_null(FunctionCallInfo fcinfo, Oid role)
{
	if (!OidIsValid(role))
		PG_RETURN_NULL();
	PG_RETURN_OID(role);
}

PG_FUNCTION_INFO_V1(bert_job_role);
PGDLLEXPORT Datum
bert_job_role(PG_FUNCTION_ARGS)
{
	return role_or_null(fcinfo, owner_find(OWNED_JOB, owned_name(OWNED_JOB, PG_GETARG_INT64(0))));
}

PG_FUNCTION_INFO_V1(bert_job_session_role);
PGDLLEXPORT Datum
bert_job_session_role(PG_FUNCTION_ARGS)
{
	List *roles = grantees_of(OWNED_JOB, owned_name(OWNED_JOB, PG_GETARG_INT64(0)));

	return role_or_null(fcinfo, list_length(roles) == 1 ? linitial_oid(roles) : InvalidOid);
}

PG_FUNCTION_INFO_V1(bert_auto_embed_role);
PGDLLEXPORT Datum
bert_auto_embed_role(PG_FUNCTION_ARGS)
{
	return role_or_null(fcinfo,
						owner_find(OWNED_COLUMN, owned_name(OWNED_COLUMN, PG_GETARG_INT64(0))));
}
