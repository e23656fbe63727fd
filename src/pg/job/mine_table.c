/* mine_table.c: statements that order a table by the distance of its stored embeddings. */
#include "pg/server/compat.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "pg/job/mine_table.h"
#include "pg/server/encoding.h"

/* Of hnsw.ef_search, in pgvector. */
#define MOST_CANDIDATES 1000
#define FEWEST_ROWS 32

struct TableSearch
{
	Similarity similarity;
	size_t columns;
	SPIPlanPtr plan;   /* of an embedding and a number of rows */
	int settings;      /* nest level of what was set for the search */
	MemoryContext row; /* emptied after each */
};

typedef struct SearchColumn
{
	Oid relation;
	char *name;     /* quoted */
	Oid type;       /* of the base type */
	int dimensions; /* 0: any */
} SearchColumn;

static void
find_column(const MineTable *table, const char *column, SearchColumn *out)
{
	AttrNumber number;
	int32 typmod;
	Oid collation;

	out->relation =
		DatumGetObjectId(DirectFunctionCall1(regclassin, CStringGetDatum(table->table)));
	if (get_rel_name(out->relation) == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation \"%s\" does not exist", table->table)));
	number = get_attnum(out->relation, column);
	if (number == InvalidAttrNumber)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of table \"%s\" does not exist", column,
							   get_rel_name(out->relation))));
	get_atttypetypmodcoll(out->relation, number, &out->type, &typmod, &collation);
	out->type = getBaseTypeAndTypmod(out->type, &typmod);
	out->dimensions = Max(typmod, 0);
	out->name = pstrdup(quote_identifier(column));
}

/* The schema of the type, quoted; an error unless it is pgvector's vector or halfvec. */
static const char *
vector_schema(const MineTable *table, const SearchColumn *column)
{
	HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(column->type));
	Form_pg_type form = (Form_pg_type) GETSTRUCT(tuple);
	bool named = strcmp(NameStr(form->typname), "vector") == 0 ||
				 strcmp(NameStr(form->typname), "halfvec") == 0;
	Oid extension = named ? getExtensionOfObject(TypeRelationId, column->type) : InvalidOid;
	const char *name = OidIsValid(extension) ? get_extension_name(extension) : NULL;
	char *schema = get_namespace_name(form->typnamespace);

	ReleaseSysCache(tuple);
	if (name == NULL || strcmp(name, "vector") != 0)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of table \"%s\" has type %s and cannot be searched",
							   table->embedding, get_rel_name(column->relation),
							   format_type_be(column->type)),
						errhint("Its type must be pgvector's vector or halfvec; without pgvector "
								"give the texts as \"corpus_query\".")));
	return quote_identifier(schema);
}

