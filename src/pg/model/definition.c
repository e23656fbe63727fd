/* definition.c: opening models from the store and from bundled folders. */
#include "pg/server/compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "core/bulk.h"
#include "pg/model/cache.h"
#include "pg/model/definition.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"

#define RECORD_VERSION 2

/* What is remembered of a bundled model: the payload of its cache file. */
typedef struct BundleRecord
{
	BlockHash digest;
	BlockHash tokenizer;
	int32 head;
	int32 use_pooler;
	int32 n_blocks;
	BlockHash blocks[CONFIG_MAX_LAYERS + 3 + DENSE_MAX];
} BundleRecord;

/* --- Opening --- */

static ModelDefinition *
new_definition(const char *name)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "bert model definition", ALLOCSET_SMALL_SIZES);
	ModelDefinition *definition = MemoryContextAllocZero(context, sizeof *definition);

	definition->context = context;
	definition->arena = arena_in_context(context, 0);
	definition->name = MemoryContextStrdup(context, name);
	return definition;
}

static char *
copy_string(const char *text)
{
	return text == NULL ? NULL : pstrdup(text);
}

static ModelRow *
copy_row(const ModelRow *row)
{
	ModelRow *copy = palloc(sizeof *copy);

	*copy = *row;
	copy->name = copy_string(row->name);
	copy->source = copy_string(row->source);
	copy->config = copy_string(row->config);
	copy->tokenizer = copy_string(row->tokenizer);
	copy->base = copy_string(row->base);
	copy->description = copy_string(row->description);
	copy->sentence.saved = copy_string(row->sentence.saved);
	if (row->lineage != NULL)
	{
		copy->lineage = palloc(VARSIZE(row->lineage));
		memcpy(copy->lineage, row->lineage, VARSIZE(row->lineage));
	}
	return copy;
}

ModelDefinition *
definition_of_row(const ModelRow *given)
{
	ModelDefinition *definition = new_definition(given->name);
	MemoryContext previous = MemoryContextSwitchTo(definition->context);
	ModelRow *row = copy_row(given);
	Sha256 sha;
	Status status;

	definition->version = row->version;
	definition->row = row;
	definition->precision = row->precision;
	definition->sentence = row->sentence;
	definition->digest = row->digest;
	if (!config_parse(definition->arena, row->config, strlen(row->config), &definition->config,
					  &status))
		report_status(&status);
	definition->config.use_pooler = row->use_pooler;
	if (!sentence_settings_put_dense(&row->sentence, &definition->config, &status) ||
		!tensor_table_build(definition->arena, &definition->config, row->head, &definition->table,
							&status))
		report_status(&status);
	/* The table decides: a bare encoder of this model must not ask for a pooler it has not. */
	definition->config.use_pooler = tensor_table_has_pooler(&definition->table);
	definition->blocks = palloc0(sizeof(BlockHash) * (size_t) definition->table.n_blocks);
	store_block_hashes(row, &definition->table, definition->blocks);
	sha256_init(&sha);
	sha256_update(&sha, row->vocab.bytes, SHA256_BYTES);
	sha256_update(&sha, row->tokenizer, strlen(row->tokenizer));
	sha256_final(&sha, definition->tokenizer.bytes);
	MemoryContextSwitchTo(previous);
	return definition;
}

static void
hash_bytes_of(const void *bytes, size_t length, BlockHash *hash)
{
	Status status;

	REPORT_UNLESS(bulk_sha256(bytes, length, hash->bytes, &backend_may_continue, &status), &status);
}

/* Reads the whole model once: seconds for a large one, and then never again on this machine. */
static void
fill_record(void *context, void *payload, size_t size)
{
	ModelDefinition *definition = context;
	BundleRecord *record = payload;
	Bundle *bundle = bundle_open(definition->name);
	BlockHash vocab;
	Sha256 sha;
	Status status;
	char *tokenizer = tokenizer_settings_write(bundle->arena, &bundle->settings, &status);
	char *config = config_write(bundle->arena, &bundle->config, bundle->table.head, &status);

	REPORT_UNLESS(tokenizer != NULL && config != NULL, &status);
	memset(record, 0, size);
	record->head = (int32) bundle->table.head;
	record->use_pooler = bundle->config.use_pooler;
	record->n_blocks = bundle->table.n_blocks;
	for (int b = 0; b < bundle->table.n_blocks; b++)
	{
		size_t elements = bundle->table.blocks[b].elements;
		float *floats = memory_for_weights(elements, true);

		if (!load_block(&bundle->plan, &bundle->config, b, 0, floats, &backend_may_continue,
						&status))
			report_status(&status);
		hash_bytes_of(floats, elements * sizeof(float), &record->blocks[b]);
		pfree(floats);
	}
	hash_bytes_of(bundle->settings.vocab, bundle->settings.vocab_length, &vocab);
	sha256_init(&sha);
	sha256_update(&sha, vocab.bytes, SHA256_BYTES);
	sha256_update(&sha, tokenizer, strlen(tokenizer));
	sha256_final(&sha, record->tokenizer.bytes);
	store_digest(&(ModelContents){.config = config,
								  .use_pooler = bundle->config.use_pooler,
								  .head = bundle->table.head,
								  .sentence = &bundle->sentence,
								  .tokenizer = tokenizer,
								  .vocab = &vocab,
								  .blocks = record->blocks,
								  .n_blocks = record->n_blocks},
				 &record->digest);
	bundle_close(bundle);
}

