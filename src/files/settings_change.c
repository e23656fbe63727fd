/* settings_change.c: a model's settings as its owner wants them. */
#include "files/settings_change.h"

#include <string.h>

#include "core/names.h"
#include "files/sentence_settings.h"

#define MAX_BYTES ((size_t) 16 * 1024 * 1024) /* labels may be many */

typedef enum Setting
{
	SET_POOLING,
	SET_NORMALIZE,
	SET_INCLUDE_PROMPT,
	SET_MAX_SEQ_LENGTH,
	SET_PROMPTS,
	SET_DEFAULT_PROMPT_NAME,
	SET_SIMILARITY,
	SET_DENSE,  /* at an import */
	SET_LABELS, /* of a model that is there */
	SET_ACTIVATION,
	SET_DESCRIPTION,
	SET_COUNT
} Setting;

static const char *const setting_names[SET_COUNT] = {
	"pooling", "normalize",           "include_prompt", "max_seq_length",
	"prompts", "default_prompt_name", "similarity",     "dense",
	"labels",  "activation",          "description",
};

static bool
wrong_type(Setting setting, const char *wanted, Status *status)
{
	return status_fail(status, STATUS_INVALID_ARGUMENT, "setting \"%s\" must be %s",
					   setting_names[setting], wanted);
}

static bool
set_bool(const json_t *value, Setting setting, bool *out, Status *status)
{
	if (!json_is_boolean(value))
		return wrong_type(setting, "true or false", status);
	*out = json_is_true(value);
	return true;
}

static bool
add_pooling(const json_t *value, PoolingModes *modes, Status *status)
{
	PoolingModes part;

	if (!json_is_string(value))
		return wrong_type(SET_POOLING, "a name or a list of names", status);
	if (!pooling_modes_parse(json_string_value(value), &part, status))
		return false;
	for (int i = 0; i < part.n; i++)
		if (!pooling_modes_add(modes, part.modes[i], status))
			return false;
	if (!pooling_modes_have(modes, POOLING_POOLER))
		return true;
	status_fail(status, STATUS_INVALID_ARGUMENT, "pooling \"pooler\" is no model's own");
	return status_hint(status, "It is an option of bert.embed.");
}

static bool
set_pooling(const json_t *value, PoolingModes *modes, Status *status)
{
	modes->n = 0;
	if (!json_is_array(value))
		return add_pooling(value, modes, status);
	for (size_t i = 0; i < json_array_size(value); i++)
		if (!add_pooling(json_array_get(value, i), modes, status))
			return false;
	return modes->n > 0 || wrong_type(SET_POOLING, "a name or a list of names", status);
}

static bool
set_max_seq_length(const json_t *value, int *out, Status *status)
{
	json_int_t number = json_is_null(value) ? 0 : json_integer_value(value);

	if (!json_is_null(value) &&
		(!json_is_integer(value) || number < 1 || number > CONFIG_MAX_POSITIONS))
		return wrong_type(SET_MAX_SEQ_LENGTH, "a number of tokens, from 1 to 65536", status);
	*out = (int) number;
	return true;
}

static bool
set_similarity(const json_t *value, Similarity *out, Status *status)
{
	const char *names[SIMILARITY_COUNT];
	int i = SIMILARITY_COSINE;

	for (int s = 0; s < SIMILARITY_COUNT; s++)
		names[s] = similarity_name((Similarity) s);
	if (!json_is_null(value) && !json_is_string(value))
		return wrong_type(SET_SIMILARITY, "a name", status);
	if (json_is_string(value))
		i = name_parse(json_string_value(value), "similarity", names, SIMILARITY_COUNT, status);
	*out = (Similarity) i;
	return i >= 0;
}

static bool
set_dense(Arena *arena, const json_t *value, SentenceSettings *settings, Status *status)
{
	settings->n_dense = 0;
	if (json_is_null(value))
		return true;
	if (!json_is_array(value) || json_array_size(value) > DENSE_MAX)
		return wrong_type(SET_DENSE, "a list of 8 modules at most", status);
	for (size_t i = 0; i < json_array_size(value); i++)
	{
		if (!json_is_object(json_array_get(value, i)))
			return wrong_type(SET_DENSE, "a list of objects", status);
		if (!dense_parse(json_array_get(value, i), &settings->dense[settings->n_dense++], arena,
						 status))
			return status_prefix(status, "Dense module %d", settings->n_dense);
	}
	return true;
}

