/* store_write.c: changing the model tables, through SPI as their owner. */
#include "pg/server/compat.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "pg/model/bundle.h"
#include "pg/model/cache.h"
#include "pg/server/errors.h"
#include "pg/server/own.h"
#include "pg/server/owner.h"
#include "pg/server/role.h"
#include "pg/model/store.h"

#define MAX_PARAMETERS 20

/* One statement with its parameters. */
typedef struct Statement
{
	const char *text;
	int n;
	Oid types[MAX_PARAMETERS];
	Datum values[MAX_PARAMETERS];
	char nulls[MAX_PARAMETERS];
} Statement;

static void
bind(Statement *statement, Oid type, Datum value)
{
	statement->types[statement->n] = type;
	statement->values[statement->n] = value;
	statement->nulls[statement->n++] = ' ';
}

static void
bind_text(Statement *statement, const char *value)
{
	bind(statement, TEXTOID, value == NULL ? (Datum) 0 : CStringGetTextDatum(value));
	if (value == NULL)
		statement->nulls[statement->n - 1] = 'n';
}

static bytea *
bytes_datum(const void *bytes, size_t length)
{
	bytea *value = palloc(VARHDRSZ + length);

	SET_VARSIZE(value, VARHDRSZ + length);
	memcpy(VARDATA(value), bytes, length);
	return value;
}

static void
bind_bytes(Statement *statement, const void *bytes, size_t length)
{
	bind(statement, BYTEAOID, PointerGetDatum(bytes_datum(bytes, length)));
}

/* Runs it; SPI_processed and SPI_tuptable say what came of it. */
static void
run(const Statement *statement)
{
	int result = SPI_execute_with_args(statement->text, statement->n, (Oid *) statement->types,
									   (Datum *) statement->values, statement->nulls, false, 0);

	if (result < 0)
		elog(ERROR, "%s: %s", statement->text, SPI_result_code_string(result));
}

static void
begin(RoleSwitch *saved)
{
	role_become_owner(saved);
	SPI_connect();
}

static void
end(const RoleSwitch *saved)
{
	SPI_finish();
	role_restore(saved);
}

bool
store_name_is_valid(const char *name)
{
	size_t length = strlen(name);
	bool ok = length > 0 && length < NAMEDATALEN;

	for (size_t i = 0; i < length; i++)
		ok = ok && name[i] != '@' && name[i] != ':' && (unsigned char) name[i] >= 0x20 &&
			 name[i] != 0x7f;
	return ok;
}

void
store_check_name(const char *name)
{
	if (!store_name_is_valid(name))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_NAME), errmsg("invalid model name \"%s\"", name),
			 errdetail("A name has 1 to %d bytes, no control characters, no \"@\" and no \":\".",
					   NAMEDATALEN - 1)));
	if (bundle_exists(name))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("\"%s\" is the name of a bundled model", name),
						errhint("Choose another name; bert.copy_model copies a bundled model.")));
}

void
store_begin_write(void)
{
	PreventCommandIfReadOnly("changing models");
	PreventCommandDuringRecovery("changing models");
	LockRelationOid(own_relation("block"), RowExclusiveLock);
	cache_adds_models();
}

/* True when the block is there, seen with a snapshot newer than our lock. */
static bool
block_exists(const BlockHash *hash)
{
	Statement statement = {.text = "SELECT 1 FROM bert.block WHERE hash = $1 AND chunk = 0"};
	SPIPlanPtr plan;

	bind_bytes(&statement, hash->bytes, SHA256_BYTES);
	plan = SPI_prepare(statement.text, statement.n, statement.types);
	PushActiveSnapshot(GetLatestSnapshot());
	SPI_execute_snapshot(plan, statement.values, statement.nulls, GetActiveSnapshot(),
						 InvalidSnapshot, true, false, 1);
	PopActiveSnapshot();
	SPI_freeplan(plan);
	return SPI_processed > 0;
}

