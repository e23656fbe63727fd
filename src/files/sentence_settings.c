/* sentence_settings.c: what a model keeps of its sentence settings, and what follows from them. */
#include "files/sentence_settings.h"

#include <string.h>

#include "core/names.h"

static const char *const similarity_names[SIMILARITY_COUNT] = {"cosine", "dot", "euclidean",
															   "manhattan"};

const char *
similarity_name(Similarity similarity)
{
	return similarity_names[similarity];
}

bool
similarity_get(const json_t *root, const char *member, Similarity *similarity, Status *status)
{
	const json_t *value = json_object_get(root, member);
	int i;

	if (value == NULL || json_is_null(value))
		return true;
	if (!json_is_string(value))
		return status_fail(status, STATUS_INVALID_DATA, "\"%s\" is not a text", member);
	i = name_find(json_string_value(value), similarity_names, SIMILARITY_COUNT);
	if (i < 0)
	{
		status_fail(status, STATUS_UNSUPPORTED, "%s \"%.60s\" is not supported", member,
					json_string_value(value));
		return status_hint(status, "Supported are cosine, dot, euclidean and manhattan.");
	}
	*similarity = (Similarity) i;
	return true;
}

bool
sentence_prompts_check(const json_t *root, Status *status)
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

bool
dense_parse(const json_t *root, DenseModule *dense, Arena *arena, Status *status)
{
	const char *class = NULL;

	*dense = (DenseModule){.bias = true, .activation = DENSE_TANH};
	if (!json_get_int(root, "in_features", 1, DENSE_MAX_FEATURES, &dense->in_features, status) ||
		!json_get_int(root, "out_features", 1, DENSE_MAX_FEATURES, &dense->out_features, status) ||
		!json_get_bool(root, "bias", &dense->bias, status) ||
		!json_get_string(root, "activation_function", arena, &class, status))
		return false;
	if (dense->in_features == 0 || dense->out_features == 0)
		return status_fail(status, STATUS_INVALID_DATA, "\"%s\" is missing",
						   dense->in_features == 0 ? "in_features" : "out_features");
	return class == NULL || dense_activation_parse(class, &dense->activation, status);
}

static const char *const splade_poolings[SPLADE_COUNT] = {"", "max", "sum"};
static const char *const splade_activations[] = {"relu", "log1p_relu"};

/* The index of a member's value among these names; value_if_absent without the member. */
static int
get_name(const json_t *root, const char *member, const char *const *names, int n,
		 int value_if_absent, Status *status)
{
	const json_t *value = json_object_get(root, member);
	int i;

	if (value == NULL || json_is_null(value))
		return value_if_absent;
	i = json_is_string(value) ? name_find(json_string_value(value), names, n) : -1;
	if (i < 0)
		status_fail(status, STATUS_UNSUPPORTED, "\"%s\" is \"%.60s\", which is not supported",
					member, json_is_string(value) ? json_string_value(value) : "no text");
	return i;
}

bool
splade_parse(const json_t *root, SpladeSettings *splade, Status *status)
{
	int pooling =
		get_name(root, "pooling_strategy", splade_poolings, SPLADE_COUNT, SPLADE_MAX, status);
	int activation =
		pooling < 0 ? -1 : get_name(root, "activation_function", splade_activations, 2, 0, status);

	if (activation < 0)
		return false;
	if (pooling == SPLADE_NONE)
		return status_fail(status, STATUS_UNSUPPORTED, "\"pooling_strategy\" is empty");
	*splade = (SpladeSettings){(SpladePooling) pooling, activation == 1};
	return true;
}

json_t *
splade_to_json(const SpladeSettings *splade, bool *complete)
{
	json_t *root = json_object();

	json_put(root, "pooling_strategy", json_string(splade_poolings[splade->pooling]), complete);
	json_put(root, "activation_function", json_string(splade_activations[splade->twice]), complete);
	return root;
}

json_t *
dense_to_json(const DenseModule *dense, bool *complete)
{
	json_t *root = json_object();

	json_put(root, "in_features", json_integer(dense->in_features), complete);
	json_put(root, "out_features", json_integer(dense->out_features), complete);
	json_put(root, "bias", json_boolean(dense->bias), complete);
	json_put(root, "activation_function", json_string(dense_activation_class(dense->activation)),
			 complete);
	return root;
}

/* What SetFit's classifier reads. */
static json_t *
classifier_to_json(const SentenceSettings *settings, bool *complete)
{
	json_t *root = json_object();

	json_put(root, "in_features", json_integer(settings->classified_features), complete);
	json_put(root, "normalize", json_boolean(settings->classified_normalized), complete);
	return root;
}

bool
sentence_settings_save(Arena *arena, SentenceSettings *settings, json_t *prompts,
					   json_t *default_prompt_name, Status *status)
{
	json_t *kept = json_object();
	bool complete = true;

	settings->saved = NULL;
	if (json_object_size(prompts) > 0)
		json_put(kept, "prompts", json_deep_copy(prompts), &complete);
	if (json_is_string(default_prompt_name))
		json_put(kept, "default_prompt_name", json_deep_copy(default_prompt_name), &complete);
	if (settings->similarity != SIMILARITY_COSINE)
		json_put(kept, "similarity_fn_name", json_string(similarity_names[settings->similarity]),
				 &complete);
	if (settings->exclude_prompt)
		json_put(kept, "include_prompt", json_false(), &complete);
	if (settings->n_dense > 0)
	{
		json_t *list = json_array();

		for (int i = 0; i < settings->n_dense; i++)
			if (json_array_append_new(list, dense_to_json(&settings->dense[i], &complete)) != 0)
				complete = false;
		json_put(kept, "dense", list, &complete);
	}
	if (settings->splade.pooling != SPLADE_NONE)
		json_put(kept, "splade", splade_to_json(&settings->splade, &complete), &complete);
	if (settings->classified_features > 0)
		json_put(kept, "classifier", classifier_to_json(settings, &complete), &complete);
	if (json_object_size(kept) == 0)
	{
		json_decref(kept);
		return true;
	}
	settings->saved =
		json_write(arena, kept, JSON_SORT_KEYS, complete, "the sentence settings", status);
	return settings->saved != NULL;
}

