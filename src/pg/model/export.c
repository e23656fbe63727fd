/* export.c: a model as a folder that the reference library loads. */
#include "pg/server/compat.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "files/logistic_head.h"
#include "files/router.h"
#include "files/sentence_write.h"
#include "files/tokenizer_json.h"
#include "nn/loader.h"
#include "pg/model/definition.h"
#include "pg/model/output_folder.h"
#include "pg/server/detoast.h"
#include "pg/server/memory.h"
#include "pg/server/progress.h"
#include "pg/server/errors.h"

/* dense: of that Dense module; -1: of the rest */
static void
write_weights(ModelDefinition *definition, OutputFolder *folder, int dense, const char *path)
{
	CheckpointWriter writer = {output_write, folder};
	CheckpointDeclaration *declarations;
	int *tensors;
	size_t count;
	Status status;
	float *floats = NULL;
	int block = -1;

	if (!export_declarations(definition->arena, &definition->table, dense, &declarations, &tensors,
							 &count, &status))
		report_status(&status);
	output_open(folder, path);
	if (!safetensors_write_header(definition->arena, declarations, count, &writer, &status))
		report_status(&status);
	for (size_t i = 0; i < count; i++)
	{
		const TensorSpec *tensor = &definition->table.tensors[tensors[i]];

		if (tensor->block != block)
		{
			if (floats != NULL)
				pfree(floats);
			block = tensor->block;
			floats = memory_for_weights(definition->table.blocks[block].elements, false);
			definition_read_block(definition, block, floats);
		}
		if (!output_write(folder, floats + tensor->offset, tensor->elements * sizeof(float),
						  &status))
			report_status(&status);
	}
	output_close(folder);
}

/* Queries have weights of their own, and a folder. */
static bool
routes(const ModelDefinition *definition)
{
	return definition->sentence.splade.pooling != SPLADE_NONE && definition->sentence.n_dense > 0;
}

/* What makes it a sentence-transformers folder. */
static void
write_sentence_files(ModelDefinition *definition, OutputFolder *folder)
{
	SentenceFiles files;
	Status status;

	if (definition->table.head != HEAD_MASKED_LM && definition->table.head != HEAD_PRETRAINING)
		definition->sentence.splade.pooling = SPLADE_NONE; /* it was, before it was trained on */
	REPORT_UNLESS(
		sentence_files_write(definition->arena, &definition->sentence,
							 &(SentenceEncoder){definition->config.hidden_size,
												definition->config.num_labels,
												(const char *const *) definition->config.id2label},
							 &files, &status),
		&status);
	if (files.n == 0)
		return;
	for (int i = 0; i < files.n; i++)
		if (files.files[i].text == NULL)
			output_folder_make(folder, files.files[i].path);
		else
			output_folder_write(folder, files.files[i].path, files.files[i].text,
								strlen(files.files[i].text));
	for (int i = 0; i < definition->config.n_dense; i++)
	{
		char path[DENSE_PATH_BYTES];

		dense_path(i, path);
		write_weights(definition, folder, i,
					  psprintf("%s/model.safetensors", routes(definition) ? ROUTER_QUERY : path));
	}
}

/* SetFit's classifier, as the file that SetFit reads. */
static void
write_classifier(ModelDefinition *definition, OutputFolder *folder)
{
	const BertConfig *config = &definition->config;
	const TensorTable *table = &definition->table;
	const TensorSpec *weight = tensor_table_find(table, "model_head.weight");
	const TensorSpec *bias = tensor_table_find(table, "model_head.bias");
	LogisticHead head = {.n_labels = config->num_labels,
						 .several = config->problem_type == PROBLEM_MULTI_LABEL};
	const unsigned char *bytes;
	size_t length;
	float *floats;
	Status status;

	if (weight == NULL || bias == NULL)
		return;
	floats = memory_for_weights(table->blocks[weight->block].elements, false);
	definition_read_block(definition, weight->block, floats);
	head.n_features = (int) weight->shape[1];
	head.weight = floats + weight->offset;
	head.bias = floats + bias->offset;
	REPORT_UNLESS(logistic_head_write(definition->arena, &head, &bytes, &length, &status), &status);
	output_folder_write(folder, "model_head.pkl", (const char *) bytes, length);
	pfree(floats);
}

static void
write_file(OutputFolder *folder, const char *prefix, const char *name, const char *text)
{
	output_folder_write(folder, psprintf("%s%s", prefix, name), text, strlen(text));
}

/* prefix: of the files' names: a folder's and a slash, or "" */
static void
write_tokenizer(ModelDefinition *definition, const TokenizerSettings *settings,
				OutputFolder *folder, const char *prefix)
{
	Arena *arena = definition->arena;
	Status status;
	char *text;

	if (!tokenizer_settings_composed(settings))
		output_folder_write(folder, psprintf("%svocab.txt", prefix), settings->vocab,
							settings->vocab_length);
	text = tokenizer_settings_export(arena, settings, &status);
	REPORT_UNLESS(text != NULL, &status);
	write_file(folder, prefix, "tokenizer_config.json", text);
	text = tokenizer_settings_write_special(arena, settings, &status);
	REPORT_UNLESS(text != NULL, &status);
	write_file(folder, prefix, "special_tokens_map.json", text);
	text = tokenizer_json_write(arena, settings, &status);
	REPORT_UNLESS(text != NULL, &status);
	write_file(folder, prefix, "tokenizer.json", text);
}

static void
write_folder(ModelDefinition *definition, OutputFolder *folder)
{
	Arena *arena = definition->arena;
	TokenizerSettings settings;
	const char *prefix;
	Status status;
	char *text;

	write_sentence_files(definition, folder);
	prefix = routes(definition) ? ROUTER_DOCUMENT "/" : "";
	text = config_write(arena, &definition->config, definition->table.head, &status);
	REPORT_UNLESS(text != NULL, &status);
	write_file(folder, prefix, "config.json", text);
	definition_read_tokenizer(definition, arena, &settings);
	/* a model without sentence-transformers' files says it there */
	if (!definition->sentence.present && definition->sentence.max_seq_length > 0)
		settings.model_max_length = definition->sentence.max_seq_length;
	write_tokenizer(definition, &settings, folder, prefix);
	if (prefix[0] != '\0')
		write_tokenizer(definition, &settings, folder, ROUTER_QUERY "/");
	write_classifier(definition, folder);
	write_weights(definition, folder, -1, psprintf("%smodel.safetensors", prefix));
}

static void
abandon(int code, Datum folder)
{
	(void) code;
	output_folder_abandon((OutputFolder *) DatumGetPointer(folder));
}

PG_FUNCTION_INFO_V1(bert_export_model);
PGDLLEXPORT Datum
bert_export_model(PG_FUNCTION_ARGS)
{
	ModelDefinition *definition;
	OutputFolder folder;

	if (!has_privs_of_role(GetUserId(), ROLE_PG_WRITE_SERVER_FILES))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied to write a model to the server's files"),
						errdetail("Only roles with privileges of the \"%s\" role may do so.",
								  "pg_write_server_files")));
	definition = definition_open(text_to_cstring(ARGUMENT_TEXT(0)));
	output_folder_init(&folder, text_to_cstring(ARGUMENT_TEXT(1)));
	/* at an error and at the process's end: a termination is no error that is caught */
	PG_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(&folder));
	{
		progress_begin("export_model", definition->name);
		progress_phase("writing files", "bytes", -1);
		output_folder_begin(&folder);
		write_folder(definition, &folder);
		output_folder_commit(&folder);
	}
	PG_END_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(&folder));
	progress_end();
	definition_close(definition);
	PG_RETURN_VOID();
}
