/* manage.c: the SQL functions that copy and change models. */
#include "pg/server/compat.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"

#include "files/settings_change.h"
#include "nn/prune.h"
#include "pg/model/definition.h"
#include "pg/server/detoast.h"
#include "pg/server/encoding.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"
#include "pg/server/values.h"
#include "pg/model/store.h"

static void
refuse_bundled(const char *name)
{
	if (bundle_exists(name) && store_find_rights(name) == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("\"%s\" is a bundled model and cannot be changed", name),
						errhint("bert.copy_model makes a copy that can be.")));
}

ModelRow *
model_to_change(FunctionCallInfo fcinfo)
{
	char *name = text_to_cstring(ARGUMENT_TEXT(0));
	ModelRow *row;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	refuse_bundled(name);
	row = store_find_rights(name);
	if (row == NULL)
		definition_missing(name);
	store_require_owner(row);
	PopActiveSnapshot();
	return row;
}

PG_FUNCTION_INFO_V1(bert_drop_model);
PGDLLEXPORT Datum
bert_drop_model(PG_FUNCTION_ARGS)
{
	store_drop(model_to_change(fcinfo));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(bert_rename_model);
PGDLLEXPORT Datum
bert_rename_model(PG_FUNCTION_ARGS)
{
	store_rename(model_to_change(fcinfo), text_to_cstring(ARGUMENT_TEXT(1)));
	PG_RETURN_VOID();
}

/* A role by its name, or ACL_ID_PUBLIC for "public". */
static Oid
role_argument(FunctionCallInfo fcinfo, int argument)
{
	char *name = text_to_cstring(ARGUMENT_TEXT(argument));

	return strcmp(name, "public") == 0 ? ACL_ID_PUBLIC : get_role_oid(name, false);
}

PG_FUNCTION_INFO_V1(bert_grant_model);
PGDLLEXPORT Datum
bert_grant_model(PG_FUNCTION_ARGS)
{
	ModelRow *row = model_to_change(fcinfo);

	store_grant(row, role_argument(fcinfo, 1));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(bert_revoke_model);
PGDLLEXPORT Datum
bert_revoke_model(PG_FUNCTION_ARGS)
{
	ModelRow *row = model_to_change(fcinfo);

	if (!store_revoke(row, role_argument(fcinfo, 1)))
		ereport(WARNING, (errmsg("model \"%s\" was not granted to \"%s\"", row->name,
								 text_to_cstring(ARGUMENT_TEXT(1)))));
	PG_RETURN_VOID();
}

/* As for ALTER ... OWNER TO: an owner may give to a role that he may become. */
PG_FUNCTION_INFO_V1(bert_set_model_owner);
PGDLLEXPORT Datum
bert_set_model_owner(PG_FUNCTION_ARGS)
{
	ModelRow *row = model_to_change(fcinfo);
	Oid role = PG_GETARG_OID(1);

	(void) GetUserNameFromId(role, false); /* a number that is no role's */
	CHECK_MAY_BECOME(GetUserId(), role);
	store_set_owner(row, role);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(bert_pinned);
PGDLLEXPORT Datum
bert_pinned(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(ARGUMENT_TEXT(0));

	PG_RETURN_TEXT_P(cstring_to_text(definition_pinned_name(definition_open(name))));
}

/* --- Copies --- */

/* A draft of the same model; blocks are still to be filled in for a bundled one. */
static void
draft_from(ModelDefinition *definition, ModelDraft *draft)
{
	memset(draft, 0, sizeof *draft);
	draft->table = &definition->table;
	draft->config = &definition->config;
	draft->precision = definition->precision;
	draft->sentence = definition->sentence;
	draft->blocks = definition->blocks;
	draft->base = definition->name;
	draft->base_version = definition->version;
	if (definition->row != NULL)
	{
		draft->tokenizer = definition->row->tokenizer;
		draft->vocab = definition->row->vocab;
		draft->description = definition->row->description;
	}
}

static void
store_bundled_blocks(ModelDefinition *definition, ModelDraft *draft)
{
	TokenizerSettings settings;
	Status status;

	for (int b = 0; b < definition->table.n_blocks; b++)
	{
		size_t bytes = definition->table.blocks[b].elements * sizeof(float);
		float *floats = memory_for_weights(bytes / sizeof(float), false);

		definition_read_block(definition, b, floats);
		store_put_block(floats, bytes, &definition->blocks[b]);
		pfree(floats);
	}
	definition_read_tokenizer(definition, definition->arena, &settings);
	draft->tokenizer = tokenizer_settings_write(definition->arena, &settings, &status);
	REPORT_UNLESS(draft->tokenizer != NULL, &status);
	store_put_block(settings.vocab, settings.vocab_length, &draft->vocab);
	definition_rest(definition);
}

PG_FUNCTION_INFO_V1(bert_copy_model);
PGDLLEXPORT Datum
bert_copy_model(PG_FUNCTION_ARGS)
{
	char *source = text_to_cstring(ARGUMENT_TEXT(0));
	char *target = text_to_cstring(ARGUMENT_TEXT(1));
	ModelDefinition *definition;
	ModelDraft draft;
	int64 version;

	store_check_name(target);
	/* First the lock that keeps blocks from being removed, then a look at which there are. */
	store_begin_write();
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	definition = definition_open(source);
	PopActiveSnapshot();
	draft_from(definition, &draft);
	draft.name = target;
	draft.source = "copied";
	if (definition->row == NULL)
		store_bundled_blocks(definition, &draft);
	version = store_put_model(&draft, false);
	definition_close(definition);
	PG_RETURN_INT64(version);
}

/* --- Settings --- */

PG_FUNCTION_INFO_V1(bert_alter_model);
PGDLLEXPORT Datum
bert_alter_model(PG_FUNCTION_ARGS)
{
	ModelRow *row = model_to_change(fcinfo);
	Jsonb *json = ARGUMENT_JSONB(1);
	const char *text = json_text(json);
	ModelDefinition *definition;
	BertConfig config;
	ModelDraft draft;
	SettingsChange change;
	size_t length;
	int64 version;
	Status status;

	store_begin_write();
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	definition = definition_open(row->name);
	PopActiveSnapshot();
	draft_from(definition, &draft);
	config = definition->config;
	draft.name = definition->name;
	draft.config = &config;
	/* it is the same model still, made as it was */
	draft.source = definition->row->source;
	draft.base = definition->row->base;
	draft.base_version = definition->row->base_version;
	draft.lineage = definition->row->lineage;
	change = (SettingsChange){
		.head = definition->table.head, .sentence = &draft.sentence, .config = &config};
	text = encoding_to_utf8(text, strlen(text), &length);
	REPORT_UNLESS(settings_change(definition->arena, text, length, &change, &status), &status);
	if (change.describes)
		draft.description =
			change.description == NULL ? NULL : encoding_to_server_lossy(change.description);
	version = store_put_model(&draft, true);
	definition_close(definition);
	PG_RETURN_INT64(version);
}

/* --- Pruning --- */

static int
int_of(const JsonbValue *value, const char *what)
{
	bool ok = value->type == jbvNumeric;
	int number = 0;

	if (ok)
		number =
			DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(value->val.numeric)));
	if (!ok || number < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be whole numbers from 0", what)));
	return number;
}

static int
compare_ints(const void *a, const void *b)
{
	return *(const int *) a - *(const int *) b;
}

/* The heads of one layer: an array of numbers, sorted and without duplicates. */
static void
parse_heads(const JsonbValue *value, PrunedHeads *out)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue item;
	int n = 0;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("heads to prune must be arrays of numbers"),
				 errhint("For example {\"0\": [1, 2], \"3\": [0]}: layer, then its heads.")));
	out->heads = palloc(sizeof(int) * (JsonContainerSize(value->val.binary.data) + 1));
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
		if (token == WJB_ELEM)
			out->heads[n++] = int_of(&item, "heads to prune");
	qsort(out->heads, (size_t) n, sizeof(int), compare_ints);
	for (int i = 0; i < n; i++)
		if (out->n_heads == 0 || out->heads[i] != out->heads[out->n_heads - 1])
			out->heads[out->n_heads++] = out->heads[i];
}