/* As a function's SET: till the nest level ends. */
static void
set_for_now(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

/*
 * Settings of pgvector's index for this search: enough candidates, and more of them when those were
 * not enough. They end with the search. Loading the library, which the first use of the type does,
 * says which settings there are.
 */
static void
set_search(size_t wanted)
{
	const char *candidates = GetConfigOption("hnsw.ef_search", true, false);
	const char *iterative = GetConfigOption("hnsw.iterative_scan", true, false);
	int needed = (int) Min(wanted + FEWEST_ROWS, MOST_CANDIDATES);

	if (candidates != NULL && atoi(candidates) < needed)
		set_for_now("hnsw.ef_search", psprintf("%d", needed));
	if (iterative != NULL && strcmp(iterative, "off") == 0)
		set_for_now("hnsw.iterative_scan", "strict_order");
}

/* How many numbers the column's first embedding has, 0 for none; the type's library is loaded. */
static int
stored_dimensions(const SearchColumn *column, const char *table, const char *schema)
{
	char *sql = psprintf("SELECT %s.vector_dims(d.%s) FROM %s AS d WHERE d.%s IS NOT NULL LIMIT 1",
						 schema, column->name, table, column->name);
	bool is_null = true;
	Datum value = (Datum) 0;

	if (SPI_execute(sql, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute failed: %s", sql);
	if (SPI_processed > 0)
		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
	return is_null ? 0 : DatumGetInt32(value);
}

static SPIPlanPtr
prepare(const SearchColumn *embedding, const SearchColumn *text, const char *table,
		const char *schema, Similarity similarity)
{
	static const char *const operators[] = {
		[SIMILARITY_COSINE] = "<=>",
		[SIMILARITY_DOT] = "<#>",
		[SIMILARITY_EUCLIDEAN] = "<->",
		[SIMILARITY_MANHATTAN] = "<+>",
	};
	Oid types[2] = {FLOAT4ARRAYOID, INT8OID};
	char *distance = psprintf("d.%s OPERATOR(%s.%s) CAST($1 AS %s)", embedding->name, schema,
							  operators[similarity],
							  format_type_extended(embedding->type, -1, FORMAT_TYPE_FORCE_QUALIFY));
	/* The alias "d" cannot meet a column's name: every column is written with it. */
	char *sql = psprintf("SELECT CAST(d.%s AS pg_catalog.text), %s FROM %s AS d WHERE d.%s IS NOT "
						 "NULL ORDER BY %s LIMIT $2",
						 text->name, distance, table, embedding->name, distance);
	SPIPlanPtr plan = SPI_prepare_cursor(sql, 2, types, CURSOR_OPT_CUSTOM_PLAN);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", sql);
	return plan;
}

TableSearch *
mine_table_open(const MineTable *table, Similarity similarity, size_t columns)
{
	TableSearch *search = palloc0(sizeof *search);
	SearchColumn embedding;
	SearchColumn text;
	const char *schema;
	char *name;
	int stored;

	find_column(table, table->embedding, &embedding);
	find_column(table, table->text, &text);
	schema = vector_schema(table, &embedding);
	name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(embedding.relation)),
									  get_rel_name(embedding.relation));
	stored = stored_dimensions(&embedding, name, schema);
	if (embedding.dimensions > 0)
		stored = embedding.dimensions;
	if (stored > 0 && (size_t) stored != columns)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("embeddings of column \"%s\" have %d numbers, those of the model "
							   "%zu",
							   table->embedding, stored, columns),
						errhint("Name the model that the column was filled with.")));
	search->similarity = similarity;
	search->columns = columns;
	search->plan = prepare(&embedding, &text, name, schema, similarity);
	search->row =
		AllocSetContextCreate(CurrentMemoryContext, "document of a table", ALLOCSET_DEFAULT_SIZES);
	search->settings = NewGUCNestLevel();
	return search;
}

/* pgvector's distance, as bert.similarity says it. */
static double
score_of(Similarity similarity, double distance)
{
	return similarity == SIMILARITY_COSINE ? 1 - distance : -distance;
}

/* Visits the rows of SPI_tuptable from `from` on. */
static bool
visit_rows(const TableSearch *search, uint64 from, VisitDocument visit, void *context)
{
	bool more = true;

	for (uint64 i = from; more && i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		MemoryContext caller = MemoryContextSwitchTo(search->row);
		bool nulls[2];
		Datum document = SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &nulls[0]);
		Datum distance = SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &nulls[1]);
		const char *utf8 = "";
		size_t length = 0;
		/* the cosine of a vector of zeros is no number */
		bool found = !nulls[0] && !nulls[1] && !isnan(DatumGetFloat8(distance));

		CHECK_FOR_INTERRUPTS();
		if (found)
		{
			const char *raw = TextDatumGetCString(document);

			utf8 = encoding_to_utf8(raw, strlen(raw), &length);
		}
		MemoryContextSwitchTo(caller);
		if (found)
			more = visit(context, utf8, length,
						 score_of(search->similarity, DatumGetFloat8(distance)));
		MemoryContextReset(search->row);
	}
	return more;
}

/* Asks for more rows, each time from the first on, until there are or are wanted no more. */
void
mine_table_search(TableSearch *search, const float *query, size_t wanted, VisitDocument visit,
				  void *context)
{
	Datum *numbers = palloc(search->columns * sizeof *numbers);
	Datum values[2];
	uint64 seen = 0;
	bool more = true;

	for (size_t i = 0; i < search->columns; i++)
		numbers[i] = Float4GetDatum(query[i]);
	values[0] = PointerGetDatum(construct_array(numbers, (int) search->columns, FLOAT4OID,
												sizeof(float4), true, TYPALIGN_INT));
	for (uint64 limit = wanted + FEWEST_ROWS; more; limit *= 4)
	{
		set_search(limit);
		values[1] = Int64GetDatum((int64) limit);
		if (SPI_execute_plan(search->plan, values, NULL, true, 0) != SPI_OK_SELECT)
			elog(ERROR, "SPI_execute_plan failed");
		more = visit_rows(search, seen, visit, context) && SPI_processed == limit;
		seen = SPI_processed;
		SPI_freetuptable(SPI_tuptable);
	}
	pfree(DatumGetPointer(values[0]));
	pfree(numbers);
}

void
mine_table_close(TableSearch *search)
{
	AtEOXact_GUC(true, search->settings);
	SPI_freeplan(search->plan);
	MemoryContextDelete(search->row);
	pfree(search);
}
