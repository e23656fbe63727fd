/* store_write.c: changing the model tables, through SPI as their owner. */
#include "pg/server/compat.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/bulk.h"
#include "pg/model/bundle.h"
#include "pg/model/cache.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"
#include "pg/server/progress.h"
#include "pg/server/own.h"
#include "pg/server/owner.h"
#include "pg/server/own_statement.h"
#include "pg/server/values.h"
#include "pg/model/store.h"

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
block_exists(OwnStatement *statement, const BlockHash *hash)
{
	own_clear(statement);
	own_add_bytes(statement, hash->bytes, SHA256_BYTES);
	return own_run_latest(statement, "SELECT FROM bert.block WHERE hash = $1 AND chunk = 0") > 0;
}

void
store_put_block(const void *bytes, size_t length, BlockHash *hash)
{
	OwnStatement statement;
	SPIPlanPtr plan;
	Oid types[] = {BYTEAOID, INT4OID, INT8OID, BYTEAOID};
	Status status;

	REPORT_UNLESS(bulk_sha256(bytes, length, hash->bytes, &backend_may_continue, &status), &status);
	own_begin(&statement);
	if (!block_exists(&statement, hash))
	{
		plan = SPI_prepare("INSERT INTO bert.block (hash, chunk, crc, data) VALUES ($1, $2, $3, "
						   "$4) ON CONFLICT (hash, chunk) DO NOTHING",
						   4, types);
		for (size_t done = 0, chunk = 0; chunk == 0 || done < length; chunk++)
		{
			size_t n = Min(length - done, (size_t) STORE_CHUNK_BYTES);
			bytea *data = bytes_value((const char *) bytes + done, n);
			Datum values[4];
			pg_crc32c crc;

			CHECK_FOR_INTERRUPTS();
			INIT_CRC32C(crc);
			COMP_CRC32C(crc, VARDATA(data), n);
			FIN_CRC32C(crc);
			values[0] = PointerGetDatum(bytes_value(hash->bytes, SHA256_BYTES));
			values[1] = Int32GetDatum((int32) chunk);
			values[2] = Int64GetDatum((int64) crc);
			values[3] = PointerGetDatum(data);
			if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_INSERT)
				elog(ERROR, "could not insert into bert.block");
			pfree(data);
			done += n;
			progress_add((int64) n);
		}
	}
	own_end(&statement);
}

static void
digest_text(Sha256 *sha, const char *text)
{
	/* with the NUL: no two lists of texts run together the same way */
	sha256_update(sha, text, strlen(text) + 1);
}

void
store_digest(const ModelContents *contents, BlockHash *digest)
{
	const SentenceSettings *sentence = contents->sentence;
	char pooling[POOLING_TEXT_BYTES];
	Sha256 sha;

	pooling_modes_print(&sentence->pooling, pooling);
	sha256_init(&sha);
	digest_text(&sha, contents->config);
	digest_text(&sha, contents->use_pooler ? "pooler" : "");
	digest_text(&sha, head_kind_name(contents->head));
	digest_text(&sha, sentence->present ? pooling : "");
	digest_text(&sha, sentence->normalize ? "normalize" : "");
	digest_text(&sha, psprintf("%d", sentence->max_seq_length));
	if (sentence->saved != NULL)
		digest_text(&sha, sentence->saved);
	digest_text(&sha, contents->tokenizer);
	sha256_update(&sha, contents->vocab->bytes, SHA256_BYTES);
	for (int i = 0; i < contents->n_blocks; i++)
		sha256_update(&sha, contents->blocks[i].bytes, SHA256_BYTES);
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
		values[4] = PointerGetDatum(bytes_value(draft->blocks[tensor->block].bytes, SHA256_BYTES));
		values[5] = Int64GetDatum((int64) (tensor->offset * sizeof(float)));
		if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not insert into bert.tensor");
	}
	SPI_freeplan(plan);
}

static void
put_heads(OwnStatement *statement, int64 version, const TensorTable *table)
{
	HeadKind served[HEAD_KIND_COUNT];
	int n = served_heads(table->family, table->head, served);

	for (int i = 0; i < n; i++)
	{
		own_clear(statement);
		own_add_int64(statement, version);
		own_add_text(statement, head_kind_name(served[i]));
		own_run(statement, "INSERT INTO bert.head (version, head) VALUES ($1, $2)");
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
lock_owned(OwnStatement *statement, const char *name, Oid user, int64 *version)
{
	ModelRow row = {.owner = owner_find(OWNED_MODEL, name)};
	bool null;

	*version = 0;
	own_clear(statement);
	own_add_text(statement, name);
	if (own_run(statement, "SELECT version FROM bert.model WHERE name = $1 FOR UPDATE") == 0)
		return false;
	if (!store_owns(&row, user))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of model \"%s\"", name)));
	*version = DatumGetInt64(own_result(0, 1, &null));
	return true;
}

