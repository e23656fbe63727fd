/*
 * export.c: a model as a folder that the reference library loads.
 *
 * Everything is written below a temporary name beside the folder, which takes its place at the end
 * by a rename: the folder is there whole or not at all.
 */
#include "pg/server/compat.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "nn/loader.h"
#include "pg/model/definition.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"

#define WRITE_BYTES (1024 * 1024)

typedef struct OutputFile
{
	char *path;
	int fd;
} OutputFile;

static void
output_open(OutputFile *file, const char *folder, const char *name)
{
	file->path = psprintf("%s/%s", folder, name);
	file->fd =
		OpenTransientFilePerm(file->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
							  S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH);
	if (file->fd < 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not create file \"%s\": %m", file->path)));
}

/* A CheckpointWriter's write, so that errors are told by status. */
static bool
output_write(void *context, const void *bytes, size_t length, Status *status)
{
	OutputFile *file = context;

	for (size_t done = 0; done < length;)
	{
		ssize_t n;

		if (!may_continue(&backend_may_continue, status))
			return false;
		errno = 0;
		n = write(file->fd, (const char *) bytes + done, Min(length - done, (size_t) WRITE_BYTES));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return status_fail_errno(status, errno == 0 ? ENOSPC : errno,
									 "could not write file \"%s\"", file->path);
		done += (size_t) n;
	}
	return true;
}

static void
output_close(OutputFile *file)
{
	if (pg_fsync(file->fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not fsync file \"%s\": %m", file->path)));
	if (CloseTransientFile(file->fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not close file \"%s\": %m", file->path)));
}

static void
write_text(const char *folder, const char *name, const char *text, size_t length)
{
	OutputFile file;
	Status status;

	output_open(&file, folder, name);
	REPORT_UNLESS(output_write(&file, text, length, &status), &status);
	output_close(&file);
}

static void
make_folder(const char *path)
{
	if (mkdir(path, S_IRWXU | S_IRGRP | S_IXGRP | S_IROTH | S_IXOTH) != 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not create directory \"%s\": %m", path)));
}

static void
write_weights(ModelDefinition *definition, const char *folder)
{
	OutputFile file;
	CheckpointWriter writer = {output_write, &file};
	CheckpointDeclaration *declarations;
	int *tensors;
	size_t count;
	Status status;
	float *floats = NULL;
	int block = -1;

	if (!export_declarations(definition->arena, &definition->table, &declarations, &tensors, &count,
							 &status))
		report_status(&status);
	output_open(&file, folder, "model.safetensors");
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
			floats = MemoryContextAllocHuge(
				CurrentMemoryContext, definition->table.blocks[block].elements * sizeof(float));
			definition_read_block(definition, block, floats);
		}
		if (!output_write(&file, floats + tensor->offset, tensor->elements * sizeof(float),
						  &status))
			report_status(&status);
	}
	output_close(&file);
}

/* What makes it a sentence-transformers folder. */
static void
write_sentence_files(const ModelDefinition *definition, const char *folder)
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
	write_text(folder, "modules.json", text.data, (size_t) text.len);

	make_folder(psprintf("%s/1_Pooling", folder));
	resetStringInfo(&text);
	appendStringInfo(
		&text,
		"{\n  \"word_embedding_dimension\": %d,\n  \"pooling_mode_cls_token\": %s,\n  "
		"\"pooling_mode_mean_tokens\": %s,\n"
		"  \"pooling_mode_max_tokens\": %s,\n  \"pooling_mode_mean_sqrt_len_tokens\": false\n}\n",
		definition->config.hidden_size, sentence->pooling == POOLING_CLS ? "true" : "false",
		sentence->pooling == POOLING_MEAN ? "true" : "false",
		sentence->pooling == POOLING_MAX ? "true" : "false");
	write_text(folder, "1_Pooling/config.json", text.data, (size_t) text.len);
	if (sentence->normalize)
		make_folder(psprintf("%s/2_Normalize", folder));
	if (sentence->max_seq_length > 0)
	{
		resetStringInfo(&text);
		appendStringInfo(&text, "{\n  \"max_seq_length\": %d,\n  \"do_lower_case\": false\n}\n",
						 sentence->max_seq_length);
		write_text(folder, "sentence_bert_config.json", text.data, (size_t) text.len);
	}
}

static void
write_folder(ModelDefinition *definition, const char *folder)
{
	Arena *arena = definition->arena;
	TokenizerSettings settings;
	Status status;
	char *text;

	make_folder(folder);
	text = config_write(arena, &definition->config, definition->table.head, &status);
	REPORT_UNLESS(text != NULL, &status);
	write_text(folder, "config.json", text, strlen(text));
	definition_read_tokenizer(definition, arena, &settings);
	write_text(folder, "vocab.txt", settings.vocab, settings.vocab_length);
	text = tokenizer_settings_write(arena, &settings, &status);
	REPORT_UNLESS(text != NULL, &status);
	write_text(folder, "tokenizer_config.json", text, strlen(text));
	text = tokenizer_settings_write_special(arena, &settings, &status);
	REPORT_UNLESS(text != NULL, &status);
	write_text(folder, "special_tokens_map.json", text, strlen(text));
	write_sentence_files(definition, folder);
	write_weights(definition, folder);
}

/* An absolute path that does not exist yet or is an empty directory. */
static char *
check_target(const char *given)
{
	char *path = pstrdup(given);
	struct stat state;

	canonicalize_path(path);
	if (!is_absolute_path(path))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME), errmsg("relative path not allowed for export"),
				 errdetail("The path is \"%s\".", given)));
	if (lstat(path, &state) == 0 && (!S_ISDIR(state.st_mode) || pg_check_dir(path) != 1))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_FILE),
						errmsg("\"%s\" exists and is no empty directory", path),
						errhint("Name a directory that does not exist yet.")));
	return path;
}

PG_FUNCTION_INFO_V1(bert_export_model);
PGDLLEXPORT Datum
bert_export_model(PG_FUNCTION_ARGS)
{
	ModelDefinition *definition;
	char *path;
	char *temporary;

	if (!has_privs_of_role(GetUserId(), ROLE_PG_WRITE_SERVER_FILES))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied to write a model to the server's files"),
						errdetail("Only roles with privileges of the \"%s\" role may do so.",
								  "pg_write_server_files")));
	definition = definition_open(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	path = check_target(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	temporary = psprintf("%s.tmp.%d", path, MyProcPid);
	PG_TRY();
	{
		write_folder(definition, temporary);
		fsync_fname(temporary, true);
		if (rename(temporary, path) != 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not rename directory \"%s\" to \"%s\": %m", temporary, path)));
	}
	PG_CATCH();
	{
		struct stat state;

		if (lstat(temporary, &state) == 0)
			(void) rmtree(temporary, true);
		PG_RE_THROW();
	}
	PG_END_TRY();
	definition_close(definition);
	PG_RETURN_VOID();
}