static int
compare_layers(const void *a, const void *b)
{
	return ((const PrunedHeads *) a)->layer - ((const PrunedHeads *) b)->layer;
}

static int
layer_of(const JsonbValue *key)
{
	char *text = pnstrdup(key->val.string.val, key->val.string.len);
	char *end;
	long layer = strtol(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || layer > CONFIG_MAX_LAYERS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("heads to prune: \"%s\" is not the number of a layer", text),
				 errhint("For example {\"0\": [1, 2], \"3\": [0]}: layer, then its heads.")));
	return (int) layer;
}

static PrunedHeads *
parse_prune(Jsonb *json, int *n)
{
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue value;
	PrunedHeads *layers;

	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("heads to prune must be a JSON object"),
				 errhint("For example {\"0\": [1, 2], \"3\": [0]}: layer, then its heads.")));
	layers = palloc0(sizeof(PrunedHeads) * (JB_ROOT_COUNT(json) + 1));
	*n = 0;
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			layers[*n].layer = layer_of(&value);
		else if (token == WJB_VALUE)
			parse_heads(&value, &layers[(*n)++]);
	}
	qsort(layers, (size_t) *n, sizeof *layers, compare_layers);
	return layers;
}

static void
prune_blocks(ModelDefinition *definition, const BertConfig *config, const TensorTable *table,
			 BlockHash *hashes)
{
	if (table->n_blocks != definition->table.n_blocks)
		elog(ERROR, "pruning model \"%s\" changes its blocks", definition->name);
	for (int b = 0; b < table->n_blocks; b++)
	{
		size_t elements = table->blocks[b].elements;
		float *before;
		float *after;

		hashes[b] = definition->blocks[b];
		if (elements == definition->table.blocks[b].elements)
			continue;
		before = memory_for_weights(definition->table.blocks[b].elements, false);
		after = memory_for_weights(elements, false);
		definition_read_block(definition, b, before);
		prune_layer(&definition->table, &definition->config, table, config, b, before, after);
		store_put_block(after, elements * sizeof(float), &hashes[b]);
		pfree(before);
		pfree(after);
	}
}

