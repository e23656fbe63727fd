/* role.c: switching the current user with PostgreSQL's own security context. */
#include "pg/server/compat.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "pg/server/role.h"

Oid
role_extension_owner(void)
{
	Oid relation = get_relname_relid("model", get_namespace_oid("bert", false));
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the tables of the extension \"bert\" are missing"),
						errhint("Run CREATE EXTENSION bert in this database.")));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

static void
become(RoleSwitch *saved, Oid role, int flags, const char *search_path)
{
	GetUserIdAndSecContext(&saved->user, &saved->security_context);
	SetUserIdAndSecContext(role, saved->security_context | flags);
	saved->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", search_path, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
role_become_owner(RoleSwitch *saved)
{
	become(saved, role_extension_owner(), SECURITY_LOCAL_USERID_CHANGE, "pg_catalog, pg_temp");
}

void
role_become(RoleSwitch *saved, Oid role, const char *search_path)
{
	become(saved, role, SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION, search_path);
}

void
role_restore(const RoleSwitch *saved)
{
	AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->user, saved->security_context);
}
