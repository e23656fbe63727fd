/* chunk_table.c: tables of chunks, found again and described. */
#include "pg/server/compat.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "pg/column/chunk_table.h"
#include "pg/server/role.h"

void
chunk_columns_map(ChunkColumns *columns, Oid from, Oid to)
{
	for (int i = 0; i < columns->n_texts; i++)
		columns->texts[i] = get_attnum(to, get_attname(from, columns->texts[i], false));
	for (int i = 0; i < columns->n_key; i++)
		columns->key[i] = get_attnum(to, get_attname(from, columns->key[i], false));
}

static const Oid column_types[CHUNK_COLUMNS] = {INT4OID, INT4OID, INT4OID, TEXTOID, InvalidOid};

/* NULL, or why the relation is no table of chunks. */
static const char *
read_columns(Relation relation, int n_key, ChunkTable *table)
{
	TupleDesc desc = RelationGetDescr(relation);

	if (relation->rd_rel->relkind != RELKIND_RELATION || desc->natts < n_key + CHUNK_COLUMNS)
		return psprintf("\"%s\" is no table of chunks any more", RelationGetRelationName(relation));
	for (int i = 0; i < n_key + CHUNK_COLUMNS; i++)
	{
		Form_pg_attribute form = TupleDescAttr(desc, i);
		Oid wanted = i < n_key ? InvalidOid : column_types[i - n_key];

		if (form->attisdropped)
			return psprintf("column %d of the table of chunks \"%s\" was dropped", i + 1,
							RelationGetRelationName(relation));
		if (OidIsValid(wanted) && form->atttypid != wanted)
			return psprintf("column \"%s\" of the table of chunks \"%s\" has type %s, not %s",
							NameStr(form->attname), RelationGetRelationName(relation),
							format_type_be(form->atttypid), format_type_be(wanted));
		if (i < n_key)
			table->key[i].name = pstrdup(NameStr(form->attname));
		else
			table->columns[i - n_key] = quote_identifier(pstrdup(NameStr(form->attname)));
	}
	table->embedding_type = TupleDescAttr(desc, n_key + CHUNK_EMBEDDING)->atttypid;
	return NULL;
}

/* How the source compares its key. */
static const char *
describe_key(const AutoColumn *automatic, const ChunkColumns *columns, Oid described,
			 ChunkTable *table)
{
	Relation source = try_table_open(automatic->relation, AccessShareLock);
	const char *why = NULL;
	AutoKey key;

	if (source == NULL)
		return "the table of the texts is gone";
	if (auto_key(source, &key) != NULL)
		why = psprintf("table \"%s\" has no key any more", RelationGetRelationName(source));
	for (int i = 0; why == NULL && i < columns->n_key; i++)
		auto_key_column(source, get_attname(described, columns->key[i], false), &key,
						&table->key[i]);
	table_close(source, NoLock);
	return why;
}

const char *
chunk_table_open(const AutoColumn *automatic, const ChunkColumns *columns, Oid described,
				 LOCKMODE mode, ChunkTable *table)
{
	Relation relation =
		OidIsValid(automatic->chunks) ? try_table_open(automatic->chunks, mode) : NULL;
	const char *why;

	*table = (ChunkTable){.relation = automatic->chunks, .n_key = columns->n_key};
	if (relation == NULL)
		return "the table of chunks is gone";
	why = describe_key(automatic, columns, described, table);
	if (why == NULL)
		why = read_columns(relation, columns->n_key, table);
	table->owner = relation->rd_rel->relowner;
	table->sql = psprintf(
		"ONLY %s", quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
											  RelationGetRelationName(relation)));
	table_close(relation, NoLock);
	return why;
}

const char *
chunk_table_condition(const ChunkTable *table)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < table->n_key; i++)
		auto_key_condition(&sql, &table->key[i], i);
	return sql.data;
}

const char *
chunk_table_key_names(const ChunkTable *table)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < table->n_key; i++)
		appendStringInfo(&sql, "%s%s", i == 0 ? "" : ", ", quote_identifier(table->key[i].name));
	return sql.data;
}
