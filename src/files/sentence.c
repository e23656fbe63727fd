/* sentence.c: modules.json and the settings of the modules it names. */
#include "files/sentence_settings.h"

#include <stdio.h>
#include <string.h>

#include "core/names.h"
#include "files/known_keys.h"
#include "files/router.h"

#define MAX_MODULES 16

static const struct
{
	const char *member; /* before version 5 */
	const char *name;   /* since then */
	Pooling pooling;
} modes_known[] = {
	{"pooling_mode_cls_token", "cls", POOLING_CLS},
	{"pooling_mode_max_tokens", "max", POOLING_MAX},
	{"pooling_mode_mean_tokens", "mean", POOLING_MEAN},
	{"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", POOLING_MEAN_SQRT_LENGTH},
	{"pooling_mode_weightedmean_tokens", "weightedmean", POOLING_WEIGHTED_MEAN},
	{"pooling_mode_lasttoken", "lasttoken", POOLING_LAST_TOKEN},
};

#define N_MODES (sizeof modes_known / sizeof modes_known[0])

/* The switches of the old form, in the order in which the reference puts them together. */
static bool
read_switches(const json_t *root, const char *name, PoolingModes *modes, Status *status)
{
	const char *key;
	json_t *value;

	modes->n = 0;
	for (size_t i = 0; i < N_MODES; i++)
		if (json_is_true(json_object_get(root, modes_known[i].member)) &&
			!pooling_modes_add(modes, modes_known[i].pooling, status))
			return false;
	json_object_foreach((json_t *) root, key, value)
	{
		bool known = strncmp(key, "pooling_mode_", 13) != 0 || !json_is_true(value);

		for (size_t i = 0; i < N_MODES; i++)
			known = known || strcmp(key, modes_known[i].member) == 0;
		if (!known)
			return status_fail(status, STATUS_UNSUPPORTED,
							   "%s: the pooling \"%.60s\" is not supported", name, key);
	}
	return true;
}

static bool
add_named(const json_t *mode, const char *name, PoolingModes *modes, Status *status)
{
	for (size_t i = 0; json_is_string(mode) && i < N_MODES; i++)
		if (strcmp(json_string_value(mode), modes_known[i].name) == 0)
			return pooling_modes_add(modes, modes_known[i].pooling, status) ||
				   status_prefix(status, "%s", name);
	return json_is_string(mode)
			   ? status_fail(status, STATUS_UNSUPPORTED,
							 "%s: the pooling \"%.60s\" is not supported", name,
							 json_string_value(mode))
			   : status_fail(status, STATUS_INVALID_DATA,
							 "%s: \"pooling_mode\" is no name and no list of names", name);
}

static bool
same_set(const PoolingModes *a, const PoolingModes *b)
{
	for (int i = 0; i < a->n; i++)
		if (!pooling_modes_have(b, a->modes[i]))
			return false;
	return a->n == b->n;
}

/*
 * A name, or a list of them, in "pooling_mode"; or switches. Both forms must agree. Neither means
 * mean.
 */
static bool
parse_pooling(const json_t *root, const char *name, SentenceSettings *settings, Status *status)
{
	const json_t *mode = json_object_get(root, "pooling_mode");
	PoolingModes switched;
	PoolingModes *modes = &settings->pooling;
	bool include = true;

	if (!json_get_bool(root, "include_prompt", &include, status) ||
		!read_switches(root, name, &switched, status))
		return false;
	settings->exclude_prompt = !include;
	*modes = switched.n > 0 ? switched : pooling_single(POOLING_MEAN);
	if (mode == NULL || json_is_null(mode))
		return true;
	modes->n = 0;
	if (json_is_array(mode) && json_array_size(mode) > 0)
	{
		for (size_t i = 0; i < json_array_size(mode); i++)
			if (!add_named(json_array_get(mode, i), name, modes, status))
				return false;
	}
	else if (!add_named(mode, name, modes, status))
		return false;
	return switched.n == 0 || same_set(modes, &switched) ||
		   status_fail(status, STATUS_INVALID_DATA,
					   "%s: \"pooling_mode\" and the pooling_mode_* switches disagree", name);
}

/* The config.json of one module of modules.json. */
typedef struct ModuleFile
{
	const char *path; /* of the module's folder */
	KnownFile kind;
	bool required;
} ModuleFile;

