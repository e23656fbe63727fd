/* router.c: router_config.json and the folders that it names. */
#include "files/router.h"

#include <stdio.h>
#include <string.h>

#include "files/checkpoint.h"
#include "files/json.h"
#include "files/known_keys.h"
#include "files/pooling.h"
#include "files/sentence_settings.h"

typedef struct Reader
{
	Arena *arena;
	ModelSource *source;
	const char *path; /* of the Router */
	FileNotes *notes;
	const json_t *root;
	Status *status;
} Reader;

/* A file's or folder's name in the model's folder. */
static const char *
join(Reader *reader, const char *folder, const char *name)
{
	size_t length = strlen(folder) + strlen(name) + 2;
	char *out = arena_alloc(reader->arena, length);

	if (out == NULL)
		arena_fail(reader->arena, reader->status, "a path", length);
	else
		snprintf(out, length, "%s%s%s", folder, folder[0] == '\0' ? "" : "/", name);
	return out;
}

static bool
refuse(Reader *reader, const char *what, const char *name)
{
	status_fail(reader->status, STATUS_UNSUPPORTED,
				"router_config.json: %s \"%.80s\" is not supported", what, name);
	return status_hint(reader->status,
					   "Supported are the route query of a SparseStaticEmbedding, and the route "
					   "document of a Transformer or MLMTransformer and a SpladePooling.");
}

/* The folder of a route's module, if its class is one of two; NULL and *status otherwise. */
static const char *
route_module(Reader *reader, const char *route, size_t i, const char *class, const char *other)
{
	const json_t *list = json_object_get(json_object_get(reader->root, "structure"), route);
	const char *id = json_string_value(json_array_get(list, i));
	const char *type =
		id == NULL ? NULL
				   : json_string_value(json_object_get(json_object_get(reader->root, "types"), id));
	const char *last = type == NULL ? NULL : strrchr(type, '.');

	if (type == NULL)
	{
		status_fail(reader->status, STATUS_INVALID_DATA,
					"router_config.json: the route \"%s\" has no module %zu, or its type is not "
					"said",
					route, i + 1);
		return NULL;
	}
	last = last == NULL ? type : last + 1;
	if (strcmp(last, class) != 0 && strcmp(last, other) != 0)
	{
		refuse(reader, "the module", last);
		return NULL;
	}
	return join(reader, reader->path, id);
}

static bool
check_routes(Reader *reader)
{
	const json_t *structure = json_object_get(reader->root, "structure");
	const char *route;
	json_t *list;

	json_object_foreach((json_t *) structure, route, list)
	{
		bool query = strcmp(route, "query") == 0;

		if (!query && strcmp(route, "document") != 0)
			return refuse(reader, "the route", route);
		if (json_array_size(list) != (query ? 1 : 2))
			return refuse(reader,
						  query ? "more than one module in the route"
								: "another number of modules than two in the route",
						  route);
	}
	return true;
}

/*
 * Texts that are neither said to be queries nor documents are documents here; a Router may say
 * otherwise.
 */
static bool
check_parameters(Reader *reader)
{
	const json_t *parameters = json_object_get(reader->root, "parameters");
	const char *route = json_string_value(json_object_get(parameters, "default_route"));

	if (json_object_size(json_object_get(parameters, "route_mappings")) > 0)
		return refuse(reader, "the member", "route_mappings");
	return known_keys_check(KNOWN_ROUTER_PARAMETERS, "router_config.json: parameters", parameters,
							reader->notes, reader->status) &&
		   ((route != NULL && strcmp(route, "document") == 0) ||
			notes_add(reader->notes, NOTE_IGNORED, "router_config.json", "default_route",
					  reader->status));
}

/* The one row of weights; NULL and *status if there is another. */
static CheckpointTensor *
find_weights(Checkpoint *module, Status *status)
{
	for (size_t i = 0; i < module->n_tensors; i++)
	{
		CheckpointTensor *tensor = &module->tensors[i];

		if (strcmp(tensor->name, "weight") == 0 && tensor->rank == 1 && tensor->strides == NULL)
			return tensor;
	}
	status_fail(status, STATUS_INVALID_DATA, "there is no row of weights called \"weight\"");
	return NULL;
}

bool
router_name_weights(Checkpoint *module, Status *status)
{
	CheckpointTensor *weights = find_weights(module, status);

	if (weights == NULL)
		return false;
	weights->name = "linear.weight";
	weights->rank = 2;
	weights->shape[1] = 1;
	return true;
}

/* The query's module: nothing but weights, of which the number is wanted. */
static bool
read_query(Reader *reader, Router *out)
{
	const char *name = join(reader, out->query, "config.json");
	ModelSource *folder;
	Checkpoint module = {0};
	const CheckpointTensor *weights;
	json_t *root;

	if (name == NULL || !json_read_object(reader->arena, reader->source, name, SENTENCE_FILE_BYTES,
										  &root, reader->status))
		return false;
	if (root != NULL && !known_keys_check(KNOWN_STATIC, name, root, reader->notes, reader->status))
		return false;
	folder = modelsource_subfolder(reader->arena, reader->source, out->query, reader->status);
	if (folder == NULL)
		return false;
	if (!checkpoint_open(reader->arena, folder, &module, reader->status))
		return status_prefix(reader->status, "%s", out->query);
	weights = find_weights(&module, reader->status);
	if (weights == NULL)
		return status_prefix(reader->status, "%s", out->query);
	if (weights->elements > DENSE_MAX_FEATURES)
		return status_fail(reader->status, STATUS_LIMIT,
						   "%s: there are more than %d weights of words", out->query,
						   DENSE_MAX_FEATURES);
	out->n_words = (int) weights->elements;
	return true;
}

bool
router_read(Arena *arena, ModelSource *source, const char *path, FileNotes *notes, Router *out,
			Status *status)
{
	Reader reader = {arena, source, path, notes, NULL, status};
	const char *name = join(&reader, path, "router_config.json");
	json_t *root;

	if (name == NULL || !json_read_object(arena, source, name, SENTENCE_FILE_BYTES, &root, status))
		return false;
	if (root == NULL)
		return status_fail(status, STATUS_NOT_FOUND,
						   "file \"%s\", which the Router of modules.json needs, does not exist",
						   name);
	reader.root = root;
	if (!known_keys_check(KNOWN_ROUTER, name, root, notes, status) || !check_routes(&reader) ||
		!check_parameters(&reader))
		return false;
	out->query =
		route_module(&reader, "query", 0, "SparseStaticEmbedding", "SparseStaticEmbedding");
	out->transformer = out->query == NULL
						   ? NULL
						   : route_module(&reader, "document", 0, "MLMTransformer", "Transformer");
	out->splade = out->transformer == NULL
					  ? NULL
					  : route_module(&reader, "document", 1, "SpladePooling", "SpladePooling");
	return out->splade != NULL && read_query(&reader, out);
}
