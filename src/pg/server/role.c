/* role.c: switching the current user with PostgreSQL's own security context. */
#include "pg/server/compat.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/syscache.h"

#include "pg/server/own.h"
#include "pg/server/role.h"

Oid
role_owner_of(Oid relation)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

Oid
role_extension_owner(void)
{
	Oid owner = role_owner_of(own_relation("model"));

	if (!OidIsValid(owner))
		elog(ERROR, "the tables of the extension \"bert\" are gone");
	return owner;
}

WorkerRole
role_for_worker(void)
{
	WorkerRole who = {GetSessionUserId(), GetUserId()};

	if (who.session != who.role &&
		(superuser_arg(who.session) || !CAN_SET_ROLE(who.session, who.role)))
		who.session = who.role;
	return who;
}

static bool
may_log_in(Oid role)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool may = HeapTupleIsValid(tuple) && ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return may;
}

bool
role_may_connect(Oid role)
{
	return may_log_in(role) && CAN_CONNECT(MyDatabaseId, role);
}

const char *
role_why_no_worker(const WorkerRole *who)
{
	const char *session = GetUserNameFromId(who->session, true);
	const char *role = GetUserNameFromId(who->role, true);

	if (session == NULL || role == NULL)
		return "the role that submitted the job no longer exists";
	if (!may_log_in(who->session))
		return psprintf("role \"%s\", which submitted the job, may not log in", session);
	if (!CAN_CONNECT(MyDatabaseId, who->session))
		return psprintf("role \"%s\", which submitted the job, may not connect to database \"%s\"",
						session, get_database_name(MyDatabaseId));
	if (who->session != who->role && !CAN_SET_ROLE(who->session, who->role))
		return psprintf("role \"%s\", which submitted the job as \"%s\", may not become that role",
						session, role);
	return NULL;
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
	own_check_names();
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
