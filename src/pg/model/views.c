/* views.c: the functions behind the views bert.models, bert.tensors, bert.cache and bert.stats. */
#include "pg/server/compat.h"

#include <sys/stat.h>

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "pg/model/cache.h"
#include "pg/model/definition.h"
#include "pg/server/encoding.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"
#include "pg/server/stats.h"
#include "pg/server/values.h"

#define MAX_COLUMNS 24

/* One row of a result, filled from the left. */
typedef struct RowOut
{
	ReturnSetInfo *result;
	int n;
	Datum values[MAX_COLUMNS];
	bool nulls[MAX_COLUMNS];
} RowOut;

static void
put(RowOut *row, Datum value)
{
	row->values[row->n] = value;
	row->nulls[row->n++] = false;
}

static void
put_null(RowOut *row)
{
	row->nulls[row->n++] = true;
}

static void
put_text(RowOut *row, const char *value)
{
	if (value == NULL)
		put_null(row);
	else
		put(row, CStringGetTextDatum(value));
}

static void
end_row(RowOut *row)
{
	tuplestore_putvalues(row->result->setResult, row->result->setDesc, row->values, row->nulls);
	row->n = 0;
}

/* Heads that have labels worth naming. */
static bool
has_labels(HeadKind head)
{
	return head == HEAD_SEQUENCE_CLASSIFICATION || head == HEAD_TOKEN_CLASSIFICATION;
}

static void
put_labels(RowOut *row, HeadKind head, const BertConfig *config)
{
	const char **labels;

	if (!has_labels(head))
	{
		put_null(row);
		return;
	}
	labels = palloc(sizeof(char *) * (size_t) config->num_labels);
	for (int i = 0; i < config->num_labels; i++)
		labels[i] = encoding_to_server_lossy(config->id2label[i]);
	put(row, PointerGetDatum(string_array(labels, config->num_labels)));
}

static void
put_heads(RowOut *row, const TensorTable *table)
{
	HeadKind served[HEAD_KIND_COUNT];
	const char *names[HEAD_KIND_COUNT];
	int n = served_heads(table->family, table->head, served);

	for (int i = 0; i < n; i++)
		names[i] = head_kind_name(served[i]);
	put(row, PointerGetDatum(string_array(names, n)));
}

/* The columns that follow from config and table, from "head" on. */
static void
put_shape(RowOut *row, const BertConfig *config, const TensorTable *table, Precision precision,
		  int tokenizer_limit, const SentenceSettings *sentence)
{
	char pooling[POOLING_TEXT_BYTES];

	put_text(row, head_kind_name(table->head));
	put_heads(row, table);
	put_text(row, precision_name(precision));
	put(row, Int64GetDatum((int64) table->elements));
	put(row, Int32GetDatum(config->num_hidden_layers));
	put(row, Int32GetDatum(config->hidden_size));
	put(row, Int32GetDatum(config->num_attention_heads));
	put(row, Int32GetDatum(config->vocab_size));
	put(row, Int32GetDatum(sentence_max_length(sentence, tokenizer_limit, config)));
	put_labels(row, table->head, config);
	pooling_modes_print(&sentence->pooling, pooling);
	put_text(row, sentence->present ? pooling : NULL);
	put(row, Int32GetDatum(sentence_dimensions(config, &sentence->pooling)));
	if (sentence->saved == NULL)
		put_null(row);
	else
		put(row, DirectFunctionCall1(jsonb_in,
									 CStringGetDatum(encoding_to_server_lossy(sentence->saved))));
}

static void
list_stored(RowOut *out, const ModelRow *row)
{
	Arena *arena = arena_in_context(CurrentMemoryContext, 0);
	BertConfig config;
	TensorTable table;
	TokenizerSettings settings;
	Status status;

	if (!config_parse(arena, row->config, strlen(row->config), &config, &status))
		report_status(&status);
	config.use_pooler = row->use_pooler;
	if (!sentence_settings_put_dense(&row->sentence, &config, &status) ||
		!tensor_table_build(arena, &config, row->head, &table, &status) ||
		!tokenizer_settings_parse(arena, row->tokenizer, strlen(row->tokenizer), &settings,
								  &status))
		report_status(&status);
	put_text(out, row->name);
	put(out, Int64GetDatum(row->version));
	put_text(out, row->source);
	put_shape(out, &config, &table, row->precision, settings.model_max_length, &row->sentence);
	put(out, Int64GetDatum((int64) (table.elements * sizeof(float))));
	if (OidIsValid(row->owner))
		put(out, ObjectIdGetDatum(row->owner));
	else
		put_null(out);
	put_text(out, row->base);
	if (row->base == NULL)
		put_null(out);
	else
		put(out, Int64GetDatum(row->base_version));
	if (row->lineage == NULL)
		put_null(out);
	else
		put(out, PointerGetDatum(row->lineage));
	put_text(out, row->description);
	put(out, TimestampTzGetDatum(row->created));
	end_row(out);
}

