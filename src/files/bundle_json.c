/* bundle_json.c: parsing of bundle.json. */
#include "files/bundle_json.h"

#include <string.h>

#include "files/json.h"

#define MAX_BYTES 65536

static bool
read_tasks(Arena *arena, const json_t *list, BundleInfo *info, Status *status)
{
	info->n_tasks = json_array_size(list);
	info->tasks = arena_alloc_array(arena, info->n_tasks, sizeof *info->tasks);
	if (info->tasks == NULL)
		return arena_fail(arena, status, "bundle.json", info->n_tasks * sizeof *info->tasks);
	for (size_t i = 0; i < info->n_tasks; i++)
	{
		const char *task = json_string_value(json_array_get(list, i));

		if (task == NULL)
			return status_fail(status, STATUS_INVALID_DATA, "\"tasks\" is no list of strings");
		info->tasks[i] = arena_strdup(arena, task);
		if (info->tasks[i] == NULL)
			return arena_fail(arena, status, "bundle.json", strlen(task));
	}
	return true;
}

bool
bundle_json_parse(Arena *arena, const char *text, size_t length, BundleInfo *info, Status *status)
{
	json_t *document = json_open_object(arena, "bundle.json", text, length, MAX_BYTES, status);
	bool ok;

	memset(info, 0, sizeof *info);
	if (document == NULL)
		return false;
	ok = json_get_string(document, "encoder", arena, &info->encoder, status) &&
		 json_get_string(document, "description", arena, &info->description, status) &&
		 json_get_string(document, "precision", arena, &info->precision, status) &&
		 read_tasks(arena, json_object_get(document, "tasks"), info, status);
	return ok || status_prefix(status, "bundle.json");
}
