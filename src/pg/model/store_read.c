/* store_read.c: reading the model tables through their indexes. */
#include "pg/server/compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "pg/server/detoast.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"
#include "pg/server/own.h"
#include "pg/server/owner.h"
#include "pg/model/store.h"

/* A scan of one of our tables in the order of its primary key. */
typedef struct StoreScan
{
	const char *name; /* of the table */
	Relation table;
	Relation index;
	SysScanDesc scan;
} StoreScan;

/* The table's primary key; its index cannot be confused with another's. */
static void
scan_begin(StoreScan *scan, const char *table, int n_keys, ScanKey keys)
{
	List *indexes;

	scan->name = table;
	scan->table = table_open(own_relation(table), AccessShareLock);
	indexes = RelationGetIndexList(scan->table);
	list_free(indexes);
	if (!OidIsValid(scan->table->rd_pkindex))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("table bert.%s has lost its primary key", table)));
	scan->index = index_open(scan->table->rd_pkindex, AccessShareLock);
	scan->scan =
		systable_beginscan_ordered(scan->table, scan->index, GetActiveSnapshot(), n_keys, keys);
}

/* A key on a column, which is the first of the primary key; to be called before scan_begin. */
static void
scan_key(ScanKey key, const char *table, const char *column, Oid type, RegProcedure equal,
		 Datum value)
{
	Relation relation = table_open(own_relation(table), AccessShareLock);
	AttrNumber number = own_column(RelationGetDescr(relation), table, column, type);

	table_close(relation, AccessShareLock);
	ScanKeyEntryInitialize(key, 0, number, BTEqualStrategyNumber, InvalidOid,
						   type == TEXTOID ? C_COLLATION_OID : InvalidOid, equal, value);
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

/* is_null NULL: the column must have a value. */
static Datum
get(const StoreScan *scan, HeapTuple tuple, const char *column, Oid type, bool *is_null)
{
	TupleDesc desc = RelationGetDescr(scan->table);
	bool null;
	Datum value = heap_getattr(tuple, own_column(desc, scan->name, column, type), desc, &null);

	if (is_null != NULL)
		*is_null = null;
	else if (null)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("column \"%s\" of a row of bert.%s is null", column, scan->name)));
	return value;
}

/* NULL for NULL. */
static char *
get_text(const StoreScan *scan, HeapTuple tuple, const char *column)
{
	bool null;
	Datum value = get(scan, tuple, column, TEXTOID, &null);

	return null ? NULL : TextDatumGetCString(value);
}

static char *
get_required_text(const StoreScan *scan, HeapTuple tuple, const char *column)
{
	return TextDatumGetCString(get(scan, tuple, column, TEXTOID, NULL));
}

static int64
get_int64(const StoreScan *scan, HeapTuple tuple, const char *column)
{
	return DatumGetInt64(get(scan, tuple, column, INT8OID, NULL));
}

static int32
get_int32(const StoreScan *scan, HeapTuple tuple, const char *column)
{
	return DatumGetInt32(get(scan, tuple, column, INT4OID, NULL));
}

static bool
get_bool(const StoreScan *scan, HeapTuple tuple, const char *column)
{
	return DatumGetBool(get(scan, tuple, column, BOOLOID, NULL));
}

