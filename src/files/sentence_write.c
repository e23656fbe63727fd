/* sentence_write.c: the files that make an exported folder one of sentence-transformers. */
#include "files/sentence_write.h"

#include <stdio.h>
#include <string.h>

#include "files/router.h"
#include "files/sentence_settings.h"

/* The switches that versions before 5 read, in the order in which they put poolings together. */
static const struct
{
	const char *name;
	Pooling pooling;
} switches[] = {
	{"pooling_mode_cls_token", POOLING_CLS},
	{"pooling_mode_max_tokens", POOLING_MAX},
	{"pooling_mode_mean_tokens", POOLING_MEAN},
	{"pooling_mode_mean_sqrt_len_tokens", POOLING_MEAN_SQRT_LENGTH},
	{"pooling_mode_weightedmean_tokens", POOLING_WEIGHTED_MEAN},
	{"pooling_mode_lasttoken", POOLING_LAST_TOKEN},
};

#define N_SWITCHES (sizeof switches / sizeof switches[0])

typedef struct Writer
{
	Arena *arena;
	SentenceFiles *files;
	Status *status;
} Writer;

/* A file of this document, which is given back. */
static bool
add_file(Writer *writer, const char *path, json_t *document, bool complete)
{
	SentenceFile *file = &writer->files->files[writer->files->n++];

	snprintf(file->path, sizeof file->path, "%s", path);
	file->text =
		json_write(writer->arena, document, JSON_INDENT(2), complete, path, writer->status);
	return file->text != NULL;
}

static void
add_folder(Writer *writer, const char *path)
{
	SentenceFile *file = &writer->files->files[writer->files->n++];

	snprintf(file->path, sizeof file->path, "%s", path);
	file->text = NULL;
}

static void
add_module(json_t *modules, const char *path, const char *type, bool *complete)
{
	json_t *module = json_object();
	int index = (int) json_array_size(modules);
	char text[80];

	json_put(module, "idx", json_integer(index), complete);
	snprintf(text, sizeof text, "%d", index);
	json_put(module, "name", json_string(text), complete);
	json_put(module, "path", json_string(path), complete);
	snprintf(text, sizeof text, "sentence_transformers.%smodels.%s",
			 strcmp(type, "MLMTransformer") == 0 || strcmp(type, "SpladePooling") == 0
				 ? "sparse_encoder."
				 : "",
			 type);
	json_put(module, "type", json_string(text), complete);
	if (json_array_append_new(modules, module) != 0)
		*complete = false;
}

static bool
write_modules(Writer *writer, const SentenceSettings *settings, const char *normalize)
{
	json_t *modules = json_array();
	bool complete = true;

	add_module(modules, "", "Transformer", &complete);
	add_module(modules, "1_Pooling", "Pooling", &complete);
	for (int i = 0; i < settings->n_dense; i++)
	{
		char path[DENSE_PATH_BYTES];

		dense_path(i, path);
		add_module(modules, path, "Dense", &complete);
	}
	if (settings->normalize)
		add_module(modules, normalize, "Normalize", &complete);
	return add_file(writer, "modules.json", modules, complete);
}

/* Whether switches alone say it. */
static bool
in_order_of_switches(const PoolingModes *modes)
{
	int next = 0;

	for (size_t i = 0; i < N_SWITCHES; i++)
		if (next < modes->n && modes->modes[next] == switches[i].pooling)
			next++;
	return next == modes->n;
}

/*
 * One pooling in the newer form and as switches. Several as switches, which all versions read, if
 * their order is the one that switches have.
 */
