/* bundle.c: bundled models as folders. */
#include "pg/server/compat.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "files/tokenizer_files.h"
#include "nn/folder.h"
#include "pg/model/bundle.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"

#define MAX_BUNDLE_JSON 65536

/* The files whose change makes it another model. */
static const char *const identity_files[] = {
	"bundle.json",
	"config.json",
	"model.safetensors",
	"vocab.txt",
	"vocab.json",
	"merges.txt",
	"sentencepiece.bpe.model",
	"spiece.model",
	"tokenizer.json",
	"tokenizer_config.json",
	"special_tokens_map.json",
	"added_tokens.json",
	"modules.json",
	"sentence_bert_config.json",
	"config_sentence_transformers.json",
	"1_Pooling/config.json",
};

/* The folder of all bundled models, without symbolic links. */
static const char *
models_directory(void)
{
	static char directory[MAXPGPATH];

	if (directory[0] == '\0')
	{
		char share[MAXPGPATH];
		char path[MAXPGPATH + 32];
		char *real;

		get_share_path(my_exec_path, share);
		snprintf(path, sizeof path, "%s/extension/bert/models", share);
		real = realpath(path, NULL);
		strlcpy(directory, real == NULL ? path : real, sizeof directory);
		free(real);
	}
	return directory;
}

/* A name that can be one of our folders': nothing that leads elsewhere. */
static bool
plain_name(const char *name)
{
	return name[0] != '\0' &&
		   strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(name) &&
		   strlen(name) < NAMEDATALEN;
}

bool
bundle_exists(const char *name)
{
	char path[MAXPGPATH * 2];
	struct stat state;

	if (!plain_name(name))
		return false;
	snprintf(path, sizeof path, "%s/%s/config.json", models_directory(), name);
	return stat(path, &state) == 0 && S_ISREG(state.st_mode);
}

static int
compare_names(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

List *
bundle_names(void)
{
	DIR *directory = opendir(models_directory());
	struct dirent *entry;
	List *names = NIL;

	if (directory == NULL) /* installed without */
		return NIL;
	closedir(directory);
	directory = AllocateDir(models_directory());
	while ((entry = ReadDir(directory, models_directory())) != NULL)
		if (bundle_exists(entry->d_name))
			names = lappend(names, pstrdup(entry->d_name));
	FreeDir(directory);
	list_sort(names, compare_names);
	return names;
}

static ModelSource *
open_folder(Arena *arena, const char *name)
{
	Status status;
	ModelSource *source =
		modelsource_open_installed(arena, psprintf("%s/%s", models_directory(), name), &status);

	REPORT_UNLESS(source != NULL, &status);
	return source;
}

/* The text of a file of the folder, NULL if it is not there. */
static char *
read_file(Arena *arena, ModelSource *source, const char *name, size_t limit, size_t *length)
{
	ByteSource *file;
	Status status;
	bool found;
	char *text;

	REPORT_UNLESS(source->open(source, name, &file, &found, &status), &status);
	if (!found)
		return NULL;
	text = source_read_all(arena, file, limit, &status);
	REPORT_UNLESS(text != NULL, &status);
	*length = (size_t) file->size;
	return text;
}

/* What bundle.json says, nothing without one (false). */
static bool
read_info(Arena *arena, ModelSource *source, BundleInfo *info)
{
	size_t length;
	char *text = read_file(arena, source, "bundle.json", MAX_BUNDLE_JSON, &length);
	Status status;

	memset(info, 0, sizeof *info);
	if (text == NULL)
		return false;
	REPORT_UNLESS(bundle_json_parse(arena, text, length, info, &status), &status);
	if (info->encoder != NULL && !bundle_exists(info->encoder))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FILE),
				 errmsg("the bundled model \"%s\", which another one needs, is not installed",
						info->encoder)));
	return true;
}

void
bundle_info(Arena *arena, const char *name, BundleInfo *info)
{
	ModelSource *source = open_folder(arena, name);

	PG_TRY();
	{
		read_info(arena, source, info);
	}
	PG_FINALLY();
	{
		modelsource_close(source);
	}
	PG_END_TRY();
}