void
store_put_block(const void *bytes, size_t length, BlockHash *hash)
{
	RoleSwitch saved;
	Sha256 sha;
	SPIPlanPtr plan;
	Oid types[] = {BYTEAOID, INT4OID, INT8OID, BYTEAOID};

	sha256_init(&sha);
	for (size_t done = 0; done < length; done += Min(length - done, (size_t) STORE_CHUNK_BYTES))
	{
		CHECK_FOR_INTERRUPTS();
		sha256_update(&sha, (const char *) bytes + done,
					  Min(length - done, (size_t) STORE_CHUNK_BYTES));
	}
	sha256_final(&sha, hash->bytes);

	begin(&saved);
	/* With our own command's rows visible too: the same block may come twice in one model. */
	CommandCounterIncrement();
	if (!block_exists(hash))
	{
		plan = SPI_prepare("INSERT INTO bert.block (hash, chunk, crc, data) VALUES ($1, $2, $3, "
						   "$4) ON CONFLICT (hash, chunk) DO NOTHING",
						   4, types);
		for (size_t done = 0, chunk = 0; chunk == 0 || done < length; chunk++)
		{
			size_t n = Min(length - done, (size_t) STORE_CHUNK_BYTES);
			bytea *data = bytes_datum((const char *) bytes + done, n);
			Datum values[4];
			pg_crc32c crc;

			CHECK_FOR_INTERRUPTS();
			INIT_CRC32C(crc);
			COMP_CRC32C(crc, VARDATA(data), n);
			FIN_CRC32C(crc);
			values[0] = PointerGetDatum(bytes_datum(hash->bytes, SHA256_BYTES));
			values[1] = Int32GetDatum((int32) chunk);
			values[2] = Int64GetDatum((int64) crc);
			values[3] = PointerGetDatum(data);
			if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_INSERT)
				elog(ERROR, "could not insert into bert.block");
			pfree(data);
			done += n;
		}
	}
	end(&saved);
}

static void
digest_text(Sha256 *sha, const char *text)
{
	/* with the NUL: no two lists of texts run together the same way */
	sha256_update(sha, text, strlen(text) + 1);
}

void
store_digest(const char *config, bool use_pooler, HeadKind head, const SentenceSettings *sentence,
			 const char *tokenizer, const BlockHash *vocab, const BlockHash *blocks, int n_blocks,
			 BlockHash *digest)
{
	Sha256 sha;

	sha256_init(&sha);
	digest_text(&sha, config);
	digest_text(&sha, use_pooler ? "pooler" : "");
	digest_text(&sha, head_kind_name(head));
	digest_text(&sha, sentence->present ? pooling_name(sentence->pooling) : "");
	digest_text(&sha, sentence->normalize ? "normalize" : "");
	digest_text(&sha, psprintf("%d", sentence->max_seq_length));
	if (sentence->saved != NULL)
		digest_text(&sha, sentence->saved);
	digest_text(&sha, tokenizer);
	sha256_update(&sha, vocab->bytes, SHA256_BYTES);
	for (int i = 0; i < n_blocks; i++)
		sha256_update(&sha, blocks[i].bytes, SHA256_BYTES);
	sha256_final(&sha, digest->bytes);
}

static void
put_tensors(int64 version, const ModelDraft *draft)
{
	Oid types[] = {INT8OID, INT4OID, TEXTOID, INT4ARRAYOID, BYTEAOID, INT8OID};
	SPIPlanPtr plan = SPI_prepare(
		"INSERT INTO bert.tensor (version, ordinal, name, dtype, shape, block, byte_offset)"
		" VALUES ($1, $2, $3, 'F32', $4, $5, $6)",
		lengthof(types), types);

	for (int i = 0; i < draft->table->n_tensors; i++)
	{
		const TensorSpec *tensor = &draft->table->tensors[i];
		Datum shape[2];
		Datum values[6];

		for (int d = 0; d < tensor->rank; d++)
			shape[d] = Int32GetDatum((int32) tensor->shape[d]);
		values[0] = Int64GetDatum(version);
		values[1] = Int32GetDatum(i);
		values[2] = CStringGetTextDatum(tensor->name);
		values[3] = PointerGetDatum(
			construct_array(shape, tensor->rank, INT4OID, sizeof(int32), true, TYPALIGN_INT));
		values[4] = PointerGetDatum(bytes_datum(draft->blocks[tensor->block].bytes, SHA256_BYTES));
		values[5] = Int64GetDatum((int64) (tensor->offset * sizeof(float)));
		if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not insert into bert.tensor");
	}
	SPI_freeplan(plan);
}

static void
put_heads(int64 version, HeadKind head)
{
	HeadKind served[HEAD_KIND_COUNT];
	int n = served_heads(head, served);

	for (int i = 0; i < n; i++)
	{
		Statement statement = {.text = "INSERT INTO bert.head (version, head) VALUES ($1, $2)"};

		bind(&statement, INT8OID, Int64GetDatum(version));
		bind_text(&statement, head_kind_name(served[i]));
		run(&statement);
	}
}

/*
 * A version that no other server gives: the time in microseconds and 12 random bits, so that rows
 * of several servers can lie in one table. Later ones are greater; greater than the one before in
 * any case. Good until the year 2071.
 */