static char *
get_bytes(const StoreScan *scan, HeapTuple tuple, const char *column)
{
	bytea *value = (bytea *) detoast_packed(get(scan, tuple, column, BYTEAOID, NULL));

	return pnstrdup(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

static void
get_hash(const StoreScan *scan, HeapTuple tuple, const char *column, BlockHash *hash)
{
	bytea *value = (bytea *) detoast_packed(get(scan, tuple, column, BYTEAOID, NULL));

	if (VARSIZE_ANY_EXHDR(value) != SHA256_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("column \"%s\" of a row of bert.%s is no SHA-256", column, scan->name)));
	memcpy(hash->bytes, VARDATA_ANY(value), SHA256_BYTES);
}

/* Who may read the rest of the row. */
static ModelRow *
read_rights(const StoreScan *scan, HeapTuple tuple)
{
	ModelRow *row = palloc0(sizeof *row);

	row->name = get_required_text(scan, tuple, "name");
	row->version = get_int64(scan, tuple, "version");
	row->granted_to_all = get_bool(scan, tuple, "granted_to_all");
	row->owner = strlen(row->name) < NAMEDATALEN ? owner_find(OWNED_MODEL, row->name) : InvalidOid;
	return row;
}

static void
report_bad_row(const ModelRow *row, const char *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("the row of model \"%s\" in bert.model is damaged", row->name),
			 errdetail("Column \"%s\" has a value that the extension does not write.", column),
			 errhint("bert.drop_model removes the model.")));
}

static void
restore_sentence(ModelRow *row)
{
	Arena *arena = arena_in_context(CurrentMemoryContext, 0);
	Status status;

	if (!sentence_settings_restore(arena, &row->sentence, &status))
		report_bad_row(row, "sentence");
	arena_destroy(arena);
}

static void
read_contents(const StoreScan *scan, HeapTuple tuple, ModelRow *row)
{
	Status status;
	bool null;
	char *pooling = get_text(scan, tuple, "pooling");
	Datum value;

	if (!store_name_is_valid(row->name))
		report_bad_row(row, "name");
	if (row->version <= 0)
		report_bad_row(row, "version");
	row->source = get_required_text(scan, tuple, "source");
	if (!head_kind_parse(get_required_text(scan, tuple, "head"), &row->head, &status))
		report_bad_row(row, "head");
	if (!precision_parse(get_required_text(scan, tuple, "precision"), &row->precision, &status))
		report_bad_row(row, "precision");
	row->config = get_bytes(scan, tuple, "config");
	row->use_pooler = get_bool(scan, tuple, "use_pooler");
	row->tokenizer = get_bytes(scan, tuple, "tokenizer");
	get_hash(scan, tuple, "vocab", &row->vocab);
	row->sentence.present = pooling != NULL;
	row->sentence.pooling = pooling_single(POOLING_MEAN);
	if (pooling != NULL && !pooling_modes_parse(pooling, &row->sentence.pooling, &status))
		report_bad_row(row, "pooling");
	row->sentence.normalize = get_bool(scan, tuple, "normalize");
	row->sentence.max_seq_length = get_int32(scan, tuple, "max_seq_length");
	if (row->sentence.max_seq_length < 0)
		report_bad_row(row, "max_seq_length");
	value = get(scan, tuple, "sentence", BYTEAOID, &null);
	if (!null)
		row->sentence.saved = pnstrdup(VARDATA_ANY(DatumGetByteaPP(value)),
									   VARSIZE_ANY_EXHDR(DatumGetByteaPP(value)));
	restore_sentence(row);
	get_hash(scan, tuple, "digest", &row->digest);
	row->base = get_text(scan, tuple, "base");
	value = get(scan, tuple, "base_version", INT8OID, &null);
	row->base_version = null ? 0 : DatumGetInt64(value);
	value = get(scan, tuple, "lineage", JSONBOID, &null);
	row->lineage = null ? NULL : DatumGetJsonbPCopy(value);
	row->description = get_text(scan, tuple, "description");
	row->created = DatumGetTimestampTz(get(scan, tuple, "created", TIMESTAMPTZOID, NULL));
}

static ModelRow *
find(const char *name, bool contents)
{
	StoreScan scan;
	ScanKeyData key;
	HeapTuple tuple;
	ModelRow *row = NULL;

	scan_key(&key, "model", "name", TEXTOID, F_TEXTEQ, CStringGetTextDatum(name));
	scan_begin(&scan, "model", 1, &key);
	tuple = scan_next(&scan);
	if (HeapTupleIsValid(tuple))
	{
		row = read_rights(&scan, tuple);
		if (contents && store_may_use(row, GetUserId()))
			read_contents(&scan, tuple, row);
	}
	scan_end(&scan);
	return row;
}

