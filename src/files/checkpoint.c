/* checkpoint.c: which files hold a model's tensors: one, or shards with an index. */
#include "files/checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "files/json.h"
#include "files/safetensors.h"

#define MAX_INDEX_BYTES ((size_t) 16 * 1024 * 1024)
#define MAX_SHARDS 1024
#define READ_CHUNK 16384 /* bytes */

static int
compare_name(const void *a, const void *b)
{
	return strcmp(((const CheckpointTensor *) a)->name, ((const CheckpointTensor *) b)->name);
}

/* What a file that is no safetensors file often is, for the hint. */
static bool
explain_bad_start(const unsigned char *start, Status *status)
{
	if (memcmp(start, "version ", 8) == 0)
		return status_hint(status, "This looks like a Git LFS pointer: the weights themselves were "
								   "not downloaded (git lfs pull).");
	if (start[0] == 0x80 || memcmp(start, "PK\003\004", 4) == 0)
		return status_hint(status, "This looks like a PyTorch pickle. Save the model with "
								   "safe_serialization=True; pickles are never read.");
	return false;
}

/* The tensors of one file, in any order. */
static bool
open_part(Arena *arena, ByteSource *file, Checkpoint *part, Status *status)
{
	unsigned char start[SAFETENSORS_START];

	if (safetensors_open(arena, file, part, status))
		return true;
	if (file->size >= sizeof start && file->read(file, 0, start, sizeof start, NULL))
		explain_bad_start(start, status);
	return status_prefix(status, "%s", file->name);
}

/* All parts as one table sorted by name; a name that is there twice is an error. */
static bool
join_parts(Arena *arena, const Checkpoint *parts, size_t n_parts, Checkpoint *checkpoint,
		   Status *status)
{
	size_t total = 0;
	CheckpointTensor *all;

	for (size_t i = 0; i < n_parts; i++)
		total += parts[i].n_tensors;
	if (total > CHECKPOINT_MAX_TENSORS)
		return status_fail(status, STATUS_LIMIT, "the files have %zu tensors, more than %d", total,
						   CHECKPOINT_MAX_TENSORS);
	all = arena_alloc_array(arena, total, sizeof *all);
	if (all == NULL)
		return arena_fail(arena, status, "the table of tensors", total * sizeof *all);
	for (size_t i = 0, at = 0; i < n_parts; at += parts[i++].n_tensors)
		if (parts[i].n_tensors > 0)
			memcpy(all + at, parts[i].tensors, parts[i].n_tensors * sizeof *all);
	qsort(all, total, sizeof *all, compare_name);
	for (size_t i = 1; i < total; i++)
		if (strcmp(all[i - 1].name, all[i].name) == 0)
			return status_fail(status, STATUS_INVALID_DATA, "tensor \"%.100s\" appears twice",
							   all[i].name);
	checkpoint->tensors = all;
	checkpoint->n_tensors = total;
	return true;
}

bool
checkpoint_open_file(Arena *arena, ByteSource *file, Checkpoint *checkpoint, Status *status)
{
	Checkpoint part;

	if (!open_part(arena, file, &part, status))
		return false;
	return join_parts(arena, &part, 1, checkpoint, status) ||
		   status_prefix(status, "%s", file->name);
}

/* The distinct file names of the index's weight_map. */
static bool
shard_names(const json_t *root, Arena *arena, const char **names, size_t *count, Status *status)
{
	json_t *map = json_object_get(root, "weight_map");
	const char *tensor;
	json_t *value;

	*count = 0;
	if (!json_is_object(map) || json_object_size(map) == 0 ||
		json_object_size(map) > CHECKPOINT_MAX_TENSORS)
		return status_fail(status, STATUS_INVALID_DATA,
						   "\"weight_map\" is not an object with 1 to %d tensors",
						   CHECKPOINT_MAX_TENSORS);
	json_object_foreach(map, tensor, value)
	{
		size_t i = 0;

		if (!json_is_string(value))
			return status_fail(status, STATUS_INVALID_DATA,
							   "\"weight_map\" gives no file for tensor \"%.100s\"", tensor);
		while (i < *count && strcmp(names[i], json_string_value(value)) != 0)
			i++;
		if (i < *count)
			continue;
		if (*count == MAX_SHARDS)
			return status_fail(status, STATUS_LIMIT, "\"weight_map\" names more than %d files",
							   MAX_SHARDS);
		names[*count] = arena_strdup(arena, json_string_value(value));
		if (names[*count] == NULL)
			return arena_fail(arena, status, "a file's name", json_string_length(value));
		(*count)++;
	}
	return true;
}