static bool
write_pooling(Writer *writer, const SentenceSettings *settings, int hidden_size)
{
	const PoolingModes *modes = &settings->pooling;
	json_t *root = json_object();
	bool switched = in_order_of_switches(modes);
	bool complete = true;

	json_put(root, "word_embedding_dimension", json_integer(hidden_size), &complete);
	for (size_t i = 0; switched && i < N_SWITCHES; i++)
		json_put(root, switches[i].name,
				 json_boolean(pooling_modes_have(modes, switches[i].pooling)), &complete);
	if (modes->n == 1)
		json_put(root, "pooling_mode", json_string(pooling_name(modes->modes[0])), &complete);
	else if (!switched)
	{
		json_t *list = json_array();

		for (int i = 0; i < modes->n; i++)
			if (json_array_append_new(list, json_string(pooling_name(modes->modes[i]))) != 0)
				complete = false;
		json_put(root, "pooling_mode", list, &complete);
	}
	json_put(root, "include_prompt", json_boolean(!settings->exclude_prompt), &complete);
	add_folder(writer, "1_Pooling");
	return add_file(writer, "1_Pooling/config.json", root, complete);
}

static bool
write_dense(Writer *writer, const SentenceSettings *settings)
{
	for (int i = 0; i < settings->n_dense; i++)
	{
		char path[DENSE_PATH_BYTES];
		char file[DENSE_PATH_BYTES + sizeof "/config.json"];
		bool complete = true;
		json_t *root = dense_to_json(&settings->dense[i], &complete);

		dense_path(i, path);
		snprintf(file, sizeof file, "%s/config.json", path);
		add_folder(writer, path);
		if (!add_file(writer, file, root, complete))
			return false;
	}
	return true;
}

/* Prompts and similarity, unless there are none but the defaults. */
static bool
write_model_settings(Writer *writer, const SentenceSettings *settings)
{
	static const char *const members[] = {"prompts", "default_prompt_name", "similarity_fn_name"};
	json_t *saved = sentence_settings_open(writer->arena, settings, writer->status);
	json_t *root = json_object();
	bool complete = true;
	bool any = settings->splade.pooling != SPLADE_NONE;

	if (saved == NULL)
	{
		json_decref(root);
		return false;
	}
	json_put(root, "model_type",
			 json_string(settings->splade.pooling == SPLADE_NONE ? "SentenceTransformer"
																 : "SparseEncoder"),
			 &complete);
	json_put(root, "__version__", json_object(), &complete);
	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
	{
		json_t *value = json_object_get(saved, members[i]);

		if (value == NULL)
			continue;
		any = true;
		json_put(root, members[i], json_deep_copy(value), &complete);
	}
	if (any)
		return add_file(writer, "config_sentence_transformers.json", root, complete);
	json_decref(root);
	return true;
}

static bool
write_transformer(Writer *writer, const SentenceSettings *settings, const char *path)
{
	json_t *root;
	bool complete = true;

	if (settings->max_seq_length == 0)
		return true;
	root = json_object();
	json_put(root, "max_seq_length", json_integer(settings->max_seq_length), &complete);
	json_put(root, "do_lower_case", json_false(), &complete);
	return add_file(writer, path, root, complete);
}

/* config_setfit.json: what the numbers of the classes in model_head.pkl mean. */
static bool
write_classifier(Writer *writer, const SentenceSettings *settings, const SentenceEncoder *encoder)
{
	json_t *root;
	json_t *labels;
	bool complete = true;

	if (settings->classified_features == 0)
		return true;
	root = json_object();
	labels = json_array();
	for (int i = 0; i < encoder->n_labels; i++)
		if (json_array_append_new(labels, json_string(encoder->labels[i])) != 0)
			complete = false;
	json_put(root, "normalize_embeddings", json_boolean(settings->classified_normalized),
			 &complete);
	json_put(root, "labels", labels, &complete);
	return add_file(writer, "config_setfit.json", root, complete);
}