static bool
check_label(const json_t *labels, size_t i, Status *status)
{
	const char *label = json_string_value(json_array_get(labels, i));

	if (label == NULL || label[0] == '\0')
		return wrong_type(SET_LABELS, "a list of texts", status);
	for (size_t j = 0; j < i; j++)
		if (strcmp(label, json_string_value(json_array_get(labels, j))) == 0)
			return status_fail(status, STATUS_INVALID_ARGUMENT, "label \"%.60s\" is there twice",
							   label);
	return true;
}

static bool
set_labels(Arena *arena, const json_t *value, SettingsChange *change, Status *status)
{
	size_t n = json_array_size(value);
	const char **labels;

	if (change->head != HEAD_SEQUENCE_CLASSIFICATION && change->head != HEAD_TOKEN_CLASSIFICATION)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "a model with the head %s has no labels", head_kind_name(change->head));
	if (!json_is_array(value) || n != (size_t) change->config->num_labels)
		return status_fail(
			status, STATUS_INVALID_ARGUMENT,
			"setting \"labels\" must be a list of %d texts, as many as the model has",
			change->config->num_labels);
	labels = arena_alloc_array(arena, n, sizeof *labels);
	if (labels == NULL)
		return arena_fail(arena, status, "labels", n * sizeof *labels);
	for (size_t i = 0; i < n; i++)
	{
		if (!check_label(value, i, status))
			return false;
		labels[i] = json_string_value(json_array_get(value, i));
	}
	return config_set_labels(arena, change->config, (int) n, labels, status);
}

static bool
set_activation(const json_t *value, SettingsChange *change, Status *status)
{
	static const char *const names[] = {"identity", "sigmoid"};
	int i;

	if (change->head != HEAD_SEQUENCE_CLASSIFICATION || change->config->num_labels != 1)
		return status_fail(
			status, STATUS_INVALID_ARGUMENT,
			"setting \"activation\" is for a model that gives one score for a text or a pair");
	if (json_is_null(value))
	{
		change->config->score_activation = SCORE_UNSET;
		return true;
	}
	if (!json_is_string(value))
		return wrong_type(SET_ACTIVATION, "\"identity\" or \"sigmoid\"", status);
	i = name_parse(json_string_value(value), "activation", names, 2, status);
	change->config->score_activation = i == 0 ? SCORE_IDENTITY : SCORE_SIGMOID;
	return i >= 0;
}

static bool
set_description(Arena *arena, const json_t *value, SettingsChange *change, Status *status)
{
	change->describes = true;
	change->description = NULL;
	if (json_is_null(value))
		return true;
	if (!json_is_string(value))
		return wrong_type(SET_DESCRIPTION, "a text", status);
	change->description = arena_strdup(arena, json_string_value(value));
	return change->description != NULL || arena_fail(arena, status, "a description", 0);
}

/* A setting of its own; prompts and their default's name go into the document "saved". */
static bool
set_one(Arena *arena, Setting setting, json_t *value, json_t *saved, SettingsChange *change,
		Status *status)
{
	SentenceSettings *sentence = change->sentence;
	bool include = false;

	switch (setting)
	{
		case SET_POOLING:
			return set_pooling(value, &sentence->pooling, status);
		case SET_NORMALIZE:
			return set_bool(value, setting, &sentence->normalize, status);
		case SET_INCLUDE_PROMPT:
			if (!set_bool(value, setting, &include, status))
				return false;
			sentence->exclude_prompt = !include;
			return true;
		case SET_MAX_SEQ_LENGTH:
			return set_max_seq_length(value, &sentence->max_seq_length, status);
		case SET_PROMPTS:
		case SET_DEFAULT_PROMPT_NAME:
			return json_object_set(saved, setting_names[setting], value) == 0 ||
				   status_fail(status, STATUS_OUT_OF_MEMORY, "no memory for the prompts");
		case SET_SIMILARITY:
			sentence->similarity = SIMILARITY_COSINE;
			return set_similarity(value, &sentence->similarity, status);
		case SET_DENSE:
			return set_dense(arena, value, sentence, status);
		case SET_LABELS:
			return set_labels(arena, value, change, status);
		case SET_ACTIVATION:
			return set_activation(value, change, status);
		case SET_DESCRIPTION:
			return set_description(arena, value, change, status);
		case SET_COUNT:
			break;
	}
	return status_fail(status, STATUS_INTERNAL, "no such setting");
}