json_t *
sentence_settings_open(Arena *arena, const SentenceSettings *settings, Status *status)
{
	const char *text = settings->saved == NULL ? "{}" : settings->saved;

	return json_open_object(arena, "the sentence settings", text, strlen(text), SENTENCE_FILE_BYTES,
							status);
}

bool
sentence_settings_save_again(Arena *arena, SentenceSettings *settings, Status *status)
{
	json_t *old = sentence_settings_open(arena, settings, status);

	return old != NULL &&
		   sentence_settings_save(arena, settings, json_object_get(old, "prompts"),
								  json_object_get(old, "default_prompt_name"), status);
}

bool
sentence_settings_drop_classifier(Arena *arena, SentenceSettings *settings, Status *status)
{
	if (settings->classified_features == 0)
		return true;
	settings->classified_features = 0;
	settings->classified_normalized = false;
	return sentence_settings_save_again(arena, settings, status);
}

static bool
restore_classifier(const json_t *root, SentenceSettings *settings, Status *status)
{
	if (root == NULL)
		return true;
	return json_get_int(root, "in_features", 1, DENSE_MAX_FEATURES, &settings->classified_features,
						status) &&
		   json_get_bool(root, "normalize", &settings->classified_normalized, status);
}

static bool
restore_dense(Arena *arena, const json_t *list, SentenceSettings *settings, Status *status)
{
	settings->n_dense = 0;
	if (json_array_size(list) > DENSE_MAX)
		return status_fail(status, STATUS_LIMIT, "more than %d Dense modules", DENSE_MAX);
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!dense_parse(json_array_get(list, i), &settings->dense[settings->n_dense++], arena,
						 status))
			return false;
	return true;
}

bool
sentence_settings_restore(Arena *arena, SentenceSettings *settings, Status *status)
{
	const json_t *splade;
	json_t *root;
	bool include = true;
	bool ok;

	if (settings->saved == NULL)
		return true;
	root = sentence_settings_open(arena, settings, status);
	if (root == NULL)
		return false;
	ok = sentence_prompts_check(root, status) &&
		 similarity_get(root, "similarity_fn_name", &settings->similarity, status) &&
		 json_get_bool(root, "include_prompt", &include, status) &&
		 restore_dense(arena, json_object_get(root, "dense"), settings, status) &&
		 restore_classifier(json_object_get(root, "classifier"), settings, status);
	splade = json_object_get(root, "splade");
	if (ok && splade != NULL)
		ok = splade_parse(splade, &settings->splade, status);
	settings->exclude_prompt = !include;
	return ok;
}

bool
sentence_settings_put_dense(const SentenceSettings *settings, BertConfig *config, Status *status)
{
	bool sparse = settings->splade.pooling != SPLADE_NONE;
	int given = sparse ? 1 : settings->pooling.n * config->hidden_size;

	if (sparse && settings->n_dense > 0 && settings->dense[0].out_features != config->vocab_size)
		return status_fail(status, STATUS_INVALID_DATA,
						   "there are weights of %d words for queries, but the vocabulary has %d",
						   settings->dense[0].out_features, config->vocab_size);
	for (int i = 0; i < settings->n_dense; i++)
	{
		if (settings->dense[i].in_features != given)
			return status_fail(status, STATUS_INVALID_DATA,
							   "Dense module %d takes %d values, but gets %d", i + 1,
							   settings->dense[i].in_features, given);
		config->dense[i] = settings->dense[i];
		given = settings->dense[i].out_features;
	}
	config->n_dense = settings->n_dense;
	if (settings->classified_features > 0 && settings->classified_features != given)
		return status_fail(status, STATUS_INVALID_DATA,
						   "the classifier reads embeddings of %d values, but they have %d",
						   settings->classified_features, given);
	config->classifies_embedding = settings->classified_features > 0;
	config->embedding_normalized = settings->normalize || settings->classified_normalized;
	config->embedding_pooling = settings->pooling;
	return true;
}

int
sentence_dimensions(const BertConfig *config, const PoolingModes *pooling)
{
	int given = pooling->n * config->hidden_size;

	/* the weights of a query's words come after no pooling */
	if (config->n_dense == 0 || config->dense[0].in_features == 1)
		return given;
	return config->dense[0].in_features == given ? config->dense[config->n_dense - 1].out_features
												 : 0;
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

	*prompt = "";
	if (settings->saved == NULL && name == NULL)
		return true;
	root = sentence_settings_open(arena, settings, status);
	return root != NULL && find_prompt(arena, root, name, use, prompt, status);
}

int
sentence_max_length(const SentenceSettings *settings, int model_max_length,
					const BertConfig *config)
{
	int length = settings->max_seq_length > 0 ? settings->max_seq_length : model_max_length;

	return length > 0 && length < config_max_tokens(config) ? length : config_max_tokens(config);
}