/* A sparse encoder's files: its network is that of a masked language model. */
static bool
write_sparse(Writer *writer, const SentenceSettings *settings)
{
	json_t *modules = json_array();
	bool complete = true;
	json_t *root;

	add_module(modules, "", "MLMTransformer", &complete);
	add_module(modules, "1_SpladePooling", "SpladePooling", &complete);
	if (!add_file(writer, "modules.json", modules, complete))
		return false;
	root = splade_to_json(&settings->splade, &complete);
	add_folder(writer, "1_SpladePooling");
	return add_file(writer, "1_SpladePooling/config.json", root, complete) &&
		   write_model_settings(writer, settings) &&
		   write_transformer(writer, settings, "sentence_bert_config.json");
}

static json_t *
list_of(const char *first, const char *second, bool *complete)
{
	json_t *list = json_array();

	if (json_array_append_new(list, json_string(first)) != 0 ||
		(second != NULL && json_array_append_new(list, json_string(second)) != 0))
		*complete = false;
	return list;
}

/* router_config.json: what modules there are, and which texts go through which of them. */
static bool
write_router_config(Writer *writer)
{
	json_t *root = json_object();
	json_t *types = json_object();
	json_t *structure = json_object();
	json_t *parameters = json_object();
	bool complete = true;

	json_put(types, ROUTER_QUERY,
			 json_string("sentence_transformers.sparse_encoder.models.SparseStaticEmbedding"),
			 &complete);
	json_put(types, ROUTER_DOCUMENT,
			 json_string("sentence_transformers.sparse_encoder.models.MLMTransformer"), &complete);
	json_put(types, ROUTER_SPLADE,
			 json_string("sentence_transformers.sparse_encoder.models.SpladePooling"), &complete);
	json_put(structure, "query", list_of(ROUTER_QUERY, NULL, &complete), &complete);
	json_put(structure, "document", list_of(ROUTER_DOCUMENT, ROUTER_SPLADE, &complete), &complete);
	json_put(parameters, "default_route", json_string("document"), &complete);
	json_put(parameters, "allow_empty_key", json_true(), &complete);
	json_put(root, "types", types, &complete);
	json_put(root, "structure", structure, &complete);
	json_put(root, "parameters", parameters, &complete);
	return add_file(writer, "router_config.json", root, complete);
}

/* The same with weights of their own for queries. */
static bool
write_routes(Writer *writer, const SentenceSettings *settings)
{
	json_t *modules = json_array();
	json_t *query = json_object();
	bool complete = true;
	bool splade_complete = true;

	add_module(modules, "", "Router", &complete);
	json_put(query, "frozen", json_true(), &complete);
	add_folder(writer, ROUTER_QUERY);
	add_folder(writer, ROUTER_DOCUMENT);
	add_folder(writer, ROUTER_SPLADE);
	if (!add_file(writer, "modules.json", modules, complete) ||
		!add_file(writer, ROUTER_QUERY "/config.json", query, complete))
		return false;
	return add_file(writer, ROUTER_SPLADE "/config.json",
					splade_to_json(&settings->splade, &splade_complete), splade_complete) &&
		   write_router_config(writer) && write_model_settings(writer, settings) &&
		   write_transformer(writer, settings, ROUTER_DOCUMENT "/sentence_bert_config.json");
}

bool
sentence_files_write(Arena *arena, const SentenceSettings *settings, const SentenceEncoder *encoder,
					 SentenceFiles *files, Status *status)
{
	Writer writer = {arena, files, status};
	char normalize[32];

	files->n = 0;
	if (settings->splade.pooling != SPLADE_NONE)
		return settings->n_dense > 0 ? write_routes(&writer, settings)
									 : write_sparse(&writer, settings);
	if (!settings->present)
		return true;
	snprintf(normalize, sizeof normalize, "%d_Normalize", settings->n_dense + 2);
	if (!write_modules(&writer, settings, normalize) ||
		!write_pooling(&writer, settings, encoder->hidden_size) ||
		!write_dense(&writer, settings) || !write_model_settings(&writer, settings) ||
		!write_transformer(&writer, settings, "sentence_bert_config.json") ||
		!write_classifier(&writer, settings, encoder))
		return false;
	if (settings->normalize)
		add_folder(&writer, normalize);
	return true;
}