static int64
new_version(int64 before)
{
	uint16 random;
	int64 version;

	if (!pg_strong_random(&random, sizeof random))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random numbers")));
	random &= 0xFFF;
	version = (GetCurrentTimestamp() << 12) | random;
	/* a row that the extension has not written may have any number */
	return before < PG_INT64_MAX - 0x1000 ? Max(version, before + 1 + random) : version;
}

/*
 * Locks the model's row to the end of the transaction; false if there is none. 42501 if the user
 * does not own it.
 */
static bool
lock_owned(const char *name, Oid user, int64 *version)
{
	Statement statement = {.text = "SELECT version FROM bert.model WHERE name = $1 FOR UPDATE"};
	ModelRow row = {.owner = owner_find(OWNED_MODEL, name)};
	bool null;

	*version = 0;
	bind_text(&statement, name);
	run(&statement);
	if (SPI_processed == 0)
		return false;
	if (!store_owns(&row, user))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of model \"%s\"", name)));
	*version = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
	return true;
}

/* The model's row for a change that the current user was found to be allowed to make. */
static int64
lock_for_change(const ModelRow *row)
{
	int64 version;

	if (!lock_owned(row->name, BOOTSTRAP_SUPERUSERID, &version))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("model \"%s\" does not exist", row->name)));
	return version;
}

static void
delete_parts(int64 version)
{
	Statement statement = {.text = "DELETE FROM bert.tensor WHERE version = $1"};

	bind(&statement, INT8OID, Int64GetDatum(version));
	run(&statement);
	statement.text = "DELETE FROM bert.head WHERE version = $1";
	run(&statement);
}

int64
store_put_model(const ModelDraft *draft, bool replace)
{
	static const char *const insert =
		"INSERT INTO bert.model (name, version, granted_to_all, source, head, precision, config, "
		"use_pooler, tokenizer, vocab, pooling,"
		" normalize, max_seq_length, digest, base, base_version, lineage, sentence, created)"
		" VALUES ($1, $2, false, $3, $4, $5, $6, $7, $8, $9, "
		"$10, $11, $12, $13, $14, $15, $16, $17, pg_catalog.now())"
		" ON CONFLICT (name) DO NOTHING";
	static const char *const update =
		"UPDATE bert.model SET (version, source, head, precision, config, use_pooler, tokenizer, "
		"vocab, pooling,"
		" normalize, max_seq_length, digest, base, base_version, lineage, sentence, created)"
		" = ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
		"$13, $14, $15, $16, $17, pg_catalog.now())"
		" WHERE name = $1";
	Statement statement = {0};
	Oid user = GetUserId();
	RoleSwitch saved;
	Arena *arena = arena_create(&allocator_malloc, 0);
	Status status;
	char *config = config_write(arena, draft->config, draft->table->head, &status);
	BlockHash digest;
	int64 version;
	int64 before;
	bool existing;

	if (config != NULL)
		config = pstrdup(config);
	arena_destroy(arena);
	REPORT_UNLESS(config != NULL, &status);
	store_check_name(draft->name);
	store_digest(config, tensor_table_has_pooler(draft->table), draft->table->head,
				 &draft->sentence, draft->tokenizer, &draft->vocab, draft->blocks,
				 draft->table->n_blocks, &digest);

	begin(&saved);
	existing = lock_owned(draft->name, user, &before);
	if (existing && !replace)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("model \"%s\" already exists", draft->name),
						strcmp(draft->source, "imported") == 0
							? errhint("With replace => true it is replaced.")
							: errhint("Choose another name, or drop the model first.")));
	if (existing)
		delete_parts(before);
	version = new_version(before);
	statement.text = existing ? update : insert;
	bind_text(&statement, draft->name);
	bind(&statement, INT8OID, Int64GetDatum(version));
	bind_text(&statement, draft->source);
	bind_text(&statement, head_kind_name(draft->table->head));
	bind_text(&statement, precision_name(draft->precision));
	bind_bytes(&statement, config, strlen(config));
	bind(&statement, BOOLOID, BoolGetDatum(tensor_table_has_pooler(draft->table)));
	bind_bytes(&statement, draft->tokenizer, strlen(draft->tokenizer));
	bind_bytes(&statement, draft->vocab.bytes, SHA256_BYTES);
	bind_text(&statement, draft->sentence.present ? pooling_name(draft->sentence.pooling) : NULL);
	bind(&statement, BOOLOID, BoolGetDatum(draft->sentence.normalize));
	bind(&statement, INT4OID, Int32GetDatum(draft->sentence.max_seq_length));
	bind_bytes(&statement, digest.bytes, SHA256_BYTES);
	bind_text(&statement, draft->base);
	bind(&statement, INT8OID, Int64GetDatum(draft->base_version));
	if (draft->base == NULL)
		statement.nulls[statement.n - 1] = 'n';
	bind(&statement, JSONBOID, PointerGetDatum(draft->lineage));
	if (draft->lineage == NULL)
		statement.nulls[statement.n - 1] = 'n';
	bind_bytes(&statement, draft->sentence.saved,
			   draft->sentence.saved == NULL ? 0 : strlen(draft->sentence.saved));
	if (draft->sentence.saved == NULL)
		statement.nulls[statement.n - 1] = 'n';
	run(&statement);
	if (SPI_processed == 0) /* somebody else has just committed the name */
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("model \"%s\" already exists", draft->name)));
	if (!existing)
		owner_create(OWNED_MODEL, draft->name, user);
	put_tensors(version, draft);
	put_heads(version, draft->table->head);
	if (existing)
		store_collect_garbage_at_commit();
	end(&saved);
	return version;
}

