/* own.c: the members of the extension, remembered until something of them changes. */
#include "pg/server/compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "pg/server/own.h"

#define MAX_MEMBERS 32

typedef struct Member
{
	Oid oid;
	NameData name;
} Member;

/* Of this backend; found anew after it was forgotten. */
typedef struct Members
{
	bool known;
	bool changed; /* since the last look began */
	bool names_checked;
	Oid owner_schema;
	int n;
	Member relations[MAX_MEMBERS];
} Members;

static Members members;

static void
forget(void)
{
	members.known = false;
	members.changed = true;
	members.names_checked = false;
}

static void
relation_changed(Datum unused, Oid relation)
{
	bool ours = !OidIsValid(relation);

	for (int i = 0; i < members.n && !ours; i++)
		ours = members.relations[i].oid == relation;
	if (ours)
		forget();
}

static void
schema_changed(Datum unused, int cache, uint32 hash)
{
	forget();
}

static void
watch(void)
{
	static bool watching = false;

	if (watching)
		return;
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, schema_changed, (Datum) 0);
	watching = true;
}

static void
add_relation(Oid oid)
{
	char kind = get_rel_relkind(oid);
	char *name;

	if (kind != RELKIND_RELATION && kind != RELKIND_SEQUENCE)
		return;
	name = get_rel_name(oid);
	if (name == NULL)
		return;
	if (members.n == MAX_MEMBERS)
		elog(ERROR, "the extension \"bert\" has more than %d tables", MAX_MEMBERS);
	members.relations[members.n].oid = oid;
	namestrcpy(&members.relations[members.n++].name, name);
	pfree(name);
}

static void
add_schema(Oid oid)
{
	char *name = get_namespace_name(oid);

	if (name != NULL && strcmp(name, OWN_OWNER_SCHEMA) == 0)
		members.owner_schema = oid;
}

/* False where there is no extension. */
static bool
find_members(void)
{
	Oid extension;
	Relation depend;
	SysScanDesc scan;
	ScanKeyData keys[2];
	HeapTuple tuple;

	if (members.known)
		return true;
	watch();
	extension = get_extension_oid("bert", true);
	if (!OidIsValid(extension))
		return false;
	members.n = 0;
	members.owner_schema = InvalidOid;
	members.changed = false;
	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ExtensionRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	depend = table_open(DependRelationId, AccessShareLock);
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->deptype != DEPENDENCY_EXTENSION || form->objsubid != 0)
			continue;
		if (form->classid == RelationRelationId)
			add_relation(form->objid);
		else if (form->classid == NamespaceRelationId)
			add_schema(form->objid);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	members.known = !members.changed;
	return true;
}

Oid
own_relation_if_any(const char *name)
{
	if (!find_members())
		return InvalidOid;
	for (int i = 0; i < members.n; i++)
		if (strcmp(NameStr(members.relations[i].name), name) == 0)
			return members.relations[i].oid;
	return InvalidOid;
}

Oid
own_relation(const char *name)
{
	Oid oid = own_relation_if_any(name);

	if (!OidIsValid(oid))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the tables of the extension \"bert\" are missing"),
						errhint("Run CREATE EXTENSION bert in this database.")));
	return oid;
}

Oid
own_owner_schema(void)
{
	(void) own_relation("model");
	if (!OidIsValid(members.owner_schema))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_SCHEMA),
						errmsg("the schema \"%s\" of the extension \"bert\" is missing",
							   OWN_OWNER_SCHEMA)));
	return members.owner_schema;
}

void
own_check_names(void)
{
	Oid schema;

	(void) own_relation("model");
	if (members.names_checked)
		return;
	/* before the look: what changes during it is noticed */
	members.names_checked = true;
	schema = get_namespace_oid("bert", true);
	if (get_namespace_oid(OWN_OWNER_SCHEMA, true) != members.owner_schema)
		schema = InvalidOid;
	for (int i = 0; i < members.n; i++)
		if (!OidIsValid(schema) || get_relname_relid(NameStr(members.relations[i].name), schema) !=
									   members.relations[i].oid)
		{
			members.names_checked = false;
			ereport(
				ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("bert.%s is not the table of the extension \"bert\"",
						NameStr(members.relations[i].name)),
				 errdetail("A schema or a table of the extension was renamed or moved."),
				 errhint("Give it its old name: the extension's schemas are \"bert\" and \"%s\".",
						 OWN_OWNER_SCHEMA)));
		}
}

AttrNumber
own_column(TupleDesc desc, const char *table, const char *column, Oid type)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped && strcmp(NameStr(attribute->attname), column) == 0 &&
			attribute->atttypid == type)
			return attribute->attnum;
	}
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("table bert.%s has no column \"%s\" of type %s", table, column,
						   format_type_be(type)),
					errdetail("It was changed after the extension made it."),
					errhint("Undo the change, or drop the extension and restore its models.")));
}