/* Opens the file. *root is NULL when the file is missing and is not required. */
static bool
open_module(Arena *arena, ModelSource *source, const ModuleFile *file, const SentenceFolder *folder,
			json_t **root, Status *status)
{
	char name[512];

	if (snprintf(name, sizeof name, "%s/config.json", file->path) >= (int) sizeof name)
		return status_fail(status, STATUS_INVALID_DATA,
						   "modules.json names a path that is too long");
	if (!json_read_object(arena, source, name, SENTENCE_FILE_BYTES, root, status))
		return false;
	if (*root == NULL)
		return !file->required ||
			   status_fail(status, STATUS_NOT_FOUND,
						   "file \"%s\", which modules.json names, does not exist", name);
	return known_keys_check(file->kind, name, *root, folder->notes, status);
}

static bool
read_pooling(Arena *arena, ModelSource *source, const char *path, const SentenceFolder *folder,
			 SentenceSettings *settings, Status *status)
{
	json_t *root;

	return open_module(arena, source, &(ModuleFile){path, KNOWN_POOLING, true}, folder, &root,
					   status) &&
		   parse_pooling(root, path, settings, status);
}

static bool
read_splade(Arena *arena, ModelSource *source, const char *path, const SentenceFolder *folder,
			SentenceSettings *settings, Status *status)
{
	json_t *root;

	return open_module(arena, source, &(ModuleFile){path, KNOWN_SPLADE, true}, folder, &root,
					   status) &&
		   (splade_parse(root, &settings->splade, status) ||
			status_prefix(status, "%s/config.json", path));
}

/* Documents as of any SPLADE model; the weights of a query's words as a Dense module of theirs. */
static bool
read_router(Arena *arena, ModelSource *source, const char *path, SentenceFolder *folder,
			SentenceSettings *settings, Status *status)
{
	Router router;

	if (!router_read(arena, source, path, folder->notes, &router, status) ||
		!read_splade(arena, source, router.splade, folder, settings, status))
		return false;
	folder->transformer = router.transformer;
	folder->dense[0] = router.query;
	settings->n_dense = 1;
	settings->dense[0] = (DenseModule){1, router.n_words, false, DENSE_IDENTITY};
	return true;
}

static bool
read_dense(Arena *arena, ModelSource *source, const char *path, SentenceFolder *folder,
		   SentenceSettings *settings, Status *status)
{
	json_t *root;
	bool ok;

	if (settings->n_dense == DENSE_MAX)
		return status_fail(status, STATUS_LIMIT, "modules.json has more than %d Dense modules",
						   DENSE_MAX);
	if (!open_module(arena, source, &(ModuleFile){path, KNOWN_DENSE, true}, folder, &root, status))
		return false;
	ok = dense_parse(root, &settings->dense[settings->n_dense], arena, status) ||
		 status_prefix(status, "%s/config.json", path);
	folder->dense[settings->n_dense] = arena_strdup(arena, path);
	if (ok && folder->dense[settings->n_dense] == NULL)
		return arena_fail(arena, status, "a path", strlen(path));
	settings->n_dense++;
	return ok;
}

static bool
read_normalize(Arena *arena, ModelSource *source, const char *path, const SentenceFolder *folder,
			   SentenceSettings *settings, Status *status)
{
	json_t *root;

	settings->normalize = true;
	return open_module(arena, source, &(ModuleFile){path, KNOWN_NORMALIZE, false}, folder, &root,
					   status);
}

/* The modules that we know, in the order in which they may follow each other. */
typedef enum ModuleKind
{
	MODULE_TRANSFORMER,
	MODULE_POOLING,
	MODULE_DENSE,
	MODULE_NORMALIZE,
	MODULE_SPLADE, /* instead of all behind the first */
	MODULE_MLM_TRANSFORMER,
	MODULE_ROUTER, /* alone */
	MODULE_COUNT
} ModuleKind;

static const char *const module_names[MODULE_COUNT] = {
	"Transformer", "Pooling", "Dense", "Normalize", "SpladePooling", "MLMTransformer", "Router"};

/*
 * Transformer, Pooling, any number of Dense, Normalize; the first two once, and none without the
 * first, nor the others without the second. Or Transformer and SpladePooling. before: the last
 * one's kind, -1 at the beginning.
 */