static void
use_record(ModelDefinition *definition, const BundleRecord *record)
{
	Status status;

	definition->digest = record->digest;
	definition->tokenizer = record->tokenizer;
	definition->config.use_pooler = record->use_pooler != 0;
	if (!tensor_table_build(definition->arena, &definition->config, (HeadKind) record->head,
							&definition->table, &status))
		report_status(&status);
	if (record->n_blocks != definition->table.n_blocks)
		elog(ERROR, "the record of bundled model \"%s\" does not fit its config.json",
			 definition->name);
	definition->config.use_pooler = tensor_table_has_pooler(&definition->table);
	definition->blocks =
		MemoryContextAlloc(definition->context, sizeof(BlockHash) * (size_t) record->n_blocks);
	memcpy(definition->blocks, record->blocks, sizeof(BlockHash) * (size_t) record->n_blocks);
}

ModelDefinition *
definition_of_bundle(const char *name)
{
	ModelDefinition *definition = new_definition(name);
	CacheKey key = {
		.kind = "bundle", .precision = "none", .kernel = "none", .version = RECORD_VERSION};
	CacheFile *file;
	size_t size;

	bundle_identity(name, &definition->identity);
	bundle_small_files(definition->arena, name, &definition->config, &definition->precision,
					   &definition->sentence);
	memcpy(key.content, definition->identity.bytes, SHA256_BYTES);
	file = cache_get(&key, sizeof(BundleRecord), fill_record, definition);
	PG_TRY();
	{
		use_record(definition, cache_payload(file, &size));
	}
	PG_FINALLY();
	{
		cache_release(file);
	}
	PG_END_TRY();
	return definition;
}

ModelDefinition *
definition_of_found(const FoundModel *found)
{
	ModelDefinition *definition =
		found->row != NULL ? definition_of_row(found->row) : definition_of_bundle(found->bundled);

	if (found->has_precision)
		definition->precision = found->precision;
	return definition;
}

ModelDefinition *
definition_open(const char *name)
{
	FoundModel found;

	definition_find(name, &found);
	return definition_of_found(&found);
}

/* --- Reading --- */

int
definition_find_block(const ModelDefinition *definition, BlockKind kind, int layer)
{
	static const char *const names[] = {"embeddings", "layer", "pooler", "head", "Dense module"};
	int block = tensor_table_block(&definition->table, kind, layer);

	if (block < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("model \"%s\" has no weights for its %s", definition->name, names[kind]),
				 errhint("Import or train the model again.")));
	return block;
}

static Bundle *
open_again(ModelDefinition *definition)
{
	MemoryContext previous;

	if (definition->bundle == NULL)
	{
		previous = MemoryContextSwitchTo(definition->context);
		definition->bundle = bundle_open(definition->name);
		MemoryContextSwitchTo(previous);
	}
	return definition->bundle;
}

void
definition_read_block(ModelDefinition *definition, int block, float *out)
{
	Status status;
	Bundle *bundle;

	if (block < 0 || block >= definition->table.n_blocks)
		elog(ERROR, "model \"%s\" has no block %d", definition->name, block);
	if (definition->row != NULL)
	{
		store_read_block(&definition->blocks[block], out,
						 definition->table.blocks[block].elements * sizeof(float));
		return;
	}
	bundle = open_again(definition);
	if (bundle->table.n_blocks != definition->table.n_blocks ||
		bundle->table.blocks[block].elements != definition->table.blocks[block].elements)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("bundled model \"%s\" was changed while it was read", definition->name)));
	if (!load_block(&bundle->plan, &bundle->config, block, 0, out, &backend_may_continue, &status))
		report_status(&status);
}

void
definition_read_tokenizer(ModelDefinition *definition, Arena *arena, TokenizerSettings *settings)
{
	Status status;
	char *vocab;
	size_t length;

	if (definition->row == NULL)
	{
		*settings = open_again(definition)->settings; /* lives until definition_rest */
		return;
	}
	if (!tokenizer_settings_parse(arena, definition->row->tokenizer,
								  strlen(definition->row->tokenizer), settings, &status))
		report_status(&status);
	vocab = store_read_bytes(&definition->row->vocab, &length);
	settings->vocab = arena_strndup(arena, vocab, length);
	settings->vocab_length = length;
	pfree(vocab);
	if (settings->vocab == NULL)
	{
		arena_fail(arena, &status, "a vocabulary", length);
		report_status(&status);
	}
}

void
definition_rest(ModelDefinition *definition)
{
	if (definition->bundle != NULL)
		bundle_close(definition->bundle);
	definition->bundle = NULL;
}

void
definition_close(ModelDefinition *definition)
{
	MemoryContextDelete(definition->context);
}