/* What there is to set: the last three are of a model that is there, dense of one to be. */
static void
known_settings(bool import, const char *names[SET_COUNT])
{
	memcpy(names, setting_names, sizeof setting_names);
	if (import)
		names[SET_LABELS] = names[SET_ACTIVATION] = names[SET_DESCRIPTION] = NULL;
	else
		names[SET_DENSE] = NULL;
}

/* Whether the setting makes a model one with sentence settings. A head has a length without. */
static bool
is_of_sentences(Setting setting, HeadKind head)
{
	return setting < SET_MAX_SEQ_LENGTH || (setting == SET_MAX_SEQ_LENGTH && head == HEAD_NONE) ||
		   (setting > SET_MAX_SEQ_LENGTH && setting < SET_LABELS);
}

/* A classifier that reads the embedding was fitted to texts without a prompt. */
static bool
classifier_allows(const SentenceSettings *sentence, const json_t *saved, Status *status)
{
	const char *name = json_string_value(json_object_get(saved, "default_prompt_name"));
	const char *prompt =
		name == NULL ? NULL
					 : json_string_value(json_object_get(json_object_get(saved, "prompts"), name));

	return sentence->classified_features == 0 || prompt == NULL || prompt[0] == '\0' ||
		   status_fail(status, STATUS_UNSUPPORTED,
					   "\"default_prompt_name\": the model's classifier reads embeddings of texts "
					   "without a prompt; bert.embed takes one by prompt_name");
}

static bool
set_all(Arena *arena, const json_t *root, json_t *saved, SettingsChange *change, Status *status)
{
	SentenceSettings *sentence = change->sentence;
	const char *names[SET_COUNT];
	const char *key;
	json_t *value;

	known_settings(change->import, names);
	json_object_foreach((json_t *) root, key, value)
	{
		int setting = name_parse(key, "setting", names, SET_COUNT, status);

		if (setting < 0)
			return false;
		if (!sentence->present && sentence->splade.pooling == SPLADE_NONE &&
			is_of_sentences((Setting) setting, change->head))
		{
			sentence->present = true;
			sentence->pooling = pooling_single(POOLING_MEAN);
			sentence->normalize = true;
		}
	}
	json_object_foreach((json_t *) root, key, value)
	{
		if (!set_one(arena, (Setting) name_find(key, names, SET_COUNT), value, saved, change,
					 status))
			return false;
	}
	return sentence_prompts_check(saved, status) && classifier_allows(sentence, saved, status) &&
		   sentence_settings_save(arena, sentence, json_object_get(saved, "prompts"),
								  json_object_get(saved, "default_prompt_name"), status);
}

bool
settings_change(Arena *arena, const char *json, size_t length, SettingsChange *change,
				Status *status)
{
	json_t *root = json_open_object(arena, "the settings", json, length, MAX_BYTES, status);
	json_t *old = root == NULL ? NULL : sentence_settings_open(arena, change->sentence, status);
	json_t *saved = old == NULL ? NULL : json_deep_copy(old); /* which may be changed */
	bool ok;

	if (old != NULL && saved == NULL)
		return arena_fail(arena, status, "the settings", length);
	ok = saved != NULL && set_all(arena, root, saved, change, status) &&
		 sentence_settings_put_dense(change->sentence, change->config, status);
	json_decref(saved);
	/* what is wrong in a file is wrong in an argument here */
	if (!ok && (status->code == STATUS_INVALID_DATA || status->code == STATUS_UNSUPPORTED))
		status->code = STATUS_INVALID_ARGUMENT;
	return ok;
}