/* The model's row for a change that the current user was found to be allowed to make. */
static int64
lock_for_change(OwnStatement *statement, const ModelRow *row)
{
	int64 version;

	if (!lock_owned(statement, row->name, BOOTSTRAP_SUPERUSERID, &version))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("model \"%s\" does not exist", row->name)));
	return version;
}

static void
delete_parts(OwnStatement *statement, int64 version)
{
	own_clear(statement);
	own_add_int64(statement, version);
	own_run(statement, "DELETE FROM bert.tensor WHERE version = $1");
	own_run(statement, "DELETE FROM bert.head WHERE version = $1");
}

/* config.json as the store keeps it. */
static char *
write_config(const ModelDraft *draft)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	Status status;
	char *config = config_write(arena, draft->config, draft->table->head, &status);

	if (config != NULL)
		config = pstrdup(config);
	arena_destroy(arena);
	REPORT_UNLESS(config != NULL, &status);
	return config;
}

static void
refuse_existing(const ModelDraft *draft)
{
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("model \"%s\" already exists", draft->name),
			 strcmp(draft->source, "imported") == 0
				 ? errhint("With replace => true it is replaced.")
				 : errhint("Choose another name, or drop the model first.")));
}

/* The model's row; false when the name is taken. */
static bool
put_model_row(OwnStatement *statement, const ModelDraft *draft, int64 version, bool existing)
{
	static const char *const insert =
		"INSERT INTO bert.model (name, version, granted_to_all, source, head, precision, config, "
		"use_pooler, tokenizer, vocab, pooling,"
		" normalize, max_seq_length, digest, base, base_version, lineage, sentence, "
		"description, created)"
		" VALUES ($1, $2, false, $3, $4, $5, $6, $7, $8, $9, "
		"$10, $11, $12, $13, $14, $15, $16, $17, $18, pg_catalog.now())"
		" ON CONFLICT (name) DO NOTHING";
	static const char *const update =
		"UPDATE bert.model SET (version, source, head, precision, config, use_pooler, tokenizer, "
		"vocab, pooling,"
		" normalize, max_seq_length, digest, base, base_version, lineage, sentence, "
		"description, created)"
		" = ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
		"$13, $14, $15, $16, $17, $18, pg_catalog.now())"
		" WHERE name = $1";
	const SentenceSettings *sentence = &draft->sentence;
	bool use_pooler = tensor_table_has_pooler(draft->table);
	char *config = write_config(draft);
	ModelContents contents = {.config = config,
							  .use_pooler = use_pooler,
							  .head = draft->table->head,
							  .sentence = sentence,
							  .tokenizer = draft->tokenizer,
							  .vocab = &draft->vocab,
							  .blocks = draft->blocks,
							  .n_blocks = draft->table->n_blocks};
	char pooling[POOLING_TEXT_BYTES];
	BlockHash digest;

	store_digest(&contents, &digest);
	own_clear(statement);
	own_add_text(statement, draft->name);
	own_add_int64(statement, version);
	own_add_text(statement, draft->source);
	own_add_text(statement, head_kind_name(draft->table->head));
	own_add_text(statement, precision_name(draft->precision));
	own_add_bytes(statement, config, strlen(config));
	own_add_bool(statement, use_pooler);
	own_add_bytes(statement, draft->tokenizer, strlen(draft->tokenizer));
	own_add_bytes(statement, draft->vocab.bytes, SHA256_BYTES);
	pooling_modes_print(&sentence->pooling, pooling);
	own_add_text(statement, sentence->present ? pooling : NULL);
	own_add_bool(statement, sentence->normalize);
	own_add(statement, INT4OID, Int32GetDatum(sentence->max_seq_length), false);
	own_add_bytes(statement, digest.bytes, SHA256_BYTES);
	own_add_text(statement, draft->base);
	own_add(statement, INT8OID, Int64GetDatum(draft->base_version), draft->base == NULL);
	own_add_jsonb(statement, draft->lineage);
	own_add_bytes(statement, sentence->saved,
				  sentence->saved == NULL ? 0 : strlen(sentence->saved));
	own_add_text(statement, draft->description);
	return own_run(statement, existing ? update : insert) > 0;
}

