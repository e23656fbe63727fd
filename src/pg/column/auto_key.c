/*
 * auto_key.c: the key by which queued rows are found again.
 *
 * Rows are compared as the key's own index compares them: with the equality of its operator class,
 * under that operator's own schema and name, and with its collation. Values travel as text that
 * reads back as the same value, whatever the settings of who writes and who reads.
 */
#include "pg/server/compat.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "pg/column/auto_key.h"
#include "pg/column/value_text.h"

/* "OPERATOR(schema.=)" */
static char *
qualified_operator(Oid operator)
{
	HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char *sql;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "operator %u does not exist", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	sql = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)),
				   NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return sql;
}

static char *
cast_to(Oid type)
{
	return psprintf("::%s", format_type_extended(
								type, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
}

char *
auto_key_collate(Oid collation)
{
	HeapTuple tuple;
	Form_pg_collation form;
	char *sql;

	if (!OidIsValid(collation) || collation == DEFAULT_COLLATION_OID)
		return "";
	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "collation %u does not exist", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	sql =
		psprintf(" COLLATE %s", quote_qualified_identifier(get_namespace_name(form->collnamespace),
														   NameStr(form->collname)));
	ReleaseSysCache(tuple);
	return sql;
}

/* false: its values cannot be compared */
static bool
describe(Relation relation, AttrNumber number, Oid family, Oid input, Oid collation,
		 AutoKeyColumn *out)
{
	Form_pg_attribute form = TupleDescAttr(RelationGetDescr(relation), number - 1);
	Oid type = getBaseType(form->atttypid);
	bool pseudo = get_typtype(input) == TYPTYPE_PSEUDO;
	Oid operator= get_opfamily_member(family, input, input, BTEqualStrategyNumber);

	if (!OidIsValid(operator))
		return false;
	/* arrays, rows and ranges have an operator even where what they are made of has none */
	if (pseudo && !OidIsValid(lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr))
		return false;
	out->name = pstrdup(NameStr(form->attname));
	out->type = type;
	out->plain = value_type_is_plain(type);
	out->equality = qualified_operator(operator);
	out->cast = cast_to(pseudo ? type : input);
	out->collate = auto_key_collate(collation);
	return true;
}

/* NULL, and the key, or why the index is none. */
static const char *
read_key(Relation relation, Relation index, AutoKey *key)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisunique || !form->indisvalid || index->rd_rel->relam != BTREE_AM_OID)
		return "";
	if (form->indnkeyatts > AUTO_MAX_KEY || RelationGetIndexPredicate(index) != NIL)
		return "";
	key->n = form->indnkeyatts;
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		AttrNumber number = form->indkey.values[i];
		Form_pg_attribute column;

		if (number <= 0)
			return "";
		column = TupleDescAttr(RelationGetDescr(relation), number - 1);
		if (!column->attnotnull)
			return "";
		if (!describe(relation, number, index->rd_opfamily[i], index->rd_opcintype[i],
					  index->rd_indcollation[i], &key->columns[i]))
			return psprintf("Values of type %s, of the key column \"%s\", cannot be compared.",
							format_type_be(column->atttypid), NameStr(column->attname));
	}
	return NULL;
}

const char *
auto_key(Relation relation, AutoKey *key)
{
	List *indexes = RelationGetIndexList(relation);
	const char *why = "";
	bool primary = false;
	ListCell *cell;

	foreach (cell, indexes)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		if (!primary && (why != NULL || index->rd_index->indisprimary))
		{
			AutoKey candidate;
			const char *reason = read_key(relation, index, &candidate);

			if (reason == NULL)
			{
				*key = candidate;
				why = NULL;
				primary = index->rd_index->indisprimary;
			}
			else if (why != NULL && reason[0] != '\0')
				why = reason;
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return why;
}

void
auto_key_column(Relation relation, const char *name, const AutoKey *key, AutoKeyColumn *out)
{
	AttrNumber number = get_attnum(RelationGetRelid(relation), name);
	Oid type;
	Oid class;

	for (int i = 0; key != NULL && i < key->n; i++)
		if (strcmp(key->columns[i].name, name) == 0)
		{
			*out = key->columns[i];
			return;
		}
	if (number <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of table \"%s\" does not exist", name,
							   RelationGetRelationName(relation))));
	type = getBaseType(TupleDescAttr(RelationGetDescr(relation), number - 1)->atttypid);
	class = GetDefaultOpClass(type, BTREE_AM_OID);
	if (!OidIsValid(class) || !describe(relation, number, get_opclass_family(class),
										get_opclass_input_type(class), InvalidOid, out))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
						errmsg("column \"%s\" of table \"%s\" is no key any more, and its values "
							   "cannot be compared",
							   name, RelationGetRelationName(relation))));
}

void
auto_key_condition(StringInfo sql, const AutoKeyColumn *column, int n)
{
	appendStringInfo(sql, " AND l.%s%s %s k.k%d%s%s", quote_identifier(column->name), column->cast,
					 column->equality, n, column->cast, column->collate);
}