static unsigned int
task_bits(const BundleInfo *info)
{
	unsigned int tasks = 0;

	for (size_t i = 0; i < info->n_tasks; i++)
		for (int task = 0; task < MODEL_TASK_COUNT; task++)
			if (strcmp(info->tasks[i], model_task_name((ModelTask) task)) == 0)
				tasks |= 1u << task;
	return tasks;
}

/*
 * Which tasks a bundled model is the default of, as bits. bundle.json says it (*said); without, a
 * sentence encoder does what an encoder can, unless another model is made for that.
 */
static unsigned int
tasks_of(const char *name, bool *said)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "bert bundle", ALLOCSET_SMALL_SIZES);
	Arena *arena = arena_in_context(context, 0);
	ModelSource *source = open_folder(arena, name);
	BundleInfo info;
	SentenceSettings sentence;
	SentenceFolder folder = {0};
	Status status;
	volatile unsigned int tasks = 0;

	PG_TRY();
	{
		*said = read_info(arena, source, &info);
		if (*said)
			tasks = task_bits(&info);
		else if (!sentence_settings_read(arena, source, &folder, &sentence, &status))
			report_status(&status);
		else if (sentence.present) /* a sentence encoder, complete */
			tasks = 1u << TASK_EMBED | 1u << TASK_RANK | 1u << TASK_ZERO_SHOT;
	}
	PG_FINALLY();
	{
		modelsource_close(source);
	}
	PG_END_TRY();
	MemoryContextDelete(context);
	return tasks;
}

/* The model of each task: the first by name that says so, else the first encoder. */
static void
choose_bundles(char (*chosen)[NAMEDATALEN])
{
	bool by_itself[MODEL_TASK_COUNT] = {false};
	List *names = bundle_names();
	ListCell *cell;

	memset(chosen, 0, MODEL_TASK_COUNT * sizeof *chosen);
	foreach (cell, names)
	{
		bool said;
		unsigned int tasks = tasks_of(lfirst(cell), &said);

		for (int i = 0; i < MODEL_TASK_COUNT; i++)
			if (tasks >> i & 1 && (chosen[i][0] == '\0' || (said && !by_itself[i])))
			{
				strlcpy(chosen[i], lfirst(cell), NAMEDATALEN);
				by_itself[i] = said;
			}
	}
}

const char *
bundle_for_task(ModelTask task)
{
	static char chosen[MODEL_TASK_COUNT][NAMEDATALEN];
	static struct timespec read_at;
	static TimestampTz looked; /* every second: a statement may ask a million times */
	TimestampTz now = GetCurrentTimestamp();
	struct stat state;

	if (!TimestampDifferenceExceeds(looked, now, BUNDLE_CHECK_MS))
		return chosen[task][0] == '\0' ? NULL : chosen[task];
	if (stat(models_directory(), &state) != 0)
		return NULL;
	if (memcmp(&state.st_mtim, &read_at, sizeof read_at) != 0)
	{
		choose_bundles(chosen);
		read_at = state.st_mtim;
	}
	looked = now;
	return chosen[task][0] == '\0' ? NULL : chosen[task];
}

static void
add_identity(Sha256 *sha, const char *name)
{
	char path[MAXPGPATH * 2];
	struct stat state;

	for (size_t i = 0; i < lengthof(identity_files); i++)
	{
		snprintf(path, sizeof path, "%s/%s/%s", models_directory(), name, identity_files[i]);
		if (stat(path, &state) == 0)
		{
			uint64 parts[5] = {i, state.st_dev, state.st_ino, (uint64) state.st_size, 0};

			parts[4] = (uint64) state.st_mtim.tv_sec * UINT64CONST(1000000000) +
					   (uint64) state.st_mtim.tv_nsec;
			sha256_update(sha, parts, sizeof parts);
		}
	}
}

void
bundle_identity(const char *name, BlockHash *identity)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "bert bundle", ALLOCSET_SMALL_SIZES);
	BundleInfo info;
	Sha256 sha;

	bundle_info(arena_in_context(context, 0), name, &info);
	sha256_init(&sha);
	add_identity(&sha, name);
	if (info.encoder != NULL)
		add_identity(&sha, info.encoder);
	sha256_final(&sha, identity->bytes);
	MemoryContextDelete(context);
}

