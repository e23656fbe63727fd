/* sentence.c: modules.json and the settings of the modules it names. */
#include "files/sentence.h"

#include <stdio.h>
#include <string.h>

#include "core/names.h"
#include "files/json.h"
#include "files/known_keys.h"

#define MAX_FILE_BYTES ((size_t) 1024 * 1024)
#define MAX_MODULES 16

static const struct
{
	const char *member; /* before version 5 */
	const char *name;   /* since then */
	Pooling pooling;
} modes[] = {
	{"pooling_mode_cls_token", "cls", POOLING_CLS},
	{"pooling_mode_max_tokens", "max", POOLING_MAX},
	{"pooling_mode_mean_tokens", "mean", POOLING_MEAN},
	{"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", POOLING_MEAN_SQRT_LENGTH},
	{"pooling_mode_weightedmean_tokens", "weightedmean", POOLING_WEIGHTED_MEAN},
	{"pooling_mode_lasttoken", "lasttoken", POOLING_LAST_TOKEN},
};

#define N_MODES (sizeof modes / sizeof modes[0])

static bool
refuse_pooling(const char *name, Status *status)
{
	status_fail(status, STATUS_UNSUPPORTED, "%s does not choose exactly one of the known poolings",
				name);
	return status_hint(status, "Several poolings at once are not supported.");
}

/* The switches of the old form; *on is how many there are. */
static bool
read_switches(const json_t *root, const char *name, int *on, Pooling *pooling, Status *status)
{
	const char *key;
	json_t *value;

	*on = 0;
	json_object_foreach((json_t *) root, key, value)
	{
		bool known = false;

		if (strncmp(key, "pooling_mode_", 13) != 0 || !json_is_true(value))
			continue;
		for (size_t i = 0; i < N_MODES; i++)
			if (strcmp(key, modes[i].member) == 0)
			{
				*pooling = modes[i].pooling;
				known = true;
			}
		if (!known || ++*on > 1)
			return refuse_pooling(name, status);
	}
	return true;
}

/*
 * One pooling: a name, or the only one of a list, in "pooling_mode"; or a switch. Both forms must
 * agree. Neither means mean.
 */
static bool
parse_pooling(const json_t *root, const char *name, SentenceSettings *settings, Status *status)
{
	const json_t *mode = json_object_get(root, "pooling_mode");
	Pooling switched = POOLING_MEAN;
	bool found = false;
	int on;

	if (!read_switches(root, name, &on, &switched, status))
		return false;
	settings->pooling = switched;
	if (mode == NULL || json_is_null(mode))
		return true;
	if (json_array_size(mode) == 1)
		mode = json_array_get(mode, 0);
	for (size_t i = 0; json_is_string(mode) && i < N_MODES; i++)
		if (strcmp(json_string_value(mode), modes[i].name) == 0)
		{
			settings->pooling = modes[i].pooling;
			found = true;
		}
	if (!found)
		return refuse_pooling(name, status);
	return on == 0 || settings->pooling == switched ||
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
	if (!json_read_object(arena, source, name, MAX_FILE_BYTES, root, status))
		return false;
	if (*root == NULL)
		return !file->required ||
			   status_fail(status, STATUS_NOT_FOUND,
						   "file \"%s\", which modules.json names, does not exist", name);
	if (known_keys_check(file->kind, name, *root, folder->notes, status))
		return true;
	json_close(*root);
	return false;
}

static bool
read_pooling(Arena *arena, ModelSource *source, const char *path, const SentenceFolder *folder,
			 SentenceSettings *settings, Status *status)
{
	json_t *root;
	bool ok;

	settings->present = true;
	if (!open_module(arena, source, &(ModuleFile){path, KNOWN_POOLING, true}, folder, &root,
					 status))
		return false;
	ok = parse_pooling(root, path, settings, status);
	json_close(root);
	return ok;
}

static bool
read_normalize(Arena *arena, ModelSource *source, const char *path, const SentenceFolder *folder,
			   SentenceSettings *settings, Status *status)
{
	json_t *root;

	settings->normalize = true;
	if (!open_module(arena, source, &(ModuleFile){path, KNOWN_NORMALIZE, false}, folder, &root,
					 status))
		return false;
	if (root != NULL)
		json_close(root);
	return true;
}

/* One entry of modules.json, by the last part of its Python class. */
static bool
read_module(Arena *arena, ModelSource *source, const json_t *module, SentenceFolder *folder,
			SentenceSettings *settings, Status *status)
{
	const char *type = json_string_value(json_object_get(module, "type"));
	const char *path = json_string_value(json_object_get(module, "path"));
	const char *class;

	if (!known_keys_check(KNOWN_MODULE, "modules.json", module, folder->notes, status))
		return false;
	if (type == NULL || path == NULL)
		return status_fail(status, STATUS_INVALID_DATA,
						   "modules.json has an entry without type or path");
	class = strrchr(type, '.');
	class = class == NULL ? type : class + 1;
	if (strcmp(class, "Transformer") == 0)
	{
		folder->transformer = arena_strdup(arena, path);
		return folder->transformer != NULL || arena_fail(arena, status, "a path", strlen(path));
	}
	if (strcmp(class, "Pooling") == 0)
		return read_pooling(arena, source, path, folder, settings, status);
	if (strcmp(class, "Normalize") == 0)
		return read_normalize(arena, source, path, folder, settings, status);
	status_fail(status, STATUS_UNSUPPORTED, "modules.json has a module of type \"%.80s\"", type);
	return status_hint(status, "Only Transformer, Pooling and Normalize are supported.");
}