static bool
check_order(int before, ModuleKind kind, Status *status)
{
	bool again = kind == MODULE_DENSE || kind == MODULE_NORMALIZE;

	if (kind == MODULE_ROUTER   ? before < 0
		: kind == MODULE_SPLADE ? before == MODULE_TRANSFORMER
								: before >= (int) kind - (kind == MODULE_NORMALIZE ? 2 : 1) &&
									  before <= (int) kind - (again ? 0 : 1))
		return true;
	status_fail(status, STATUS_UNSUPPORTED, "modules.json has a %s module %s%s", module_names[kind],
				before < 0 ? "first" : "after ", before < 0 ? "" : module_names[before]);
	return status_hint(
		status, "Supported are Transformer, Pooling, any Dense and Normalize, in this order, or "
				"Transformer and SpladePooling, or a Router alone.");
}

/* One entry of modules.json, by the last part of its Python class. */
static bool
read_module(Arena *arena, ModelSource *source, const json_t *module, SentenceFolder *folder,
			int *before, SentenceSettings *settings, Status *status)
{
	const char *type = json_string_value(json_object_get(module, "type"));
	const char *path = json_string_value(json_object_get(module, "path"));
	const char *class;
	int kind;

	if (!known_keys_check(KNOWN_MODULE, "modules.json", module, folder->notes, status))
		return false;
	if (type == NULL || path == NULL)
		return status_fail(status, STATUS_INVALID_DATA,
						   "modules.json has an entry without type or path");
	class = strrchr(type, '.');
	kind = name_find(class == NULL ? type : class + 1, module_names, MODULE_COUNT);
	if (kind < 0 || kind >= MODULE_COUNT)
	{
		status_fail(status, STATUS_UNSUPPORTED, "modules.json has a module of type \"%.80s\"",
					type);
		return status_hint(status, "Supported are Transformer, Pooling, Dense, Normalize, "
								   "MLMTransformer, SpladePooling and Router.");
	}
	if (kind == MODULE_MLM_TRANSFORMER)
		kind = MODULE_TRANSFORMER;
	if (!check_order(*before, (ModuleKind) kind, status))
		return false;
	*before = kind;
	if (kind == MODULE_POOLING)
		return read_pooling(arena, source, path, folder, settings, status);
	if (kind == MODULE_ROUTER)
		return read_router(arena, source, path, folder, settings, status);
	if (kind == MODULE_SPLADE)
		return read_splade(arena, source, path, folder, settings, status);
	if (kind == MODULE_DENSE)
		return read_dense(arena, source, path, folder, settings, status);
	if (kind == MODULE_NORMALIZE)
		return read_normalize(arena, source, path, folder, settings, status);
	folder->transformer = arena_strdup(arena, path);
	return folder->transformer != NULL || arena_fail(arena, status, "a path", strlen(path));
}

static bool
read_modules(Arena *arena, ModelSource *source, SentenceFolder *folder, SentenceSettings *settings,
			 Status *status)
{
	json_t *root;
	int before = -1;
	bool ok = true;

	if (!json_read_array(arena, source, "modules.json", SENTENCE_FILE_BYTES, &root, status))
		return false;
	if (root == NULL)
		return true;
	folder->has_modules = true;
	if (json_array_size(root) > MAX_MODULES)
		ok =
			status_fail(status, STATUS_LIMIT, "modules.json has more than %d modules", MAX_MODULES);
	for (size_t i = 0; ok && i < json_array_size(root); i++)
		ok = read_module(arena, source, json_array_get(root, i), folder, &before, settings, status);
	settings->present = before >= MODULE_POOLING && settings->splade.pooling == SPLADE_NONE;
	return ok;
}

/*
 * What the Transformer module gives: states of tokens for pooling, a sparse encoder's logits, or a
 * cross-encoder's scores.
 */
static bool
check_task(const json_t *root, const SentenceSettings *settings, Status *status)
{
	static const struct
	{
		const char *key;
		const char *embeds;
		const char *scores;
		const char *words;
	} members[] = {
		{"transformer_task", "feature-extraction", "sequence-classification", "fill-mask"},
		{"module_output_name", "token_embeddings", "scores", "token_embeddings"}};
	bool sparse = settings->splade.pooling != SPLADE_NONE;

	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
	{
		const char *value = json_string_value(json_object_get(root, members[i].key));
		const char *wanted = settings->present ? members[i].embeds
							 : sparse          ? members[i].words
											   : members[i].scores;

		if (value != NULL && strcmp(value, wanted) != 0 &&
			(settings->present || sparse || strcmp(value, members[i].embeds) != 0))
			return status_fail(status, STATUS_UNSUPPORTED,
							   "\"%s\" is \"%.60s\", which is not supported", members[i].key,
							   value);
	}
	return true;
}

