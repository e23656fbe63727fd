/* store_read.c: reading the model tables through their indexes. */
#include "pg/server/compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "pg/server/errors.h"
#include "pg/model/store.h"

/* A scan of one of our tables, by an index or (index NULL) whole. */
typedef struct StoreScan
{
	Relation table;
	Relation index;
	SysScanDesc scan;
} StoreScan;

static Oid
relation_oid(const char *name)
{
	Oid schema = get_namespace_oid("bert", true);
	Oid oid = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;

	if (!OidIsValid(oid))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the tables of the extension \"bert\" are missing"),
						errhint("Run CREATE EXTENSION bert in this database.")));
	return oid;
}

static void
scan_begin(StoreScan *scan, const char *table, const char *index, int n_keys, ScanKey keys)
{
	scan->table = table_open(relation_oid(table), AccessShareLock);
	scan->index = index_open(relation_oid(index), AccessShareLock);
	scan->scan =
		systable_beginscan_ordered(scan->table, scan->index, GetActiveSnapshot(), n_keys, keys);
}

static HeapTuple
scan_next(StoreScan *scan)
{
	CHECK_FOR_INTERRUPTS();
	return systable_getnext_ordered(scan->scan, ForwardScanDirection);
}

static void
scan_end(StoreScan *scan)
{
	systable_endscan_ordered(scan->scan);
	index_close(scan->index, AccessShareLock);
	table_close(scan->table, AccessShareLock);
}

static Datum
get(const StoreScan *scan, HeapTuple tuple, const char *column, bool *is_null)
{
	bool null;
	Datum value = heap_getattr(tuple, get_attnum(RelationGetRelid(scan->table), column),
							   RelationGetDescr(scan->table), &null);

	if (is_null != NULL)
		*is_null = null;
	else if (null)
		elog(ERROR, "column %s of bert.%s is null", column, RelationGetRelationName(scan->table));
	return value;
}

static char *
get_text(const StoreScan *scan, HeapTuple tuple, const char *column)
{
	bool null;
	Datum value = get(scan, tuple, column, &null);

	return null ? NULL : TextDatumGetCString(value);
}

static char *
get_bytes(const StoreScan *scan, HeapTuple tuple, const char *column)
{
	bytea *value = DatumGetByteaPP(get(scan, tuple, column, NULL));

	return pnstrdup(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

static void
get_hash(const StoreScan *scan, HeapTuple tuple, const char *column, BlockHash *hash)
{
	bytea *value = DatumGetByteaPP(get(scan, tuple, column, NULL));

	if (VARSIZE_ANY_EXHDR(value) != SHA256_BYTES)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("column %s of bert.%s is no SHA-256", column,
							   RelationGetRelationName(scan->table))));
	memcpy(hash->bytes, VARDATA_ANY(value), SHA256_BYTES);
}

static ModelRow *
read_row(const StoreScan *scan, HeapTuple tuple)
{
	ModelRow *row = palloc0(sizeof *row);
	Status status;
	bool null;
	char *pooling;
	Datum value;

	row->name = get_text(scan, tuple, "name");
	row->version = DatumGetInt64(get(scan, tuple, "version", NULL));
	row->owner = DatumGetObjectId(get(scan, tuple, "owner", NULL));
	row->source = get_text(scan, tuple, "source");
	REPORT_UNLESS(head_kind_parse(get_text(scan, tuple, "head"), &row->head, &status), &status);
	REPORT_UNLESS(precision_parse(get_text(scan, tuple, "precision"), &row->precision, &status),
				  &status);
	row->config = get_bytes(scan, tuple, "config");
	row->use_pooler = DatumGetBool(get(scan, tuple, "use_pooler", NULL));
	row->tokenizer = get_bytes(scan, tuple, "tokenizer");
	get_hash(scan, tuple, "vocab", &row->vocab);
	pooling = get_text(scan, tuple, "pooling");
	row->sentence.present = pooling != NULL;
	if (pooling != NULL)
		REPORT_UNLESS(pooling_parse(pooling, &row->sentence.pooling, &status), &status);
	row->sentence.normalize = DatumGetBool(get(scan, tuple, "normalize", NULL));
	row->sentence.max_seq_length = DatumGetInt32(get(scan, tuple, "max_seq_length", NULL));
	get_hash(scan, tuple, "digest", &row->digest);
	row->base = get_text(scan, tuple, "base");
	value = get(scan, tuple, "base_version", &null);
	row->base_version = null ? 0 : DatumGetInt64(value);
	value = get(scan, tuple, "lineage", &null);
	row->lineage = null ? NULL : DatumGetJsonbPCopy(value);
	row->created = DatumGetTimestampTz(get(scan, tuple, "created", NULL));
	return row;
}

ModelRow *
store_find(const char *name)
{
	StoreScan scan;
	ScanKeyData key;
	HeapTuple tuple;
	ModelRow *row = NULL;

	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(name));
	scan_begin(&scan, "model", "model_pkey", 1, &key);
	tuple = scan_next(&scan);
	if (HeapTupleIsValid(tuple))
		row = read_row(&scan, tuple);
	scan_end(&scan);
	return row;
}

List *
store_list(void)
{
	StoreScan scan;
	HeapTuple tuple;
	List *rows = NIL;

	scan_begin(&scan, "model", "model_pkey", 0, NULL);
	while (HeapTupleIsValid(tuple = scan_next(&scan)))
		rows = lappend(rows, read_row(&scan, tuple));
	scan_end(&scan);
	return rows;
}

