/* sentence.c: modules.json and the settings of the modules it names. */
#include "files/sentence.h"

#include <stdio.h>
#include <string.h>

#include "files/json.h"

#define MAX_FILE_BYTES ((size_t) 1024 * 1024)
#define MAX_MODULES 16

/* A JSON file of the source; *out is NULL when there is none. */
static bool
open_file(Arena *arena, ModelSource *source, const char *name, bool array, json_t **out,
		  Status *status)
{
	ByteSource *file;
	bool found;
	char *text;

	*out = NULL;
	if (!source->open(source, name, &file, &found, status))
		return false;
	if (!found)
		return true;
	text = source_read_all(arena, file, MAX_FILE_BYTES, status);
	if (text == NULL)
		return false;
	*out = array ? json_open_array(name, text, (size_t) file->size, MAX_FILE_BYTES, status)
				 : json_open_object(name, text, (size_t) file->size, MAX_FILE_BYTES, status);
	return *out != NULL;
}

/*
 * One pooling: a name in "pooling_mode", or, before version 5, exactly one of several switches on.
 */
static bool
parse_pooling(const json_t *root, const char *name, SentenceSettings *settings, Status *status)
{
	static const struct
	{
		const char *member;
		const char *name;
		Pooling pooling;
	} modes[] = {
		{"pooling_mode_mean_tokens", "mean", POOLING_MEAN},
		{"pooling_mode_cls_token", "cls", POOLING_CLS},
		{"pooling_mode_max_tokens", "max", POOLING_MAX},
	};
	const json_t *mode = json_object_get(root, "pooling_mode");
	const char *key;
	json_t *value;
	int on = 0;

	json_object_foreach((json_t *) root, key, value)
	{
		if (strncmp(key, "pooling_mode_", 13) != 0 || !json_is_true(value))
			continue;
		on++;
		for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
			if (strcmp(key, modes[i].member) == 0)
			{
				settings->pooling = modes[i].pooling;
				on += 100;
			}
	}
	if (mode != NULL && !json_is_null(mode))
	{
		on++;
		for (size_t i = 0; json_is_string(mode) && i < sizeof modes / sizeof modes[0]; i++)
			if (strcmp(json_string_value(mode), modes[i].name) == 0)
			{
				settings->pooling = modes[i].pooling;
				on += 100;
			}
	}
	if (on != 101)
	{
		status_fail(status, STATUS_UNSUPPORTED,
					"%s does not choose exactly one of mean, cls and max pooling", name);
		return status_hint(status, "Sums of several poolings and other modes are not supported.");
	}
	return true;
}

static bool
read_pooling(Arena *arena, ModelSource *source, const char *path, SentenceSettings *settings,
			 Status *status)
{
	char name[512];
	json_t *root;
	bool ok;

	if (snprintf(name, sizeof name, "%s/config.json", path) >= (int) sizeof name)
		return status_fail(status, STATUS_INVALID_DATA,
						   "modules.json names a path that is too long");
	if (!open_file(arena, source, name, false, &root, status))
		return false;
	if (root == NULL)
		return status_fail(status, STATUS_NOT_FOUND,
						   "file \"%s\", which modules.json names, does not exist", name);
	ok = parse_pooling(root, name, settings, status);
	json_close(root);
	return ok;
}

/* One entry of modules.json, by the last part of its Python class. */
static bool
read_module(Arena *arena, ModelSource *source, const json_t *module, SentenceSettings *settings,
			Status *status)
{
	const json_t *type = json_object_get(module, "type");
	const json_t *path = json_object_get(module, "path");
	const char *class;

	if (!json_is_string(type) || !json_is_string(path))
		return status_fail(status, STATUS_INVALID_DATA,
						   "modules.json has an entry without type or path");
	class = strrchr(json_string_value(type), '.');
	class = class == NULL ? json_string_value(type) : class + 1;
	if (strcmp(class, "Transformer") == 0)
	{
		if (json_string_length(path) != 0)
			return status_fail(status, STATUS_UNSUPPORTED,
							   "modules.json keeps the transformer in the folder \"%.60s\"; import "
							   "that layout's inner folder instead",
							   json_string_value(path));
		return true;
	}
	if (strcmp(class, "Pooling") == 0)
		return read_pooling(arena, source, json_string_value(path), settings, status);
	if (strcmp(class, "Normalize") == 0)
	{
		settings->normalize = true;
		return true;
	}
	status_fail(status, STATUS_UNSUPPORTED, "modules.json has a module of type \"%.80s\"",
				json_string_value(type));
	return status_hint(status, "Only Transformer, Pooling and Normalize are supported.");
}

static bool
read_modules(Arena *arena, ModelSource *source, SentenceSettings *settings, Status *status)
{
	json_t *root;
	bool ok = true;

	if (!open_file(arena, source, "modules.json", true, &root, status))
		return false;
	if (root == NULL)
		return true;
	settings->present = true;
	if (json_array_size(root) > MAX_MODULES)
		ok =
			status_fail(status, STATUS_LIMIT, "modules.json has more than %d modules", MAX_MODULES);
	for (size_t i = 0; ok && i < json_array_size(root); i++)
		ok = read_module(arena, source, json_array_get(root, i), settings, status);
	json_close(root);
	return ok;
}

bool
sentence_settings_read(Arena *arena, ModelSource *source, SentenceSettings *settings,
					   Status *status)
{
	json_t *root;
	bool ok;

	memset(settings, 0, sizeof *settings);
	settings->pooling = POOLING_MEAN;
	if (!read_modules(arena, source, settings, status) ||
		!open_file(arena, source, "sentence_bert_config.json", false, &root, status))
		return false;
	if (root == NULL)
		return true;
	ok = json_get_int(root, "max_seq_length", 1, CONFIG_MAX_POSITIONS, &settings->max_seq_length,
					  status) ||
		 status_prefix(status, "sentence_bert_config.json");
	json_close(root);
	return ok;
}