/* The Transformer module's own settings; the first of these names that is there counts. */
static bool
read_transformer(Arena *arena, ModelSource *source, SentenceFolder *folder,
				 SentenceSettings *settings, Status *status)
{
	static const char *const names[] = {
		"sentence_bert_config.json",       "sentence_roberta_config.json",
		"sentence_distilbert_config.json", "sentence_camembert_config.json",
		"sentence_albert_config.json",     "sentence_xlm-roberta_config.json",
		"sentence_xlnet_config.json",
	};
	const char *name = NULL;
	json_t *root = NULL;
	bool ok;

	for (size_t i = 0; i < sizeof names / sizeof names[0] && root == NULL; i++)
		if (!json_read_object(arena, source, name = names[i], SENTENCE_FILE_BYTES, &root, status))
			return false;
	if (root == NULL)
		return true;
	if (!folder
			 ->has_modules) /* nobody but sentence-transformers reads it, and not without modules */
		ok = notes_add(folder->notes, NOTE_IGNORED, name, NULL, status);
	else
		ok = known_keys_check(KNOWN_SENTENCE_CONFIG, name, root, folder->notes, status) &&
			 ((json_get_int(root, "max_seq_length", 1, CONFIG_MAX_POSITIONS,
							&settings->max_seq_length, status) &&
			   json_get_bool(root, "do_lower_case", &folder->lowercase_first, status) &&
			   check_task(root, settings, status)) ||
			  status_prefix(status, "%s", name));
	return ok;
}

/* config_sentence_transformers.json: of an encoder prompts and similarity, else the activation. */
static bool
parse_model_settings(const json_t *root, Arena *arena, SentenceFolder *folder,
					 SentenceSettings *settings, Status *status)
{
	bool embeds = settings->present || settings->splade.pooling != SPLADE_NONE;
	const char *class = NULL;

	if (!json_get_string(root, "activation_fn", arena, &class, status))
		return false;
	if (class != NULL && !embeds &&
		!score_activation_parse(class, &folder->score_activation, status))
		return false;
	return sentence_prompts_check(root, status) &&
		   (!embeds ||
			(similarity_get(root, "similarity_fn_name", &settings->similarity, status) &&
			 sentence_settings_save(arena, settings, json_object_get(root, "prompts"),
									json_object_get(root, "default_prompt_name"), status)));
}

static bool
read_model_settings(Arena *arena, ModelSource *source, SentenceFolder *folder,
					SentenceSettings *settings, Status *status)
{
	static const char name[] = "config_sentence_transformers.json";
	json_t *root;

	if (!json_read_object(arena, source, name, SENTENCE_FILE_BYTES, &root, status))
		return false;
	if (root == NULL)
		return (!settings->present && settings->splade.pooling == SPLADE_NONE) ||
			   sentence_settings_save(arena, settings, NULL, NULL, status);
	return known_keys_check(KNOWN_SENTENCE_TRANSFORMERS, name, root, folder->notes, status) &&
		   (parse_model_settings(root, arena, folder, settings, status) ||
			status_prefix(status, "%s", name));
}

/* Files that belong to something which is more than the model beside them. */
static bool
look_at_others(ModelSource *source, const SentenceFolder *folder, Status *status)
{
	ByteSource *file;
	bool found;

	if (!source->open(source, "adapter_config.json", &file, &found, status))
		return false;
	if (found)
	{
		status_fail(
			status, STATUS_UNSUPPORTED,
			"there is an adapter_config.json: the folder holds a LoRA adapter, not a model");
		return status_hint(status, "Merge it into its base model first: load it with peft, call "
								   "merge_and_unload() and save_pretrained().");
	}
	return true;
}

bool
sentence_settings_read(Arena *arena, ModelSource *source, SentenceFolder *folder,
					   SentenceSettings *settings, Status *status)
{
	ModelSource *inner;

	memset(settings, 0, sizeof *settings);
	settings->pooling = pooling_single(POOLING_MEAN);
	memset(folder->dense, 0, sizeof folder->dense);
	folder->transformer = "";
	folder->lowercase_first = false;
	folder->has_modules = false;
	folder->score_activation = SCORE_UNSET;
	if (!look_at_others(source, folder, status) ||
		!read_modules(arena, source, folder, settings, status))
		return false;
	inner = modelsource_subfolder(arena, source, folder->transformer, status);
	return inner != NULL && read_transformer(arena, inner, folder, settings, status) &&
		   read_model_settings(arena, source, folder, settings, status);
}
