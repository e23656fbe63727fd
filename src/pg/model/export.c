/* export.c: a model as a folder that the reference library loads. */
#include "pg/server/compat.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "files/tokenizer_json.h"
#include "nn/loader.h"
#include "pg/model/definition.h"
#include "pg/model/output_folder.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"

static void
write_weights(ModelDefinition *definition, OutputFolder *folder)
{
	CheckpointWriter writer = {output_write, folder};
	CheckpointDeclaration *declarations;
	int *tensors;
	size_t count;
	Status status;
	float *floats = NULL;
	int block = -1;

	if (!export_declarations(definition->arena, &definition->table, &declarations, &tensors, &count,
							 &status))
		report_status(&status);
	output_open(folder, "model.safetensors");
	if (!checkpoint_write_header(definition->arena, declarations, count, &writer, &status))
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

/* The newer form of a pooling's settings, and the switches that versions before 5 read. */
static void
write_pooling(StringInfo text, int hidden_size, Pooling pooling)
{
	static const struct
	{
		const char *name;
		Pooling pooling;
	} switches[] = {
		{"cls_token", POOLING_CLS},
		{"mean_tokens", POOLING_MEAN},
		{"max_tokens", POOLING_MAX},
		{"mean_sqrt_len_tokens", POOLING_MEAN_SQRT_LENGTH},
		{"weightedmean_tokens", POOLING_WEIGHTED_MEAN},
		{"lasttoken", POOLING_LAST_TOKEN},
	};

	appendStringInfo(text, "{\n  \"word_embedding_dimension\": %d,\n", hidden_size);
	for (size_t i = 0; i < lengthof(switches); i++)
		appendStringInfo(text, "  \"pooling_mode_%s\": %s,\n", switches[i].name,
						 switches[i].pooling == pooling ? "true" : "false");
	appendStringInfo(text, "  \"pooling_mode\": \"%s\",\n  \"include_prompt\": true\n}\n",
					 pooling_name(pooling));
}

/* What makes it a sentence-transformers folder. */
static void
write_sentence_files(const ModelDefinition *definition, OutputFolder *folder)
{
	static const char *const module = "{\"idx\": %d, \"name\": \"%d\", \"path\": \"%s\", \"type\": "
									  "\"sentence_transformers.models.%s\"}";
	const SentenceSettings *sentence = &definition->sentence;
	StringInfoData text;

	if (!sentence->present)
		return;
	initStringInfo(&text);
	appendStringInfoString(&text, "[\n  ");
	appendStringInfo(&text, module, 0, 0, "", "Transformer");
	appendStringInfoString(&text, ",\n  ");
	appendStringInfo(&text, module, 1, 1, "1_Pooling", "Pooling");
	if (sentence->normalize)
	{
		appendStringInfoString(&text, ",\n  ");
		appendStringInfo(&text, module, 2, 2, "2_Normalize", "Normalize");
	}
	appendStringInfoString(&text, "\n]\n");
	output_folder_write(folder, "modules.json", text.data, (size_t) text.len);

	output_folder_make(folder, "1_Pooling");
	resetStringInfo(&text);
	write_pooling(&text, definition->config.hidden_size, sentence->pooling);
	output_folder_write(folder, "1_Pooling/config.json", text.data, (size_t) text.len);
	if (sentence->normalize)
		output_folder_make(folder, "2_Normalize");
	if (sentence->saved != NULL) /* an object with a member at least */
	{
		resetStringInfo(&text);
		appendStringInfo(&text,
						 "{\"model_type\": \"SentenceTransformer\", \"__version__\": {}, %s\n",
						 sentence->saved + 1);
		output_folder_write(folder, "config_sentence_transformers.json", text.data,
							(size_t) text.len);
	}
	if (sentence->max_seq_length > 0)
	{
		resetStringInfo(&text);
		appendStringInfo(&text, "{\n  \"max_seq_length\": %d,\n  \"do_lower_case\": false\n}\n",
						 sentence->max_seq_length);
		output_folder_write(folder, "sentence_bert_config.json", text.data, (size_t) text.len);
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
	output_folder_write(folder, "vocab.txt", settings.vocab, settings.vocab_length);
	text = tokenizer_settings_write(arena, &settings, &status);
	REPORT_UNLESS(text != NULL, &status);
	output_folder_write(folder, "tokenizer_config.json", text, strlen(text));
	text = tokenizer_settings_write_special(arena, &settings, &status);
	REPORT_UNLESS(text != NULL, &status);
	output_folder_write(folder, "special_tokens_map.json", text, strlen(text));
	text = tokenizer_json_write(arena, &settings, &status);
	REPORT_UNLESS(text != NULL, &status);
	output_folder_write(folder, "tokenizer.json", text, strlen(text));
	write_sentence_files(definition, folder);
	write_weights(definition, folder);
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