PG_FUNCTION_INFO_V1(bert_prune_heads);
PGDLLEXPORT Datum
bert_prune_heads(PG_FUNCTION_ARGS)
{
	ModelRow *row = model_to_change(fcinfo);
	Jsonb *json = ARGUMENT_JSONB(1);
	ModelDefinition *definition;
	PrunedHeads *prune;
	int n_prune;
	BertConfig config;
	TensorTable table;
	BlockHash *hashes;
	ModelDraft draft;
	int64 version;
	Status status;

	prune = parse_prune(json, &n_prune);
	store_begin_write();
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	definition = definition_open(row->name);
	if (!config_prune_heads(definition->arena, &definition->config, prune, n_prune, &config,
							&status) ||
		!tensor_table_build(definition->arena, &config, definition->table.head, &table, &status))
		report_status(&status);
	hashes = palloc(sizeof(BlockHash) * (size_t) table.n_blocks);
	prune_blocks(definition, &config, &table, hashes);
	PopActiveSnapshot();
	draft_from(definition, &draft);
	draft.name = definition->name;
	draft.source = "pruned";
	draft.config = &config;
	draft.table = &table;
	draft.blocks = hashes;
	draft.lineage = json;
	version = store_put_model(&draft, true);
	definition_close(definition);
	PG_RETURN_INT64(version);
}