void
bundle_small_files(Arena *arena, const char *name, BertConfig *config, Precision *precision,
				   SentenceSettings *sentence)
{
	BundleInfo info;
	ModelSource *own;
	ModelSource *rest;
	SentenceFolder folder = {0};
	Status status;
	bool ok;

	bundle_info(arena, name, &info);
	if (!precision_parse(info.precision == NULL ? "fp32" : info.precision, precision, &status))
		report_status(&status);
	own = open_folder(arena, name);
	rest = info.encoder != NULL ? open_folder(arena, info.encoder) : NULL;
	ok = config_read(arena, own, NULL, config, &status) &&
		 sentence_settings_read(arena, rest != NULL ? rest : own, &folder, sentence, &status) &&
		 sentence_settings_put_dense(sentence, config, &status);
	modelsource_close(own);
	modelsource_close(rest);
	if (!ok)
	{
		status_prefix(&status, "bundled model \"%s\"", name);
		report_status(&status);
	}
}

static bool
open_weights(Bundle *bundle, Status *status)
{
	Checkpoint own;
	Checkpoint encoder;

	if (bundle->encoder == NULL)
		return checkpoint_open(bundle->arena, bundle->own, &bundle->checkpoint, status);
	return checkpoint_open(bundle->arena, bundle->own, &own, status) &&
		   checkpoint_open(bundle->arena, bundle->encoder, &encoder, status) &&
		   checkpoint_merge(bundle->arena, &own, &encoder, &bundle->checkpoint, status);
}

static bool
open_checkpoint(Bundle *bundle, const SentenceFolder *folder, Status *status)
{
	ModelSource *rest = bundle->encoder != NULL ? bundle->encoder : bundle->own;

	return open_weights(bundle, status) &&
		   sentence_settings_put_dense(&bundle->sentence, &bundle->config, status) &&
		   dense_modules_open(bundle->arena, rest, folder, &bundle->checkpoint, status);
}

static void
close_sources(void *argument)
{
	Bundle *bundle = argument;

	modelsource_close(bundle->own);
	modelsource_close(bundle->encoder);
}

static bool
read_bundle(Bundle *bundle, Status *status)
{
	ModelSource *rest = bundle->encoder != NULL ? bundle->encoder : bundle->own;
	SentenceFolder folder = {0};
	TokenizerContext context = {0};
	HeadKind head;

	if (!config_read(bundle->arena, bundle->own, NULL, &bundle->config, status) ||
		!sentence_settings_read(bundle->arena, rest, &folder, &bundle->sentence, status))
		return false;
	context.rows = bundle->config.vocab_size;
	context.lowercase_first = folder.lowercase_first;
	if (!tokenizer_files_read(bundle->arena, rest, &context, &bundle->settings, status) ||
		!open_checkpoint(bundle, &folder, status))
		return false;
	head = checkpoint_head(&bundle->checkpoint, &bundle->config);
	bundle->config.use_pooler =
		head == HEAD_NONE ? checkpoint_has_pooler(&bundle->checkpoint, bundle->config.family)
						  : config_head_uses_pooler(&bundle->config, head);
	return tensor_table_build(bundle->arena, &bundle->config, head, &bundle->table, status) &&
		   load_plan(bundle->arena, &bundle->checkpoint, &bundle->table, &bundle->plan, status);
}

Bundle *
bundle_open(const char *name)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "bert bundle", ALLOCSET_DEFAULT_SIZES);
	Bundle *bundle = MemoryContextAllocZero(context, sizeof *bundle);
	MemoryContextCallback *callback = MemoryContextAllocZero(context, sizeof *callback);
	BundleInfo info;
	Status status;

	bundle->context = context;
	bundle->arena = arena_in_context(context, 0);
	callback->func = close_sources;
	callback->arg = bundle;
	bundle_info(bundle->arena, name, &info);
	MemoryContextRegisterResetCallback(context, callback);
	bundle->own = open_folder(bundle->arena, name);
	if (info.encoder != NULL)
		bundle->encoder = open_folder(bundle->arena, info.encoder);
	if (!read_bundle(bundle, &status))
	{
		status_prefix(&status, "bundled model \"%s\"", name);
		report_status(&status);
	}
	return bundle;
}

void
bundle_close(Bundle *bundle)
{
	MemoryContextDelete(bundle->context);
}