ModelRow *
store_find(const char *name)
{
	return find(name, true);
}

ModelRow *
store_find_rights(const char *name)
{
	return find(name, false);
}

List *
store_list(void)
{
	StoreScan scan;
	HeapTuple tuple;
	List *rows = NIL;

	scan_begin(&scan, "model", 0, NULL);
	while (HeapTupleIsValid(tuple = scan_next(&scan)))
	{
		ModelRow *row = read_rights(&scan, tuple);

		if (!store_may_use(row, GetUserId()))
			continue;
		read_contents(&scan, tuple, row);
		rows = lappend(rows, row);
	}
	scan_end(&scan);
	return rows;
}

bool
store_owns(const ModelRow *row, Oid user)
{
	return superuser_arg(user) || (OidIsValid(row->owner) && has_privs_of_role(user, row->owner));
}

bool
store_may_use(const ModelRow *row, Oid user)
{
	return store_owns(row, user) ||
		   (OidIsValid(row->owner) &&
			(row->granted_to_all || owner_has_grant(OWNED_MODEL, row->name, user)));
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

/* Whether the row says of the tensor what the configuration does. */
static bool
tensor_fits(const StoreScan *scan, HeapTuple tuple, const TensorSpec *tensor, int ordinal)
{
	ArrayType *shape = DatumGetArrayTypeP(get(scan, tuple, "shape", INT4ARRAYOID, NULL));

	if (get_int32(scan, tuple, "ordinal") != ordinal ||
		strcmp(get_required_text(scan, tuple, "name"), tensor->name) != 0 ||
		strcmp(get_required_text(scan, tuple, "dtype"), "F32") != 0 ||
		get_int64(scan, tuple, "byte_offset") != (int64) (tensor->offset * sizeof(float)))
		return false;
	if (ARR_NDIM(shape) != 1 || ARR_DIMS(shape)[0] != tensor->rank || ARR_HASNULL(shape) ||
		ARR_ELEMTYPE(shape) != INT4OID)
		return false;
	for (int d = 0; d < tensor->rank; d++)
		if (((const int32 *) ARR_DATA_PTR(shape))[d] != (int32) tensor->shape[d])
			return false;
	return true;
}

void
store_block_hashes(const ModelRow *row, const TensorTable *table, BlockHash *hashes)
{
	StoreScan scan;
	ScanKeyData key;
	HeapTuple tuple;
	int n = 0;

	scan_key(&key, "tensor", "version", INT8OID, F_INT8EQ, Int64GetDatum(row->version));
	scan_begin(&scan, "tensor", 1, &key);
	while (HeapTupleIsValid(tuple = scan_next(&scan)))
	{
		const TensorSpec *tensor;
		BlockHash hash;

		if (n >= table->n_tensors)
			report_damage(row->name, "There are more tensors than the configuration says.");
		tensor = &table->tensors[n];
		if (!tensor_fits(&scan, tuple, tensor, n))
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
	scan_key(&key, "block", "hash", BYTEAOID, F_BYTEAEQ, PointerGetDatum(value));
	scan_begin(&scan, "block", 1, &key);
	while (HeapTupleIsValid(tuple = scan_next(&scan)))
	{
		Datum stored = get(&scan, tuple, "data", BYTEAOID, NULL);
		bytea *data = DatumGetByteaPP(stored);
		pg_crc32c crc;

		CHECK_FOR_INTERRUPTS();
		INIT_CRC32C(crc);
		COMP_CRC32C(crc, VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
		FIN_CRC32C(crc);
		if (get_int32(&scan, tuple, "chunk") != chunk++ ||
			get_int64(&scan, tuple, "crc") != (int64) crc)
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