static void
list_bundled(RowOut *out, const char *name)
{
	Bundle *bundle = bundle_open(name);
	BundleInfo info;
	Precision precision;
	BertConfig config;
	SentenceSettings sentence;
	ByteSource *weights;
	Status status;
	bool found;

	bundle_info(bundle->arena, name, &info);
	bundle_small_files(bundle->arena, name, &config, &precision, &sentence);
	REPORT_UNLESS(bundle->own->open(bundle->own, "model.safetensors", &weights, &found, &status),
				  &status);
	put_text(out, name);
	put(out, Int64GetDatum(0));
	put_text(out, "bundled");
	put_shape(out, &bundle->config, &bundle->table, precision, bundle->settings.model_max_length,
			  &bundle->sentence);
	put(out, Int64GetDatum(found ? (int64) weights->size : 0));
	put_null(out);
	put_text(out, info.encoder);
	if (info.encoder == NULL)
		put_null(out);
	else
		put(out, Int64GetDatum(0));
	put_null(out);
	put_text(out, info.description);
	put_null(out);
	end_row(out);
	bundle_close(bundle);
}

/* Calls the functions for all models that the user may use, each in a context of its own. */
static void
for_all_models(RowOut *out, void (*stored)(RowOut *out, const ModelRow *row),
			   void (*bundled)(RowOut *out, const char *name))
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "bert model list", ALLOCSET_DEFAULT_SIZES);
	List *rows = store_list();
	List *names = bundle_names();
	ListCell *cell;
	MemoryContext previous = MemoryContextSwitchTo(context);

	foreach (cell, rows)
	{
		stored(out, lfirst(cell));
		MemoryContextReset(context);
	}
	foreach (cell, names)
	{
		bundled(out, lfirst(cell));
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
}

static void
begin_rows(FunctionCallInfo fcinfo, RowOut *out)
{
	memset(out, 0, sizeof *out);
	InitMaterializedSRF(fcinfo, 0);
	out->result = (ReturnSetInfo *) fcinfo->resultinfo;
}

PG_FUNCTION_INFO_V1(bert_list_models);
PGDLLEXPORT Datum
bert_list_models(PG_FUNCTION_ARGS)
{
	RowOut out;

	begin_rows(fcinfo, &out);
	for_all_models(&out, list_stored, list_bundled);
	return (Datum) 0;
}

static void
put_tensors(RowOut *out, const char *model, int64 version, const TensorTable *table,
			const BlockHash *hashes)
{
	static const char *const kinds[] = {"embeddings", "layer", "pooler", "head", "dense"};

	for (int i = 0; i < table->n_tensors; i++)
	{
		const TensorSpec *tensor = &table->tensors[i];
		const BlockSpec *block = &table->blocks[tensor->block];
		Datum shape[2];

		for (int d = 0; d < tensor->rank; d++)
			shape[d] = Int32GetDatum((int32) tensor->shape[d]);
		put_text(out, model);
		put(out, Int64GetDatum(version));
		put(out, Int32GetDatum(i + 1));
		put_text(out, tensor->name);
		put_text(out, "F32");
		put(out, PointerGetDatum(construct_array(shape, tensor->rank, INT4OID, sizeof(int32), true,
												 TYPALIGN_INT)));
		put(out, Int64GetDatum((int64) tensor->elements));
		put_text(out, block->layer >= 0 ? psprintf("%s %d", kinds[block->kind], block->layer)
										: kinds[block->kind]);
		put_text(out, hashes == NULL ? NULL : store_hex(&hashes[tensor->block]));
		put(out, Int64GetDatum((int64) (tensor->offset * sizeof(float))));
		end_row(out);
	}
}