bool
store_owns(const ModelRow *row, Oid user)
{
	return superuser_arg(user) || has_privs_of_role(user, row->owner);
}

bool
store_may_use(const ModelRow *row, Oid user)
{
	StoreScan scan;
	ScanKeyData key;
	HeapTuple tuple;
	bool granted = false;

	if (store_owns(row, user))
		return true;
	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(row->name));
	scan_begin(&scan, "model_grant", "model_grant_pkey", 1, &key);
	while (!granted && HeapTupleIsValid(tuple = scan_next(&scan)))
	{
		Oid role = DatumGetObjectId(get(&scan, tuple, "role", NULL));

		granted = role == ACL_ID_PUBLIC || has_privs_of_role(user, role);
	}
	scan_end(&scan);
	return granted;
}

void
store_require_owner(const ModelRow *row)
{
	if (!store_owns(row, GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of model \"%s\"", row->name)));
}

static void
report_damage(const char *model, const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("the stored tensors of model \"%s\" are damaged", model),
					errdetail("%s", what)));
}

void
store_block_hashes(const ModelRow *row, const TensorTable *table, BlockHash *hashes)
{
	StoreScan scan;
	ScanKeyData key;
	HeapTuple tuple;
	int n = 0;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(row->version));
	scan_begin(&scan, "tensor", "tensor_pkey", 1, &key);
	while (HeapTupleIsValid(tuple = scan_next(&scan)))
	{
		const TensorSpec *tensor;
		BlockHash hash;

		if (n >= table->n_tensors)
			report_damage(row->name, "There are more tensors than the configuration says.");
		tensor = &table->tensors[n];
		if (strcmp(get_text(&scan, tuple, "name"), tensor->name) != 0 ||
			DatumGetInt64(get(&scan, tuple, "byte_offset", NULL)) !=
				(int64) (tensor->offset * sizeof(float)))
			report_damage(row->name, "A tensor is not the one that the configuration says.");
		get_hash(&scan, tuple, "block", &hash);
		if (n == table->blocks[tensor->block].first_tensor)
			hashes[tensor->block] = hash;
		else if (memcmp(&hashes[tensor->block], &hash, sizeof hash) != 0)
			report_damage(row->name, "The tensors of a block name different blocks.");
		n++;
	}
	scan_end(&scan);
	if (n != table->n_tensors)
		report_damage(row->name, "There are fewer tensors than the configuration says.");
}

/* Calls take for each chunk of the block, in order, its checksum verified. */
static void
read_chunks(const BlockHash *hash, void (*take)(void *context, const char *data, size_t length),
			void *context)
{
	StoreScan scan;
	ScanKeyData key;
	HeapTuple tuple;
	bytea *value = palloc(VARHDRSZ + SHA256_BYTES);
	int chunk = 0;

	SET_VARSIZE(value, VARHDRSZ + SHA256_BYTES);
	memcpy(VARDATA(value), hash->bytes, SHA256_BYTES);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_BYTEAEQ, PointerGetDatum(value));
	scan_begin(&scan, "block", "block_pkey", 1, &key);
	while (HeapTupleIsValid(tuple = scan_next(&scan)))
	{
		Datum stored = get(&scan, tuple, "data", NULL);
		bytea *data = DatumGetByteaPP(stored);
		pg_crc32c crc;

		INIT_CRC32C(crc);
		COMP_CRC32C(crc, VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
		FIN_CRC32C(crc);
		if (DatumGetInt32(get(&scan, tuple, "chunk", NULL)) != chunk++ ||
			DatumGetInt64(get(&scan, tuple, "crc", NULL)) != (int64) crc)
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
							errmsg("chunk %d of block %s is damaged", chunk - 1, store_hex(hash)),
							errhint("Import the model again.")));
		take(context, VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
		/* a small one lies in the tuple itself */
		if (data != (bytea *) DatumGetPointer(stored))
			pfree(data);
	}
	scan_end(&scan);
	pfree(value);
	if (chunk == 0)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("block %s is missing from bert.block", store_hex(hash))));
}

typedef struct Target
{
	char *bytes;
	size_t used;
	size_t room;
} Target;

static void
take_exactly(void *context, const char *data, size_t length)
{
	Target *target = context;

	if (length > target->room - target->used)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("a block of bert.block is longer than its tensors")));
	memcpy(target->bytes + target->used, data, length);
	target->used += length;
}

void
store_read_block(const BlockHash *hash, void *out, size_t length)
{
	Target target = {out, 0, length};

	read_chunks(hash, take_exactly, &target);
	if (target.used != length)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("block %s is cut short", store_hex(hash))));
}

static void
take_growing(void *context, const char *data, size_t length)
{
	Target *target = context;

	if (target->used + length + 1 > target->room)
	{
		target->room = Max(2 * target->room, target->used + length + 1);
		target->bytes = repalloc_huge(target->bytes, target->room);
	}
	memcpy(target->bytes + target->used, data, length);
	target->used += length;
}

char *
store_read_bytes(const BlockHash *hash, size_t *length)
{
	Target target = {palloc(STORE_CHUNK_BYTES), 0, STORE_CHUNK_BYTES};

	read_chunks(hash, take_growing, &target);
	target.bytes[target.used] = '\0';
	*length = target.used;
	return target.bytes;
}

char *
store_hex(const BlockHash *hash)
{
	char *out = palloc(2 * SHA256_BYTES + 1);

	hex_encode((const char *) hash->bytes, SHA256_BYTES, out);
	out[2 * SHA256_BYTES] = '\0';
	return out;
}
