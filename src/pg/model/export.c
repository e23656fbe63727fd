/* export.c: a model as a folder that the reference library loads. */
#include "pg/server/compat.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "files/sentence_write.h"
#include "files/tokenizer_json.h"
#include "nn/loader.h"
#include "pg/model/definition.h"
#include "pg/model/output_folder.h"
#include "pg/server/memory.h"
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

/* What makes it a sentence-transformers folder. */
static void
write_sentence_files(ModelDefinition *definition, OutputFolder *folder)
{
	SentenceFiles files;
	Status status;

	if (definition->table.head != HEAD_MASKED_LM && definition->table.head != HEAD_PRETRAINING)
		definition->sentence.splade.pooling = SPLADE_NONE; /* it was, before it was trained on */
	REPORT_UNLESS(sentence_files_write(definition->arena, &definition->sentence,
									   definition->config.hidden_size, &files, &status),
				  &status);
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
		write_weights(definition, folder, i, psprintf("%s/model.safetensors", path));
	}
}

static void
write_folder(ModelDefinition *definition, OutputFolder *folder)
{
	Arena *arena = definition->arena;
	TokenizerSettings settings;
	Status status;
	char *text;

	text = config_write(arena, &definition->config, definition->table.head, &status);
	REPORT_UNLESS(text != NULL, &status);
	output_folder_write(folder, "config.json", text, strlen(text));
	definition_read_tokenizer(definition, arena, &settings);
	/* a model without sentence-transformers' files says it there */
	if (!definition->sentence.present && definition->sentence.max_seq_length > 0)
		settings.model_max_length = definition->sentence.max_seq_length;
	if (!tokenizer_settings_composed(&settings))
		output_folder_write(folder, "vocab.txt", settings.vocab, settings.vocab_length);
	text = tokenizer_settings_export(arena, &settings, &status);
	REPORT_UNLESS(text != NULL, &status);
	output_folder_write(folder, "tokenizer_config.json", text, strlen(text));
	text = tokenizer_settings_write_special(arena, &settings, &status);
	REPORT_UNLESS(text != NULL, &status);
	output_folder_write(folder, "special_tokens_map.json", text, strlen(text));
	text = tokenizer_json_write(arena, &settings, &status);
	REPORT_UNLESS(text != NULL, &status);
	output_folder_write(folder, "tokenizer.json", text, strlen(text));
	write_sentence_files(definition, folder);
	write_weights(definition, folder, -1, "model.safetensors");
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
	definition = definition_open(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	output_folder_init(&folder, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	/* at an error and at the process's end: a termination is no error that is caught */
	PG_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(&folder));
	{
		output_folder_begin(&folder);
		write_folder(definition, &folder);
		output_folder_commit(&folder);
	}
	PG_END_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(&folder));
	definition_close(definition);
	PG_RETURN_VOID();
}