static void
list_stored_tensors(RowOut *out, const ModelRow *row)
{
	ModelDefinition *definition = definition_of_row(row);

	put_tensors(out, row->name, row->version, &definition->table, definition->blocks);
}

static void
list_bundled_tensors(RowOut *out, const char *name)
{
	Bundle *bundle = bundle_open(name);

	put_tensors(out, name, 0, &bundle->table, NULL);
	bundle_close(bundle);
}

PG_FUNCTION_INFO_V1(bert_list_tensors);
PGDLLEXPORT Datum
bert_list_tensors(PG_FUNCTION_ARGS)
{
	RowOut out;

	begin_rows(fcinfo, &out);
	for_all_models(&out, list_stored_tensors, list_bundled_tensors);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(bert_list_cache);
PGDLLEXPORT Datum
bert_list_cache(PG_FUNCTION_ARGS)
{
	RowOut out;
	List *entries = cache_list();
	ListCell *cell;

	begin_rows(fcinfo, &out);
	foreach (cell, entries)
	{
		const CacheEntry *entry = lfirst(cell);

		put(&out, CStringGetTextDatum(entry->file));
		put(&out, CStringGetTextDatum(entry->content));
		put(&out, CStringGetTextDatum(entry->kind));
		put_text(&out, strcmp(entry->precision, "none") == 0 ? NULL : entry->precision);
		put_text(&out, strcmp(entry->kernel, "none") == 0 ? NULL : entry->kernel);
		put(&out, Int64GetDatum(entry->size));
		put(&out, BoolGetDatum(entry->mapped));
		end_row(&out);
	}
	return (Datum) 0;
}

/*
 * The user may see the counters of models that he may use; a superuser also those of models that
 * are gone.
 */
static bool
may_see(const char *name)
{
	const ModelRow *row = store_find_rights(name);

	return superuser() || (row != NULL ? store_may_use(row, GetUserId()) : bundle_exists(name));
}

PG_FUNCTION_INFO_V1(bert_list_stats);
PGDLLEXPORT Datum
bert_list_stats(PG_FUNCTION_ARGS)
{
	RowOut out;
	List *all = stats_list();
	ListCell *cell;

	begin_rows(fcinfo, &out);
	foreach (cell, all)
	{
		const Stats *stats = lfirst(cell);

		if (!may_see(stats->model))
			continue;
		put_text(&out, stats->model);
		put_text(&out, stats->function);
		put(&out, Int64GetDatum(stats->calls));
		put(&out, Int64GetDatum(stats->texts));
		put(&out, Int64GetDatum(stats->cached));
		put(&out, Int64GetDatum(stats->deduplicated));
		put(&out, Int64GetDatum(stats->tokens));
		put(&out, Int64GetDatum(stats->truncations));
		put(&out, Float8GetDatum(stats->ms));
		end_row(&out);
	}
	return (Datum) 0;
}

/* A histogram as Prometheus has it: how many were at most `le`, the last for all. */
static void
put_histogram(RowOut *out, const Stats *stats, const char *measure, const int64 *counts,
			  const double *limits, int n_limits)
{
	int64 sum = 0;

	for (int i = 0; i <= n_limits; i++)
	{
		sum += counts[i];
		put_text(out, stats->model);
		put_text(out, stats->function);
		put_text(out, measure);
		put(out, Float8GetDatum(i < n_limits ? limits[i] : get_float8_infinity()));
		put(out, Int64GetDatum(sum));
		end_row(out);
	}
}

PG_FUNCTION_INFO_V1(bert_list_histograms);
PGDLLEXPORT Datum
bert_list_histograms(PG_FUNCTION_ARGS)
{
	RowOut out;
	List *all = stats_list();
	ListCell *cell;

	begin_rows(fcinfo, &out);
	foreach (cell, all)
	{
		const Stats *stats = lfirst(cell);

		if (!may_see(stats->model))
			continue;
		put_histogram(&out, stats, "tokens", stats->lengths, stats_length_limits,
					  lengthof(stats_length_limits));
		put_histogram(&out, stats, "ms", stats->times, stats_time_limits,
					  lengthof(stats_time_limits));
	}
	return (Datum) 0;
}

/* bert.reset_stats() */
PG_FUNCTION_INFO_V1(bert_reset_stats);
PGDLLEXPORT Datum
bert_reset_stats(PG_FUNCTION_ARGS)
{
	stats_reset();
	PG_RETURN_VOID();
}