static bool
read_modules(Arena *arena, ModelSource *source, SentenceFolder *folder, SentenceSettings *settings,
			 Status *status)
{
	json_t *root;
	bool ok = true;

	if (!json_read_array(arena, source, "modules.json", MAX_FILE_BYTES, &root, status))
		return false;
	if (root == NULL)
		return true;
	folder->has_modules = true;
	if (json_array_size(root) > MAX_MODULES)
		ok =
			status_fail(status, STATUS_LIMIT, "modules.json has more than %d modules", MAX_MODULES);
	for (size_t i = 0; ok && i < json_array_size(root); i++)
		ok = read_module(arena, source, json_array_get(root, i), folder, settings, status);
	json_close(root);
	return ok;
}

/* What the Transformer module gives: states of tokens for pooling, or a cross-encoder's scores. */
static bool
check_task(const json_t *root, const SentenceSettings *settings, Status *status)
{
	static const struct
	{
		const char *key;
		const char *embeds;
		const char *scores;
	} members[] = {{"transformer_task", "feature-extraction", "sequence-classification"},
				   {"module_output_name", "token_embeddings", "scores"}};

	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
	{
		const char *value = json_string_value(json_object_get(root, members[i].key));
		const char *wanted = settings->present ? members[i].embeds : members[i].scores;

		if (value != NULL && strcmp(value, wanted) != 0 &&
			(settings->present || strcmp(value, members[i].embeds) != 0))
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
		if (!json_read_object(arena, source, name = names[i], MAX_FILE_BYTES, &root, status))
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
	json_close(root);
	return ok;
}

static const char *const similarity_names[] = {"cosine", "dot", "euclidean", "manhattan"};

static bool
parse_similarity(const json_t *root, Arena *arena, SentenceSettings *settings, Status *status)
{
	const char *name = NULL;

	if (!json_get_string(root, "similarity_fn_name", arena, &name, status))
		return false;
	if (name == NULL)
		return true;
	for (int i = 0; i < 4; i++)
		if (strcmp(name, similarity_names[i]) == 0)
		{
			settings->similarity = (Similarity) i;
			return true;
		}
	return status_fail(status, STATUS_UNSUPPORTED, "similarity_fn_name \"%.60s\" is not supported",
					   name);
}

/* Prompts are texts; the default is one of them. */
static bool
check_prompts(const json_t *root, Status *status)
{
	json_t *prompts = json_object_get(root, "prompts");
	const json_t *name = json_object_get(root, "default_prompt_name");
	const char *key;
	json_t *value;

	if (prompts != NULL && !json_is_null(prompts) && !json_is_object(prompts))
		return status_fail(status, STATUS_INVALID_DATA, "\"prompts\" is not an object");
	json_object_foreach(prompts, key, value)
	{
		if (!json_is_string(value) && !json_is_null(value))
			return status_fail(status, STATUS_INVALID_DATA, "prompt \"%.60s\" is not a text", key);
	}
	if (name == NULL || json_is_null(name))
		return true;
	if (!json_is_string(name))
		return status_fail(status, STATUS_INVALID_DATA, "\"default_prompt_name\" is not a text");
	return json_object_get(prompts, json_string_value(name)) != NULL ||
		   strcmp(json_string_value(name), "query") == 0 ||
		   strcmp(json_string_value(name), "document") == 0 ||
		   status_fail(status, STATUS_INVALID_DATA,
					   "\"default_prompt_name\" is \"%.60s\", which is none of the prompts",
					   json_string_value(name));
}

/* What is kept of the file, unless it is nothing but defaults. */
static bool
keep(const json_t *root, Arena *arena, SentenceSettings *settings, Status *status)
{
	json_t *prompts = json_object_get(root, "prompts");
	json_t *name = json_object_get(root, "default_prompt_name");
	json_t *kept = json_object();
	bool complete = true;

	if (json_object_size(prompts) > 0)
		json_put(kept, "prompts", json_deep_copy(prompts), &complete);
	if (json_is_string(name))
		json_put(kept, "default_prompt_name", json_deep_copy(name), &complete);
	if (settings->similarity != SIMILARITY_COSINE)
		json_put(kept, "similarity_fn_name", json_string(similarity_names[settings->similarity]),
				 &complete);
	if (json_object_size(kept) == 0)
	{
		json_decref(kept);
		return true;
	}
	settings->saved =
		json_write(arena, kept, JSON_SORT_KEYS, complete, "the sentence settings", status);
	return settings->saved != NULL;
}

/* config_sentence_transformers.json: of an encoder prompts and similarity, else the activation. */
static bool
parse_model_settings(const json_t *root, Arena *arena, SentenceFolder *folder,
					 SentenceSettings *settings, Status *status)
{
	const char *class = NULL;

	if (!json_get_string(root, "activation_fn", arena, &class, status))
		return false;
	if (class != NULL && !settings->present &&
		!score_activation_parse(class, &folder->score_activation, status))
		return false;
	return check_prompts(root, status) &&
		   (!settings->present || (parse_similarity(root, arena, settings, status) &&
								   keep(root, arena, settings, status)));
}

static bool
read_model_settings(Arena *arena, ModelSource *source, SentenceFolder *folder,
					SentenceSettings *settings, Status *status)
{
	static const char name[] = "config_sentence_transformers.json";
	json_t *root;
	bool ok;

	if (!json_read_object(arena, source, name, MAX_FILE_BYTES, &root, status))
		return false;
	if (root == NULL)
		return true;
	ok = known_keys_check(KNOWN_SENTENCE_TRANSFORMERS, name, root, folder->notes, status) &&
		 (parse_model_settings(root, arena, folder, settings, status) ||
		  status_prefix(status, "%s", name));
	json_close(root);
	return ok;
}

bool
sentence_settings_restore(SentenceSettings *settings, Status *status)
{
	json_t *root;
	const char *name;

	if (settings->saved == NULL)
		return true;
	root = json_open_object("the sentence settings", settings->saved, strlen(settings->saved),
							MAX_FILE_BYTES, status);
	if (root == NULL)
		return false;
	name = json_string_value(json_object_get(root, "similarity_fn_name"));
	for (int i = 0; name != NULL && i < 4; i++)
		if (strcmp(name, similarity_names[i]) == 0)
			settings->similarity = (Similarity) i;
	json_close(root);
	return true;
}

static bool
find_prompt(Arena *arena, const json_t *root, const char *name, PromptUse use, const char **prompt,
			Status *status)
{
	json_t *prompts = json_object_get(root, "prompts");
	const char **names = arena_alloc_array(arena, json_object_size(prompts) + 1, sizeof *names);
	const char *wanted = name;
	const char *key;
	json_t *value;
	int n = 0;

	if (names == NULL)
		return arena_fail(arena, status, "prompts", json_object_size(prompts));
	if (name == NULL)
		wanted = use == PROMPT_QUERY ? "query"
				 : use == PROMPT_DOCUMENT
					 ? "document"
					 : json_string_value(json_object_get(root, "default_prompt_name"));
	json_object_foreach(prompts, key, value)
	{
		names[n++] = key;
		if (wanted == NULL || strcmp(key, wanted) != 0)
			continue;
		*prompt = json_is_null(value) ? "" : arena_strdup(arena, json_string_value(value));
		return *prompt != NULL || arena_fail(arena, status, "a prompt", 0);
	}
	/* these two every model has, empty */
	if (name == NULL || strcmp(name, "query") == 0 || strcmp(name, "document") == 0)
		return true;
	if (n > 0)
		return name_parse(name, "prompt", names, n, status) >= 0;
	return status_fail(status, STATUS_INVALID_ARGUMENT, "unknown prompt \"%.60s\"", name) ||
		   status_hint(status, "The model has no prompts.");
}

bool
sentence_prompt(Arena *arena, const SentenceSettings *settings, const char *name, PromptUse use,
				const char **prompt, Status *status)
{
	json_t *root;
	bool ok;

	*prompt = "";
	if (settings->saved == NULL && name == NULL)
		return true;
	root = json_open_object(
		"the sentence settings", settings->saved == NULL ? "{}" : settings->saved,
		settings->saved == NULL ? 2 : strlen(settings->saved), MAX_FILE_BYTES, status);
	if (root == NULL)
		return false;
	ok = find_prompt(arena, root, name, use, prompt, status);
	json_close(root);
	return ok;
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
	if (!source->open(source, "model_head.pkl", &file, &found, status))
		return false;
	return !found || notes_add(folder->notes, NOTE_IGNORED, "model_head.pkl", NULL, status);
}

bool
sentence_settings_read(Arena *arena, ModelSource *source, SentenceFolder *folder,
					   SentenceSettings *settings, Status *status)
{
	ModelSource *inner;

	memset(settings, 0, sizeof *settings);
	settings->pooling = POOLING_MEAN;
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

int
sentence_max_length(const SentenceSettings *settings, int model_max_length,
					const BertConfig *config)
{
	int length = settings->max_seq_length > 0 ? settings->max_seq_length : model_max_length;

	return length > 0 && length < config->max_position_embeddings ? length
																  : config->max_position_embeddings;
}