static void
delete_model(const char *name, int64 version)
{
	Statement statement = {.text = "DELETE FROM bert.model WHERE name = $1"};

	delete_parts(version);
	bind_text(&statement, name);
	run(&statement);
	store_collect_garbage_at_commit();
}

void
store_drop(const ModelRow *row)
{
	RoleSwitch saved;

	begin(&saved);
	delete_model(row->name, lock_for_change(row));
	end(&saved);
}

void
store_forget(const char *name)
{
	RoleSwitch saved;
	int64 version;

	begin(&saved);
	if (lock_owned(name, BOOTSTRAP_SUPERUSERID, &version))
		delete_model(name, version);
	end(&saved);
}

void
store_rename(const ModelRow *row, const char *name)
{
	RoleSwitch saved;
	Statement statement = {.text = "SELECT FROM bert.model WHERE name = $1"};

	store_check_name(name);
	begin(&saved);
	(void) lock_for_change(row);
	bind_text(&statement, name);
	run(&statement);
	if (SPI_processed > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("model \"%s\" already exists", name)));
	statement.text = "UPDATE bert.model SET name = $1 WHERE name = $2";
	bind_text(&statement, row->name);
	run(&statement);
	end(&saved);
}

void
store_set_precision(const ModelRow *row, Precision precision)
{
	static const char *const texts[] = {
		"UPDATE bert.model SET precision = $1, version = $2 WHERE version = $3",
		"UPDATE bert.tensor SET version = $2 WHERE version = $3",
		"UPDATE bert.head SET version = $2 WHERE version = $3"};
	RoleSwitch saved;
	Statement statement = {.text = "SELECT FROM bert.model WHERE name = $1 AND precision = $2"};
	int64 version;
	int64 next;

	begin(&saved);
	version = lock_for_change(row);
	next = new_version(version);
	bind_text(&statement, row->name);
	bind_text(&statement, precision_name(precision));
	run(&statement);
	if (SPI_processed == 0)
		for (int i = 0; i < (int) lengthof(texts); i++)
		{
			statement = (Statement){.text = texts[i]};
			bind_text(&statement, precision_name(precision));
			bind(&statement, INT8OID, Int64GetDatum(next));
			bind(&statement, INT8OID, Int64GetDatum(version));
			run(&statement);
		}
	end(&saved);
}

static void
set_granted_to_all(const ModelRow *row, bool granted)
{
	Statement statement = {.text = "UPDATE bert.model SET granted_to_all = $2 WHERE name = $1"};

	bind_text(&statement, row->name);
	bind(&statement, BOOLOID, BoolGetDatum(granted));
	run(&statement);
}

void
store_grant(const ModelRow *row, Oid role)
{
	RoleSwitch saved;

	if (!OidIsValid(row->owner))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("model \"%s\" has no owner", row->name),
						errdetail("It came by replication, or from a dump without owners."),
						errhint("Give it one with bert.set_model_owner, then grant it.")));
	begin(&saved);
	(void) lock_for_change(row);
	if (role == ACL_ID_PUBLIC)
		set_granted_to_all(row, true);
	else
		owner_grant(OWNED_MODEL, row->name, role);
	end(&saved);
}

bool
store_revoke(const ModelRow *row, Oid role)
{
	RoleSwitch saved;
	bool found;

	begin(&saved);
	(void) lock_for_change(row);
	found =
		role == ACL_ID_PUBLIC ? row->granted_to_all : owner_revoke(OWNED_MODEL, row->name, role);
	if (found && role == ACL_ID_PUBLIC)
		set_granted_to_all(row, false);
	end(&saved);
	return found;
}

void
store_set_owner(const ModelRow *row, Oid role)
{
	RoleSwitch saved;

	begin(&saved);
	(void) lock_for_change(row);
	owner_set(OWNED_MODEL, row->name, role);
	end(&saved);
}