/* Every tensor of the index is in the file that it names. */
static bool
check_index(const json_t *root, const Checkpoint *checkpoint, Status *status)
{
	json_t *map = json_object_get(root, "weight_map");
	const char *name;
	json_t *value;

	json_object_foreach(map, name, value)
	{
		const CheckpointTensor *tensor = checkpoint_find(checkpoint, name);

		if (tensor == NULL || strcmp(tensor->source->name, json_string_value(value)) != 0)
			return status_fail(status, STATUS_INVALID_DATA,
							   "tensor \"%.100s\" is not in \"%.100s\"", name,
							   json_string_value(value));
	}
	return true;
}

static bool
open_shards(Arena *arena, ModelSource *source, const json_t *root, Checkpoint *checkpoint,
			Status *status)
{
	const char **names = arena_alloc_array(arena, MAX_SHARDS, sizeof *names);
	Checkpoint *parts = arena_alloc_array_zero(arena, MAX_SHARDS, sizeof *parts);
	size_t count;

	if (names == NULL || parts == NULL)
		return arena_fail(arena, status, "the index", MAX_SHARDS * sizeof *parts);
	if (!shard_names(root, arena, names, &count, status))
		return false;
	for (size_t i = 0; i < count; i++)
	{
		ByteSource *file;
		bool found;

		if (!source->open(source, names[i], &file, &found, status))
			return false;
		if (!found)
			return status_fail(status, STATUS_NOT_FOUND,
							   "file \"%.200s\", which the index names, does not exist", names[i]);
		if (!open_part(arena, file, &parts[i], status))
			return false;
	}
	return join_parts(arena, parts, count, checkpoint, status) &&
		   check_index(root, checkpoint, status);
}

bool
checkpoint_open(Arena *arena, ModelSource *source, Checkpoint *checkpoint, Status *status)
{
	static const char *const index_name = "model.safetensors.index.json";
	ByteSource *file;
	bool found;
	char *text;
	json_t *root;

	memset(checkpoint, 0, sizeof *checkpoint);
	if (!source->open(source, "model.safetensors", &file, &found, status))
		return false;
	if (found)
		return checkpoint_open_file(arena, file, checkpoint, status);
	if (!source->open(source, index_name, &file, &found, status))
		return false;
	if (found)
	{
		text = source_read_all(arena, file, MAX_INDEX_BYTES, status);
		if (text == NULL)
			return false;
		root =
			json_open_object(arena, index_name, text, (size_t) file->size, MAX_INDEX_BYTES, status);
		if (root == NULL)
			return false;
		return open_shards(arena, source, root, checkpoint, status) ||
			   status_prefix(status, "%s", index_name);
	}
	if (!source->open(source, "pytorch_model.bin", &file, &found, status))
		return false;
	if (found)
	{
		status_fail(
			status, STATUS_UNSUPPORTED,
			"\"%s\" has its weights in pytorch_model.bin only, which is a pickle and never read",
			source->name);
		return status_hint(status, "Save the model as safetensors: "
								   "model.save_pretrained(directory, safe_serialization=True).");
	}
	return status_fail(status, STATUS_NOT_FOUND, "\"%s\" has no model.safetensors", source->name);
}

const CheckpointTensor *
checkpoint_find(const Checkpoint *checkpoint, const char *name)
{
	CheckpointTensor key = {.name = name};

	if (checkpoint->n_tensors == 0)
		return NULL;
	return bsearch(&key, checkpoint->tensors, checkpoint->n_tensors, sizeof key, compare_name);
}

bool
checkpoint_read(const CheckpointTensor *tensor, uint64_t first, size_t count, float *out,
				Status *status)
{
	size_t element;
	unsigned char buffer[READ_CHUNK];

	if (tensor->dtype == DTYPE_OTHER)
		return status_fail(status, STATUS_INVALID_DATA,
						   "%s: tensor \"%.100s\" has dtype %s; weights must be F32, F16 or BF16",
						   tensor->source->name, tensor->name, tensor->dtype_name);
	element = dtype_info(tensor->dtype)->bytes;
	if (first > tensor->elements || count > tensor->elements - first)
		return status_fail(status, STATUS_INTERNAL, "elements outside tensor \"%.100s\"",
						   tensor->name);
	while (count > 0)
	{
		size_t n = count < sizeof buffer / element ? count : sizeof buffer / element;

		if (!tensor->source->read(tensor->source, tensor->offset + first * element, buffer,
								  n * element, status))
			return false;
		dtype_widen(tensor->dtype, buffer, n, out);
		for (size_t i = 0; i < n; i++)
			if (!isfinite(out[i]))
				return status_fail(
					status, STATUS_INVALID_DATA,
					"%s: tensor \"%.100s\" has a value that is not finite at element %llu",
					tensor->source->name, tensor->name, (unsigned long long) (first + i));
		first += n;
		out += n;
		count -= n;
	}
	return true;
}