int64
store_put_model(const ModelDraft *draft, bool replace)
{
	OwnStatement statement;
	Oid user = GetUserId();
	int64 version;
	int64 before;
	bool existing;

	store_check_name(draft->name);
	own_begin(&statement);
	existing = lock_owned(&statement, draft->name, user, &before);
	if (existing && !replace)
		refuse_existing(draft);
	if (existing)
		delete_parts(&statement, before);
	version = new_version(before);
	if (!put_model_row(&statement, draft, version,
					   existing)) /* somebody else has just committed it */
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("model \"%s\" already exists", draft->name)));
	if (!existing)
		owner_create(OWNED_MODEL, draft->name, user);
	put_tensors(version, draft);
	put_heads(&statement, version, draft->table);
	if (existing)
		store_collect_garbage_at_commit();
	own_end(&statement);
	return version;
}

static void
delete_model(OwnStatement *statement, const char *name, int64 version)
{
	delete_parts(statement, version);
	own_clear(statement);
	own_add_text(statement, name);
	own_run(statement, "DELETE FROM bert.model WHERE name = $1");
	store_collect_garbage_at_commit();
}

void
store_drop(const ModelRow *row)
{
	OwnStatement statement;

	own_begin(&statement);
	delete_model(&statement, row->name, lock_for_change(&statement, row));
	own_end(&statement);
}

void
store_forget(const char *name)
{
	OwnStatement statement;
	int64 version;

	own_begin(&statement);
	if (lock_owned(&statement, name, BOOTSTRAP_SUPERUSERID, &version))
		delete_model(&statement, name, version);
	own_end(&statement);
}

void
store_rename(const ModelRow *row, const char *name)
{
	OwnStatement statement;

	store_check_name(name);
	own_begin(&statement);
	(void) lock_for_change(&statement, row);
	own_clear(&statement);
	own_add_text(&statement, name);
	if (own_run(&statement, "SELECT FROM bert.model WHERE name = $1") > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("model \"%s\" already exists", name)));
	own_add_text(&statement, row->name);
	own_run_alone(&statement, "UPDATE bert.model SET name = $1 WHERE name = $2");
}

void
store_set_precision(const ModelRow *row, Precision precision)
{
	OwnStatement statement;
	int64 version;

	own_begin(&statement);
	version = lock_for_change(&statement, row);
	own_clear(&statement);
	own_add_text(&statement, precision_name(precision));
	own_add_text(&statement, row->name);
	if (own_run(&statement, "SELECT FROM bert.model WHERE precision = $1 AND name = $2") == 0)
	{
		own_clear(&statement);
		own_add_int64(&statement, new_version(version));
		own_add_int64(&statement, version);
		own_run(&statement, "UPDATE bert.tensor SET version = $1 WHERE version = $2");
		own_run(&statement, "UPDATE bert.head SET version = $1 WHERE version = $2");
		own_add_text(&statement, precision_name(precision));
		own_run(&statement,
				"UPDATE bert.model SET version = $1, precision = $3 WHERE version = $2");
	}
	own_end(&statement);
}

static void
set_granted_to_all(OwnStatement *statement, const ModelRow *row, bool granted)
{
	own_clear(statement);
	own_add_text(statement, row->name);
	own_add_bool(statement, granted);
	own_run(statement, "UPDATE bert.model SET granted_to_all = $2 WHERE name = $1");
}

void
store_grant(const ModelRow *row, Oid role)
{
	OwnStatement statement;

	if (!OidIsValid(row->owner))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("model \"%s\" has no owner", row->name),
						errdetail("It came by replication, or from a dump without owners."),
						errhint("Give it one with bert.set_model_owner, then grant it.")));
	own_begin(&statement);
	(void) lock_for_change(&statement, row);
	if (role == ACL_ID_PUBLIC)
		set_granted_to_all(&statement, row, true);
	else
		owner_grant(OWNED_MODEL, row->name, role);
	own_end(&statement);
}

bool
store_revoke(const ModelRow *row, Oid role)
{
	OwnStatement statement;
	bool found;

	own_begin(&statement);
	(void) lock_for_change(&statement, row);
	found =
		role == ACL_ID_PUBLIC ? row->granted_to_all : owner_revoke(OWNED_MODEL, row->name, role);
	if (found && role == ACL_ID_PUBLIC)
		set_granted_to_all(&statement, row, false);
	own_end(&statement);
	return found;
}

void
store_set_owner(const ModelRow *row, Oid role)
{
	OwnStatement statement;

	own_begin(&statement);
	(void) lock_for_change(&statement, row);
	owner_set(OWNED_MODEL, row->name, role);
	own_end(&statement);
}
