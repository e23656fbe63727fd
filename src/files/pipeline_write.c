/* pipeline_write.c: the stages as they are stored, without the vocabulary. */
#include <string.h>

#include "files/base64.h"
#include "files/json.h"
#include "files/pipeline.h"

/* Empties the character map of a Precompiled normalizer and decodes the first one. */
static bool
take_charsmap(Arena *arena, json_t *normalizer, unsigned char **charsmap, size_t *length,
			  Status *status)
{
	const json_t *text = json_object_get(normalizer, "precompiled_charsmap");
	const char *type = json_string_value(json_object_get(normalizer, "type"));

	if (type == NULL || strcmp(type, "Precompiled") != 0)
		return true;
	if (json_is_string(text) && charsmap != NULL && *charsmap == NULL &&
		!base64_decode(arena, json_string_value(text), json_string_length(text), charsmap, length,
					   status))
		return status_prefix(status, "precompiled_charsmap");
	return json_object_set_new(normalizer, "precompiled_charsmap", json_string("")) == 0 ||
		   status_fail(status, STATUS_OUT_OF_MEMORY, "out of memory for a normalizer");
}

static json_t *
model_switches(const json_t *model)
{
	static const char *const kept[] = {"type", "unk_id", "byte_fallback", "scores_as_read",
									   "ignore_merges"};
	json_t *out = json_object();

	for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
	{
		json_t *value = json_object_get(model, kept[i]);

		if (value != NULL && !json_is_null(value))
			json_object_set(out, kept[i], value);
	}
	return out;
}

static void
put_copy(json_t *root, const char *name, const json_t *value, bool *complete)
{
	if (value != NULL && !json_is_null(value))
		json_put(root, name, json_deep_copy(value), complete);
}

char *
pipeline_write(Arena *arena, const PipelineParts *parts, unsigned char **charsmap,
			   size_t *charsmap_length, Status *status)
{
	json_t *root = json_object();
	json_t *normalizer;
	json_t *list;
	bool complete = true;
	bool ok;

	json_put(root, "model", model_switches(parts->model), &complete);
	put_copy(root, "normalizer", parts->normalizer, &complete);
	put_copy(root, "pre_tokenizer", parts->pre_tokenizer, &complete);
	put_copy(root, "post_processor", parts->post_processor, &complete);
	put_copy(root, "decoder", parts->decoder, &complete);
	normalizer = json_object_get(root, "normalizer");
	list = json_object_get(normalizer, "normalizers");
	if (charsmap != NULL)
		*charsmap = NULL;
	ok = take_charsmap(arena, normalizer, charsmap, charsmap_length, status);
	for (size_t i = 0; ok && i < json_array_size(list); i++)
		ok = take_charsmap(arena, json_array_get(list, i), charsmap, charsmap_length, status);
	if (!ok)
	{
		json_decref(root);
		return NULL;
	}
	return json_write(arena, root, JSON_COMPACT | JSON_SORT_KEYS, complete,
					  "the tokenizer's pipeline", status);
}
